#pragma once
#include <cmath>

#include <karyon/core/kernels/optim.h>

// Optimizers, written once for every device: a parameter's gradient updates the parameter and its averages.
namespace karyon::functors {

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
