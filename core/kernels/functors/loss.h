#pragma once
#include <cmath>

#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/loss.h>

// Losses of a logit x and a target t in [0, 1], written once for every device. `slope` is the derivative in
// x; `grad` is the loss's gradient dy times it.
namespace karyon::functors {

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
  template <class T>
  constexpr T grad(T dy, T x, T t) const {
    return dy * slope(x, t);
  }
};

struct SquaredDifference {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return (x - t) * (x - t);
  }
  template <class T>
  constexpr T grad(T dy, T x, T t) const {
    return 2 * (dy * (x - t));  // 2 (x - t) alone may overflow
  }
};
struct AbsoluteDifference {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return std::abs(x - t);
  }
  template <class T>
  constexpr T grad(T dy, T x, T t) const {
    return dy * static_cast<T>((x > t) - (x < t));
  }
};

/// A parabola up to |x - t| = delta, straight beyond; `scale` times that of Huber (1964).
struct Huber {
  double delta, scale;
  template <class T>
  constexpr T operator()(T x, T t) const {
    const T d = x - t, limit = static_cast<T>(delta), a = std::abs(d);
    const T near = static_cast<T>(0.5 * scale) * d * d, far = static_cast<T>(delta * scale) * (a - limit / 2);
    return a <= limit ? near : far;
  }
  template <class T>
  constexpr T grad(T dy, T x, T t) const {
    const T d = x - t, limit = static_cast<T>(delta), far = static_cast<T>(delta * scale);
    return dy * (d < -limit ? -far : d > limit ? far : static_cast<T>(scale) * d);
  }
};

/// t (log t - x): of a logarithm x of a probability.
struct KlDiv {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return (t == 0 ? T(0) : t * std::log(t)) - t * x;
  }
  template <class T>
  constexpr T grad(T dy, T, T t) const {
    return -t * dy;
  }
};
/// The same where t is a logarithm, too.
struct KlDivLog {
  template <class T>
  constexpr T operator()(T x, T t) const {
    return exponential(t) * (t - x);
  }
  template <class T>
  constexpr T grad(T dy, T, T t) const {
    return -exponential(t) * dy;
  }
};

/// Of a probability x; logarithms below -100 count as -100.
struct BceProbability {
  template <class T>
  static constexpr T limited(T log) {
    return log < -100 ? T(-100) : log;
  }
  template <class T>
  constexpr T operator()(T x, T t) const {
    return (t - 1) * limited(std::log1p(-x)) - t * limited(std::log(x));
  }
  template <class T>
  constexpr T grad(T dy, T x, T t) const {
    const T variance = (1 - x) * x, least = T(1e-12f);
    return dy * ((x - t) / (variance < least ? least : variance));
  }
};

/// f(functor) for each loss of a pair.
template <class F>
void visit(kernels::PairLoss op, double p, double q, F&& f) {
  using enum kernels::PairLoss;
  switch (op) {
    case huber: return f(Huber{p, q});
    case kl_div: return f(KlDiv{});
    case kl_div_log: return f(KlDivLog{});
    case binary_cross_entropy: return f(BceProbability{});
  }
}

/// The Tversky index: the sum of p t over that of p t + alpha p (1 - t) + beta (1 - p) t.
struct Tversky {
  double alpha, beta;
  constexpr double below(double p, double t) const { return p * ((1 - alpha - beta) * t + alpha) + beta * t; }
  /// The index's derivative in one p, given the whole numerator and denominator.
  constexpr double slope(double t, double numerator, double denominator) const {
    return (t - numerator / denominator * ((1 - alpha - beta) * t + alpha)) / denominator;
  }
};

/// How much the Jaccard loss grows when the element of this rank is lost, too. `seen` of the `positives` have
/// this rank or a lower one. The differences are written so that nothing cancels.
constexpr double jaccard_step(bool truth, std::int64_t positives, std::int64_t rank, std::int64_t seen) {
  if (positives == 0) return rank == 0 ? 1 : 0;
  const auto together = static_cast<double>(positives + rank + 1 - seen);
  return truth ? 1 / together : static_cast<double>(positives - seen) / (together * (together - 1));
}

}  // namespace karyon::functors
