#pragma once
#include <cmath>
#include <type_traits>

#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/functors/math.h>

// Activations, written once for every device. A functor maps a value to a value. Its grad maps the output's
// gradient and what the operation saved (x or y, see the kernels) to the input's gradient.
namespace karyon::functors {

struct Relu {
  template <class T>
  constexpr T operator()(T x) const {
    return x < 0 ? T(0) : x;  // NaN stays
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return y <= 0 ? T(0) : dy;  // at NaN as PyTorch
  }
};
struct LeakyRelu {
  double slope;
  template <class T>
  constexpr T operator()(T x) const {
    return x > 0 ? x : static_cast<T>(slope) * x;
  }
  template <class T>
  constexpr T grad(T dy, T x_or_y) const {
    return x_or_y > 0 ? dy : static_cast<T>(slope) * dy;
  }
};
struct Sigmoid {
  template <class T>
  constexpr T operator()(T x) const {
    const T e = exponential(x < 0 ? x : -x);  // at most 1
    return (x < 0 ? e : T(1)) / (1 + e);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * y * (1 - y);
  }
};
struct Tanh {
  template <class T>
  constexpr T operator()(T x) const {
    if constexpr (std::is_same_v<T, float>) {
      // Lambert's fraction where 1 - e would cancel, e^(-2|x|) elsewhere; both computed, to vectorize.
      const float t = x * x, near = x * (945 + t * (105 + t)) / (945 + t * (420 + t * 15));
      const float a = x < 0 ? -x : x, e = exponential(-2 * a), far = (1 - e) / (1 + e);
      return a < 0.5f ? near : x < 0 ? -far : far;
    } else {
      return std::tanh(x);
    }
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * (1 - y * y);
  }
};
struct Softplus {
  double beta, threshold;
  template <class T>
  constexpr T operator()(T x) const {
    const T b = static_cast<T>(beta), z = b * x;
    const T soft = ((z > 0 ? z : T(0)) + log1p_unit(exponential(z < 0 ? z : -z))) / b;
    return z > static_cast<T>(threshold) ? x : soft;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T z = static_cast<T>(beta) * x;
    return z > static_cast<T>(threshold) ? dy : dy * Sigmoid{}(z);
  }
};
struct Silu {
  template <class T>
  constexpr T operator()(T x) const {
    return x * Sigmoid{}(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T s = Sigmoid{}(x);
    return dy * s * (1 + x * (1 - s));
  }
};

struct Gelu {
  static constexpr double sqrt_half = 0.70710678118654752440, inv_sqrt_2pi = 0.39894228040143267794;
  template <class T>
  constexpr T operator()(T x) const {
    // erfc keeps the left tail's digits.
    return T(0.5) * x * complementary_error(-x * static_cast<T>(sqrt_half));
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T cdf = T(0.5) * complementary_error(-x * static_cast<T>(sqrt_half));
    return dy * (cdf + x * static_cast<T>(inv_sqrt_2pi) * exponential(T(-0.5) * x * x));
  }
};

/// f(functor) for each activation.
template <class F>
void visit(kernels::Activation op, double p, double q, F&& f) {
  using enum kernels::Activation;
  switch (op) {
    case relu: return f(Relu{});
    case leaky_relu: return f(LeakyRelu{p});
    case sigmoid: return f(Sigmoid{});
    case tanh: return f(Tanh{});
    case softplus: return f(Softplus{p, q});
    case silu: return f(Silu{});
    case gelu: return f(Gelu{});
  }
}

}  // namespace karyon::functors
