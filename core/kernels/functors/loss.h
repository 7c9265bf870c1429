#pragma once
#include <cmath>

#include <karyon/core/kernels/functors/math.h>

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

}  // namespace karyon::functors
