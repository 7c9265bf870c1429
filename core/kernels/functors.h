#pragma once
#include <bit>
#include <cmath>
#include <cstdint>
#include <type_traits>

#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/optim.h>

// The elementwise formulas, written once for every device. A functor maps values to a value; its grad maps
// the output's gradient and what the operation saved (x or y, see the kernels) to the input's gradient.
namespace karyon::functors {

/// e^x. For float, 2^n e^r with |r| <= ln(2) / 2 and e^r from its series: free of branches, so that loops
/// over it vectorize; within 2 units in the last place.
template <class T>
constexpr T exponential(T x) {
  if constexpr (std::is_same_v<T, float>) {
    // Beyond these bounds the result is 0 or infinity. NaN passes.
    x = x < -104.0f ? -104.0f : x;
    x = x > 89.0f ? 89.0f : x;
    constexpr float round = 0x1.8p23f;  // adding it leaves the nearest integer in the low bits
    const float shifted = x * 1.44269504f + round;
    const float n = shifted - round;
    const float r =
        (x - n * 0.693359375f) + n * 2.12194440e-4f;  // ln 2 in two parts: the first product is exact
    const float series =
        1 +
        r * (1 + r * (1 / 2.0f +
                      r * (1 / 6.0f + r * (1 / 24.0f + r * (1 / 120.0f + r * (1 / 720.0f + r / 5040.0f))))));
    // Two factors, since 2^n alone may not be a normal number.
    const std::int32_t e = std::bit_cast<std::int32_t>(shifted) - std::bit_cast<std::int32_t>(round);
    const std::int32_t half = e >> 1;
    const auto power = [](std::int32_t k) {
      return std::bit_cast<float>(static_cast<std::uint32_t>(k + 127) << 23);
    };
    return series * power(half) * power(e - half);
  } else {
    return std::exp(x);
  }
}

/// log(1 + e) for e in [0, 1]. For float, 2 artanh(e / (2 + e)) by its series, which loses nothing for tiny e
/// and has no branches.
template <class T>
constexpr T log1p_unit(T e) {
  if constexpr (std::is_same_v<T, float>) {
    const float s = e / (2 + e), t = s * s;
    const float tail =
        t *
        (1 / 3.0f +
         t * (1 / 5.0f + t * (1 / 7.0f + t * (1 / 9.0f + t * (1 / 11.0f + t * (1 / 13.0f + t / 15.0f))))));
    return 2 * s * (1 + tail);
  } else {
    return std::log1p(e);
  }
}

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
    return x < static_cast<T>(low) || x > static_cast<T>(high) ? T(0) : dy;
  }
};
struct Square {
  template <class T>
  constexpr T operator()(T x) const {
    return x * x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return 2 * dy * x;
  }
};
struct Reciprocal {
  template <class T>
  constexpr T operator()(T x) const {
    return 1 / x;
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return -dy / (x * x);
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
    return p == 0 ? T(0) : dy * static_cast<T>(p) * std::pow(x, static_cast<T>(p - 1));
  }
};

/// f(functor) for the operations that have a gradient formula; add, mul and neg are linear and need none.
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
    case add:
    case mul:
    case neg: break;
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
    return -dy * (a / b) / b;
  }
};
struct Pow {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return std::pow(a, b);
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    return b == 0 ? T(0) : dy * b * std::pow(a, b - 1);
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return a == 0 ? T(0) : dy * std::pow(a, b) * std::log(a);
  }
};
struct Maximum {
  template <class T>
  constexpr T operator()(T a, T b) const {
    return a > b || a != a ? a : b;
  }
  template <class T>
  constexpr T grad_a(T dy, T a, T b) const {
    return a == b ? dy / 2 : a > b || a != a ? dy : T(0);
  }
  template <class T>
  constexpr T grad_b(T dy, T a, T b) const {
    return a == b ? dy / 2 : a > b || a != a ? T(0) : dy;
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

// ---- activations ----

struct Relu {
  template <class T>
  constexpr T operator()(T x) const {
    return x < 0 ? T(0) : x;  // NaN stays
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return y > 0 ? dy : T(0);
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
/// erfc(x). In float t e^(p(t) - x^2), t = 1 / (1 + |x| / 2), p a minimax fit, which vectorizes: relative
/// error 5e-7 below 1, 1.1e-6 up to 3 and 8e-6 where the result ends at 1e-38.
template <class T>
constexpr T complementary_error(T x) {
  if constexpr (std::is_same_v<T, float>) {
    constexpr float fit[] = {0.144387696f,   -0.678092559f, 1.15092335f,  -0.689517868f, -0.0848629976f,
                             0.00308153951f, 0.0342325266f, 0.386658668f, 0.99863837f,   -1.26544868f};
    const float a = x < 0 ? -x : x, t = 1 / (1 + 0.5f * a);
    float p = fit[0];
    for (int i = 1; i < 10; ++i) p = p * t + fit[i];
    const float right = t * exponential(p - a * a);
    return x < 0 ? 2 - right : right;
  } else {
    return std::erfc(x);
  }
}

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

// ---- losses: of a logit x and a target t in [0, 1]; slope is the derivative in x ----

/// log(1 + exp(x)), log(1 + exp(-x)), sigmoid(x) and sigmoid(-x): whole digits and no overflow for any x.
template <class T>
struct Logit {
  T softplus, softplus_negative, p, q;

  constexpr explicit Logit(T x) {
    const T e = exponential(-std::abs(x)), log = log1p_unit(e), large = 1 / (1 + e), small = e / (1 + e);
    softplus = (x > 0 ? x : T(0)) + log;
    softplus_negative = (x < 0 ? -x : T(0)) + log;
    if (std::isnan(x)) softplus = softplus_negative = x;
    p = x >= 0 ? large : small;
    q = x >= 0 ? small : large;
  }
};

/// Binary cross entropy; `positive` weighs the positive answers.
struct Bce {
  template <class T>
  constexpr T operator()(T x, T t, T positive) const {
    const Logit<T> l(x);
    return (1 - t) * l.softplus + positive * t * l.softplus_negative;
  }
  template <class T>
  constexpr T slope(T x, T t, T positive) const {
    const Logit<T> l(x);
    return (1 - t) * l.p - positive * t * l.q;
  }
};

/// BCE scaled by (the probability of being wrong)^gamma.
struct Focal {
  double alpha, gamma;
  template <class T>
  constexpr T class_weight(T t) const {
    const T a = static_cast<T>(alpha);
    return a < 0 ? T(1) : a * t + (1 - a) * (1 - t);
  }
  template <class T>
  constexpr T operator()(T x, T t) const {
    const Logit<T> l(x);
    const T bce = (1 - t) * l.softplus + t * l.softplus_negative, miss = l.p * (1 - t) + l.q * t;
    return class_weight(t) * bce * std::pow(miss, static_cast<T>(gamma));
  }
  template <class T>
  constexpr T slope(T x, T t) const {
    const Logit<T> l(x);
    const T power = static_cast<T>(gamma), bce = (1 - t) * l.softplus + t * l.softplus_negative;
    const T bce_slope = (1 - t) * l.p - t * l.q, miss = l.p * (1 - t) + l.q * t;
    // Where miss has underflown to 0, so has its slope; their quotient must not become 0 / 0.
    const T log_slope = miss > 0 ? (1 - 2 * t) * l.p * l.q / miss : T(0);
    return class_weight(t) * std::pow(miss, power) * (bce_slope + bce * power * log_slope);
  }
};

struct SquaredDifference {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return (x - t) * (x - t);
  }
  template <class T>
  constexpr T slope(T x, T t) const {
    return 2 * (x - t);
  }
};
struct AbsoluteDifference {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return std::abs(x - t);
  }
  template <class T>
  constexpr T slope(T x, T t) const {
    return static_cast<T>((x > t) - (x < t));
  }
};

// ---- optimizers: a parameter and its averages are updated by the parameter's gradient

/// SGD without momentum.
template <class T>
struct SGDUpdate {
  T lr, decay;

  explicit SGDUpdate(const kernels::SGDStep& s)
      : lr(static_cast<T>(s.lr)), decay(static_cast<T>(s.weight_decay)) {}
  constexpr void operator()(T gradient, T& p) const { p -= lr * (gradient + decay * p); }
};

template <class T>
struct SGDMomentumUpdate {
  T lr, momentum, fresh, decay;
  bool nesterov;

  explicit SGDMomentumUpdate(const kernels::SGDStep& s)
      : lr(static_cast<T>(s.lr)),
        momentum(static_cast<T>(s.momentum)),
        fresh(static_cast<T>(s.first ? 1 : 1 - s.dampening)),
        decay(static_cast<T>(s.weight_decay)),
        nesterov(s.nesterov) {}
  constexpr void operator()(T gradient, T& p, T& velocity) const {
    const T d = gradient + decay * p;
    velocity = momentum * velocity + fresh * d;
    p -= lr * (nesterov ? d + momentum * velocity : velocity);
  }
};

/// Adam (Kingma and Ba, 2015) and, with decoupled weight decay, AdamW (Loshchilov and Hutter, 2019).
template <class T>
struct AdamUpdate {
  T beta1, beta2, rest1, rest2;
  T rate;  // lr / (1 - beta1^step)
  T root;  // 1 / sqrt(1 - beta2^step)
  T eps, decay;
  T keep;  // what decoupled weight decay leaves of a parameter

  explicit AdamUpdate(const kernels::AdamStep& s)
      : beta1(static_cast<T>(s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        rest1(static_cast<T>(1 - s.beta1)),
        rest2(static_cast<T>(1 - s.beta2)),
        rate(static_cast<T>(s.lr / s.correction1)),
        root(static_cast<T>(1 / std::sqrt(s.correction2))),
        eps(static_cast<T>(s.eps)),
        decay(static_cast<T>(s.decoupled ? 0 : s.weight_decay)),
        keep(static_cast<T>(s.decoupled ? 1 - s.lr * s.weight_decay : 1)) {}
  constexpr void operator()(T gradient, T& p, T& average, T& average_of_squares) const {
    const T d = gradient + decay * p;
    average = beta1 * average + rest1 * d;
    average_of_squares = beta2 * average_of_squares + rest2 * d * d;
    p = keep * p - rate * average / (std::sqrt(average_of_squares) * root + eps);
  }
};

}  // namespace karyon::functors
