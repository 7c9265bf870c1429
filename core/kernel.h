#pragma once
#include <type_traits>

#include <karyon/core/check.h>
#include <karyon/core/tensor.h>

namespace karyon {

/// The implementations of one operation, one per device type. The CPU one is fixed at compile
/// time; a device backend sets its own when it loads. Calling it runs the one for the device
/// its tensors live on, and throws Error if they disagree or that device has none.
template <class Signature>
class Kernel;

template <class... Args>
class Kernel<void(Args...)> {
 public:
  using Fn = void (*)(Args...);

  constexpr Kernel(const char* name, Fn cpu) : name_(name), fns_{cpu, nullptr} {}

  void set(DeviceType type, Fn fn) { fns_[static_cast<std::size_t>(type)] = fn; }
  const char* name() const { return name_; }

  void operator()(Args... args) const {
    Device seen{};
    bool any = false;
    auto visit = [&](const auto& arg) {
      if constexpr (std::is_same_v<std::decay_t<decltype(arg)>, Tensor>) {
        if (!arg.defined()) return;
        check(!any || seen == arg.device(), name_, ": tensors on ", seen, " and ", arg.device());
        seen = arg.device();
        any = true;
      }
    };
    (visit(args), ...);
    const Fn fn = fns_[static_cast<std::size_t>(seen.type)];
    check(fn != nullptr, name_, ": no ", seen.type, " kernel");
    fn(args...);
  }

 private:
  const char* name_;
  Fn fns_[device_type_count];
};

}  // namespace karyon
