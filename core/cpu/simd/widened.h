#pragma once
#include <tuple>
#include <type_traits>

#include <karyon/core/kernels/copy.h>

// Private to core/cpu: kernels written for f32 and f64 that take bf16 too, through f32 tensors.
namespace karyon::cpu {

inline bool is_bf16(const Tensor& x) { return x.defined() && x.dtype() == bf16; }

/// An argument of a kernel as it is.
template <class Arg>
struct Widened {
  Arg value;
  explicit Widened(Arg arg) : value(arg) {}
  void finish() {}
};

/// A tensor that is read: as f32 where it is bf16.
template <>
struct Widened<const Tensor&> {
  Tensor value;
  explicit Widened(const Tensor& x) : value(x) {
    if (!is_bf16(x)) return;
    value = empty(x.shape());
    kernels::convert(x, value);
  }
  void finish() {}
};

/// A tensor that is written, whole: f32 while the kernel runs where it is bf16, then rounded.
template <>
struct Widened<Tensor&> {
  Tensor& y;
  Tensor value;
  explicit Widened(Tensor& whole) : y(whole), value(is_bf16(whole) ? empty(whole.shape()) : whole) {}
  void finish() {
    if (is_bf16(y)) kernels::convert(value, y);
  }
};

template <auto kernel, class = decltype(kernel)>
struct WidenedKernel;
template <auto kernel, class... Args>
struct WidenedKernel<kernel, void (*)(Args...)> {
  static void run(Args... args) {
    std::tuple<Widened<Args>...> wide(args...);
    std::apply([](auto&... arg) { kernel(arg.value...), (arg.finish(), ...); }, wide);
  }
};

/// The kernel, which knows f32 and f64, with bf16 tensors read as f32 and written rounded.
template <auto kernel>
inline constexpr auto widened = WidenedKernel<kernel>::run;

}  // namespace karyon::cpu
