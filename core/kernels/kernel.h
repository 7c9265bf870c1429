#pragma once
#include <atomic>
#include <type_traits>
#include <vector>

#include <karyon/core/backend.h>
#include <karyon/core/check.h>
#include <karyon/core/kernels/profiled_call.h>
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
    each_tensor(
        [&](const Tensor& x) {
          check(!any || seen == x.device(), name_, ": tensors on ", seen, " and ", x.device());
          seen = x.device();
          any = true;
        },
        args...);
    const Fn fn = seen.type == DeviceType::cpu ? cpu_ : cuda();
    check(fn != nullptr, name_, ": no ", seen.type, " kernel");
    if (profiling()) [[unlikely]]
      return run_profiled(fn, args...);
    fn(args...);
  }

 private:
  // f of each defined tensor, those in vectors included.
  template <class F>
  static void each_tensor(F f, const std::remove_reference_t<Args>&... args) {
    auto visit = [&](const auto& arg) {
      using Arg = std::decay_t<decltype(arg)>;
      if constexpr (std::is_same_v<Arg, Tensor>) {
        if (arg.defined()) f(arg);
      } else if constexpr (std::is_same_v<Arg, std::vector<Tensor>>) {
        for (const Tensor& x : arg)
          if (x.defined()) f(x);
      }
    };
    (visit(args), ...);
  }

  void run_profiled(Fn fn, Args... args) const {
    std::vector<const Tensor*> tensors;
    each_tensor([&](const Tensor& x) { tensors.push_back(&x); }, args...);
    const ProfiledCall call(name_, tensors);
    fn(args...);
  }

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
