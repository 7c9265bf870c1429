#pragma once
#include <cmath>

#include <karyon/core/kernels/elementwise.h>

// Rounding and what is left over, written once for every device. The gradient of rounding is 0.
namespace karyon::functors {

struct Floor {
  template <class T>
  constexpr T operator()(T x) const {
    return std::floor(x);
  }
};
struct Ceil {
  template <class T>
  constexpr T operator()(T x) const {
    return std::ceil(x);
  }
};
/// Halves go to the even neighbour.
struct Round {
  template <class T>
  constexpr T operator()(T x) const {
    return std::rint(x);
  }
};
struct Trunc {
  template <class T>
  constexpr T operator()(T x) const {
    return std::trunc(x);
  }
};
/// 0 at 0 and at NaN.
struct Sign {
  template <class T>
  constexpr T operator()(T x) const {
    return static_cast<T>((x > 0) - (x < 0));
  }
};

/// f(functor) for the operations that are constant between steps.
template <class F>
void visit_steps(kernels::Unary op, F&& f) {
  using enum kernels::Unary;
  switch (op) {
    case floor: return f(Floor{});
    case ceil: return f(Ceil{});
    case round: return f(Round{});
    case trunc: return f(Trunc{});
    case sign: return f(Sign{});
    default: break;
  }
}

/// a - b trunc(a / b).
struct Fmod {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return std::fmod(a, b);
  }
  template <class T>
  constexpr T grad_a(T dy, T, T) const {
    return dy;
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return dy * -std::trunc(a / b);
  }
};
/// a - b floor(a / b).
struct Remainder {
  template <class T>
  constexpr T operator()(T a, T b) const {
    const T rest = std::fmod(a, b);
    return other_side(rest, b) ? rest + b : rest;
  }
  template <class T>
  constexpr T grad_a(T dy, T, T) const {
    return dy;
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    const T rest = std::fmod(a, b);  // a / b alone may round up to a whole number
    const T times = std::rint((a - rest) / b) - (other_side(rest, b) ? 1 : 0);
    return dy * -(b == 0 ? a / b : times);
  }

 private:
  template <class T>
  static constexpr bool other_side(T rest, T b) {
    return rest != 0 && (rest < 0) != (b < 0);
  }
};

/// a + weight (b - a), from the nearer end.
struct Lerp {
  template <class T>
  constexpr T operator()(T a, T b, T weight) const {
    return std::abs(weight) < T(0.5) ? a + weight * (b - a) : b - (b - a) * (1 - weight);
  }
};
struct LerpNumber {
  double weight;
  template <class T>
  constexpr T operator()(T a, T b) const {
    return Lerp{}(a, b, static_cast<T>(weight));
  }
};

}  // namespace karyon::functors
