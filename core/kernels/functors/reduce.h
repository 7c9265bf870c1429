#pragma once
#include <cmath>
#include <cstdint>
#include <limits>

#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/reduce.h>

// Gradients of reductions, written once for every device. A slope maps an element x, its result y and the
// result's gradient dy to the element's gradient.
namespace karyon::functors {

/// y = log(sum(exp(x))).
struct ExponentialSlope {
  template <class T>
  constexpr T operator()(T x, T y, T dy) const {
    return dy * exponential(y == -std::numeric_limits<T>::infinity() ? x : x - y);
  }
};

/// y = sum(|x|^p)^(1/p). At 0 the gradient is 0, also that of the norm itself.
struct SignSlope {  // p = 1
  template <class T>
  constexpr T operator()(T x, T, T dy) const {
    return x > 0 ? dy : x < 0 ? -dy : T(0);
  }
};
struct DirectionSlope {  // p = 2
  template <class T>
  constexpr T operator()(T x, T y, T dy) const {
    return y == 0 ? T(0) : dy * (x / y);
  }
};
struct NormSlope {
  double p;
  template <class T>
  constexpr T operator()(T x, T y, T dy) const {
    if (x == 0 || y == 0) return 0;
    const T power = std::pow(std::abs(x) / y, static_cast<T>(p - 1));
    return dy * (x < 0 ? -power : power);
  }
};

/// y = the mean; p = 2 over the degrees of freedom.
struct DeviationSlope {
  double p;
  template <class T>
  constexpr T operator()(T x, T y, T dy) const {
    return static_cast<T>(p) * dy * (x - y);
  }
};

template <class F>
void visit(kernels::Slope slope, double p, F&& f) {
  using enum kernels::Slope;
  switch (slope) {
    case exponential: return f(ExponentialSlope{});
    case deviation: return f(DeviationSlope{p});
    case norm:
      if (p == 1) return f(SignSlope{});
      if (p == 2) return f(DirectionSlope{});
      return f(NormSlope{p});
  }
}

/// Numbers whose product without one of them is wanted, also where some are 0, infinite or NaN.
struct Factors {
  double product;  // of finite numbers other than 0, and of the signs of infinities
  std::int64_t zeros, infinities, nans;
  static constexpr Factors start() { return {1, 0, 0, 0}; }

  static constexpr bool infinite(double x) { return x - x != 0 && x == x; }
  /// What x contributes to `product`.
  static constexpr double finite(double x) {
    if (infinite(x)) return x < 0 ? -1 : 1;
    return x == 0 || x != x ? 1 : x;
  }
  constexpr void add(double x) {
    product *= finite(x);
    zeros += x == 0;
    infinities += infinite(x);
    nans += x != x;
  }
  constexpr void join(const Factors& other) {
    product *= other.product;
    zeros += other.zeros;
    infinities += other.infinities;
    nans += other.nans;
  }
  /// The product without x.
  constexpr double others(double x) const {
    const double rest = product / finite(x);
    const bool zero = zeros > (x == 0), infinity = infinities > infinite(x), nan = nans > (x != x);
    if (nan || (zero && infinity)) return std::numeric_limits<double>::quiet_NaN();
    return zero ? 0 : infinity ? rest * std::numeric_limits<double>::infinity() : rest;
  }
};

}  // namespace karyon::functors
