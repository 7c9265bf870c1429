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

/// x times a sigmoid near the normal distribution function: 0.5 (1 + tanh(u)) is sigmoid(2 u), with digits.
struct GeluTanh {
  static constexpr double twice_sqrt_2_over_pi = 1.59576912160573081153, cubic = 0.044715;
  template <class T>
  constexpr T operator()(T x) const {
    return x * Sigmoid{}(static_cast<T>(twice_sqrt_2_over_pi) * x * (1 + static_cast<T>(cubic) * x * x));
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T square = static_cast<T>(cubic) * x * x, scale = static_cast<T>(twice_sqrt_2_over_pi);
    const T s = Sigmoid{}(scale * x * (1 + square));
    return dy * (s + x * (s * (1 - s)) * (scale * (1 + 3 * square)));
  }
};

struct Hardtanh {
  double low, high;
  template <class T>
  constexpr T operator()(T x) const {
    const T lo = static_cast<T>(low), hi = static_cast<T>(high);
    return x < lo ? lo : x > hi ? hi : x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return x <= static_cast<T>(low) || x >= static_cast<T>(high) ? T(0) : dy;
  }
};
struct Hardsigmoid {
  template <class T>
  constexpr T operator()(T x) const {
    return Hardtanh{0, 6}(x + 3) / 6;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return x > -3 && x < 3 ? dy / 6 : T(0);
  }
};
struct Hardswish {
  template <class T>
  constexpr T operator()(T x) const {
    return x * Hardtanh{0, 6}(x + 3) / 6;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return x <= -3 ? T(0) : x < 3 ? dy * (x / 3 + T(0.5)) : dy;
  }
};

/// scale x above 0, scale alpha (e^(rate x) - 1) below.
struct Elu {
  double alpha, scale = 1, rate = 1;
  template <class T>
  constexpr T operator()(T x) const {
    const T below =
        static_cast<T>(alpha * scale) * exponential_minus_one(static_cast<T>(rate) * (x < 0 ? x : T(0)));
    return x < 0 ? below : static_cast<T>(scale) * x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T below =
        static_cast<T>(alpha * scale * rate) * exponential(static_cast<T>(rate) * (x < 0 ? x : T(0)));
    return x <= 0 ? dy * below : dy * static_cast<T>(scale);
  }
};
inline constexpr double selu_alpha = 1.67326324235437728482, selu_scale = 1.05070098735548049342;

/// x tanh(softplus(x)), the tanh by exponentials that neither overflow nor cancel.
struct Mish {
  template <class T>
  static constexpr T gate(T x) {
    const T e = exponential(x < 0 ? x : -x), square = e * e;
    const T above = x < 0 ? square + 2 * e : 1 + 2 * e;
    return above / (x < 0 ? above + 2 : above + 2 * square);
  }
  template <class T>
  constexpr T operator()(T x) const {
    return x * gate(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T g = gate(x);
    return dy * (g + x * Sigmoid{}(x) * (1 - g * g));
  }
};
struct LogSigmoid {
  template <class T>
  constexpr T operator()(T x) const {
    return (x < 0 ? x : T(0)) - log1p_unit(exponential(x < 0 ? x : -x));
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * Sigmoid{}(-x);
  }
};
struct Softsign {
  template <class T>
  constexpr T operator()(T x) const {
    return x / (1 + std::abs(x));
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    const T below = 1 + std::abs(x);
    return dy / below / below + (x - x);  // NaN at infinity, as the value
  }
};

// x where x > 0, weight x elsewhere.
struct Prelu {
  template <class T>
  constexpr T operator()(T x, T weight) const {
    return x > 0 ? x : weight * x;
  }
};
struct PreluGrad {
  template <class T>
  constexpr T operator()(T dy, T x, T weight) const {
    return x > 0 ? dy : weight * dy;
  }
};
struct PreluWeightGrad {
  template <class T>
  constexpr T operator()(T dy, T x) const {
    return x > 0 ? T(0) : x * dy;
  }
};

// a sigmoid(b).
struct Glu {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a * Sigmoid{}(b);
  }
  template <class T>
  constexpr T grad_a(T dy, T, T b) const {
    return dy * Sigmoid{}(b);
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    const T s = Sigmoid{}(b);
    return dy * a * (s * (1 - s));
  }
};

/// f(functor) for each activation of one tensor.
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
    case gelu_tanh: return f(GeluTanh{});
    case hardtanh: return f(Hardtanh{p, q});
    case hardswish: return f(Hardswish{});
    case hardsigmoid: return f(Hardsigmoid{});
    case elu: return f(Elu{p});
    case celu: return f(Elu{p, 1, 1 / p});
    case selu: return f(Elu{selu_alpha, selu_scale});
    case mish: return f(Mish{});
    case logsigmoid: return f(LogSigmoid{});
    case softsign: return f(Softsign{});
  }
}

}  // namespace karyon::functors
