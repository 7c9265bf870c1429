#pragma once
#include <atomic>
#include <type_traits>
#include <vector>

#include <karyon/core/backend.h>
#include <karyon/core/check.h>
#include <karyon/core/tensor.h>

namespace karyon {

/// The implementations of one operation, one per device type. The CPU one is fixed at compile time; the CUDA
/// one is asked for by name when it is first needed. Calling it runs the one for the device its tensors live
/// on, and throws Error if they disagree or that device has none.
template <class Signature>
class Kernel;

template <class... Args>
class Kernel<void(Args...)> {
 public:
  using Fn = void (*)(Args...);

  /// `name` tells this operation from all others.
  constexpr Kernel(const char* name, Fn cpu) : name_(name), cpu_(cpu) {}

  const char* name() const { return name_; }

  void operator()(Args... args) const {
    Device seen{};
    bool any = false;
    auto visit_tensor = [&](const Tensor& x) {
      if (!x.defined()) return;
      check(!any || seen == x.device(), name_, ": tensors on ", seen, " and ", x.device());
      seen = x.device();
      any = true;
    };
    auto visit = [&](const auto& arg) {
      using Arg = std::decay_t<decltype(arg)>;
      if constexpr (std::is_same_v<Arg, Tensor>) visit_tensor(arg);
      if constexpr (std::is_same_v<Arg, std::vector<Tensor>>)
        for (const Tensor& x : arg) visit_tensor(x);
    };
    (visit(args), ...);
    const Fn fn = seen.type == DeviceType::cpu ? cpu_ : cuda();
    check(fn != nullptr, name_, ": no ", seen.type, " kernel");
    fn(args...);
  }

 private:
  Fn cuda() const {
    Fn fn = cuda_.load(std::memory_order_relaxed);
    if (fn == nullptr) {
      fn = reinterpret_cast<Fn>(find_cuda_kernel(name_));
      cuda_.store(fn, std::memory_order_relaxed);
    }
    return fn;
  }

  const char* name_;
  Fn cpu_;
  mutable std::atomic<Fn> cuda_{nullptr};
};

}  // namespace karyon
