#pragma once
#include <cmath>
#include <type_traits>

#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/functors/rounding.h>

// Operations on one tensor and on two, written once for every device. A functor maps values to a value. Its
// grad maps the output's gradient and what the operation saved (x or y, see the kernels) to the input's
// gradient. Gradients at NaN and at the ends of T's range are PyTorch's: factors are multiplied in its order,
// dy last, so that a product does not overflow on the way to a result that fits.
namespace karyon::functors {

/// Integers wrap around instead of overflowing.
template <class T>
using Wrapping =
    typename std::conditional_t<std::is_integral_v<T>, std::make_unsigned<T>, std::type_identity<T>>::type;

// ---- one tensor, and numbers ----

struct AddScalar {
  double p;
  template <class T>
  constexpr T operator()(T x) const {
    return static_cast<T>(static_cast<Wrapping<T>>(x) + static_cast<Wrapping<T>>(static_cast<T>(p)));
  }
};
struct MulScalar {
  double p;
  template <class T>
  constexpr T operator()(T x) const {
    return static_cast<T>(static_cast<Wrapping<T>>(x) * static_cast<Wrapping<T>>(static_cast<T>(p)));
  }
};
struct Neg {
  template <class T>
  constexpr T operator()(T x) const {
    return -x;
  }
};
struct Exp {
  template <class T>
  constexpr T operator()(T x) const {
    return exponential(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * y;
  }
};
struct Log {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy / x;
  }
};
struct Sqrt {
  template <class T>
  constexpr T operator()(T x) const {
    return std::sqrt(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy / (2 * y);
  }
};
struct Abs {
  template <class T>
  constexpr T operator()(T x) const {
    return std::abs(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return x > 0 ? dy : x < 0 ? -dy : T(0);
  }
};
struct Clamp {
  double low, high;
  template <class T>
  constexpr T operator()(T x) const {
    const T lo = static_cast<T>(low), hi = static_cast<T>(high);
    return x < lo ? lo : x > hi ? hi : x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return x >= static_cast<T>(low) && x <= static_cast<T>(high) ? dy : T(0);
  }
};
struct Square {
  template <class T>
  constexpr T operator()(T x) const {
    return x * x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return 2 * (dy * x);
  }
};
struct Reciprocal {
  template <class T>
  constexpr T operator()(T x) const {
    return 1 / x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return -dy / x / x;
  }
};
struct PowScalar {
  double p;
  template <class T>
  constexpr T operator()(T x) const {
    return std::pow(x, static_cast<T>(p));
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return p == 0 ? T(0) : dy * (static_cast<T>(p) * std::pow(x, static_cast<T>(p - 1)));
  }
};

/// f(functor) for the operations that have a gradient formula; the others are linear or constant.
template <class F>
void visit_nonlinear(kernels::Unary op, double p, double q, F&& f) {
  using enum kernels::Unary;
  switch (op) {
    case exp: return f(Exp{});
    case log: return f(Log{});
    case sqrt: return f(Sqrt{});
    case abs: return f(Abs{});
    case clamp: return f(Clamp{p, q});
    case pow:
      if (p == 2) return f(Square{});
      if (p == -1) return f(Reciprocal{});
      return f(PowScalar{p});
    default: break;
  }
}

// ---- two tensors ----

struct Add {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) + static_cast<Wrapping<T>>(b));
  }
};
struct Sub {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) - static_cast<Wrapping<T>>(b));
  }
};
struct Mul {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return static_cast<T>(static_cast<Wrapping<T>>(a) * static_cast<Wrapping<T>>(b));
  }
};
struct Div {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a / b;
  }
  template <class T>
  constexpr T grad_a(T dy, T, T b) const {
    return dy / b;
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return -dy * (a / b / b);
  }
};
struct Pow {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return std::pow(a, b);
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    return b == 0 ? T(0) : dy * (b * std::pow(a, b - 1));
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return a == 0 && b >= 0 ? T(0) : dy * (std::pow(a, b) * std::log(a));
  }
};
struct Maximum {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    return a == b ? dy / 2 : a < b ? T(0) : dy;  // beside NaN both sides get dy
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return a == b ? dy / 2 : a > b ? T(0) : dy;
  }
};
struct Minimum {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a < b || a != a ? a : b;
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    return Maximum{}.grad_a(dy, -a, -b);
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return Maximum{}.grad_b(dy, -a, -b);
  }
};
/// The angle of (b, a). The gradient at (0, 0) is 0.
struct Atan2 {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return std::atan2(a, b);
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    const T square = a * a + b * b;
    return dy * b * (square == 0 ? T(0) : 1 / square);
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return grad_a(dy, b, -a);
  }
};
struct Tie {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a == b || (a != a && b != b) ? T(1) : T(0);
  }
};

/// f(functor) for operations on f32 and f64.
template <class F>
void visit_arithmetic(kernels::Binary op, F&& f) {
  using enum kernels::Binary;
  switch (op) {
    case add: return f(Add{});
    case sub: return f(Sub{});
    case mul: return f(Mul{});
    case div: return f(Div{});
    case pow: return f(Pow{});
    case maximum: return f(Maximum{});
    case minimum: return f(Minimum{});
    case remainder: return f(Remainder{});
    case fmod: return f(Fmod{});
    case atan2: return f(Atan2{});
    case tie: return f(Tie{});
    default: break;
  }
}

// ---- comparisons ----

/// What a stored element is compared as.
template <class T>
constexpr T comparable(T x) {
  return x;
}
constexpr float comparable(BFloat16 x) { return static_cast<float>(x); }

struct Eq {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return comparable(a) == comparable(b);
  }
};
struct Ne {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return comparable(a) != comparable(b);
  }
};
struct Lt {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return comparable(a) < comparable(b);
  }
};
struct Le {
  template <class T>
  constexpr bool operator()(T a, T b) const {
    return comparable(a) <= comparable(b);
  }
};

/// f(functor, swapped): the comparison of a and b, or of b and a if swapped.
template <class F>
void visit_comparison(kernels::Binary op, F&& f) {
  using enum kernels::Binary;
  switch (op) {
    case eq: return f(Eq{}, false);
    case ne: return f(Ne{}, false);
    case lt: return f(Lt{}, false);
    case le: return f(Le{}, false);
    case gt: return f(Lt{}, true);
    case ge: return f(Le{}, true);
    default: break;
  }
}

}  // namespace karyon::functors
