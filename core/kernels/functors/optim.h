#pragma once
#include <cmath>

#include <karyon/core/kernels/optim.h>

// Optimizers, written once for every device: a parameter's gradient updates the parameter and its averages.
namespace karyon::functors {

/// What limit_norm multiplies by.
inline constexpr double norm_factor(double limit, double norm) {
  const double factor = limit / (norm + 1e-6);  // as PyTorch's: a hair below the limit
  return norm < INFINITY && factor < 1 ? factor : 1;
}

template <class T>
struct Scale {
  T factor;
  constexpr void operator()(T& x) const { x *= factor; }
};

template <class T>
struct Lerp {
  T keep, weight;
  explicit Lerp(double share) : keep(static_cast<T>(1 - share)), weight(static_cast<T>(share)) {}
  constexpr void operator()(T from, T& to) const { to = keep * to + weight * from; }
};

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

/// RMSprop (Hinton, 2012) with the overloads that its buffers need.
template <class T, bool centered>
struct RMSpropUpdate {
  T lr, alpha, rest, eps, decay, momentum;

  explicit RMSpropUpdate(const kernels::RMSpropStep& s)
      : lr(static_cast<T>(s.lr)),
        alpha(static_cast<T>(s.alpha)),
        rest(static_cast<T>(1 - s.alpha)),
        eps(static_cast<T>(s.eps)),
        decay(static_cast<T>(s.weight_decay)),
        momentum(static_cast<T>(s.momentum)) {}
  constexpr void operator()(T gradient, T& p, T& square_avg) const {
    const T d = gradient + decay * p;
    square_avg = alpha * square_avg + rest * d * d;
    p -= lr * (d / (std::sqrt(square_avg) + eps));
  }
  /// `other` is the average of the gradient if centered, and else the velocity.
  constexpr void operator()(T gradient, T& p, T& square_avg, T& other) const {
    if constexpr (centered) {
      p -= lr * centered_direction(gradient, p, square_avg, other);
    } else {
      const T d = gradient + decay * p;
      square_avg = alpha * square_avg + rest * d * d;
      other = momentum * other + d / (std::sqrt(square_avg) + eps);
      p -= lr * other;
    }
  }
  constexpr void operator()(T gradient, T& p, T& square_avg, T& grad_avg, T& velocity) const {
    velocity = momentum * velocity + centered_direction(gradient, p, square_avg, grad_avg);
    p -= lr * velocity;
  }

 private:
  constexpr T centered_direction(T gradient, T p, T& square_avg, T& grad_avg) const {
    const T d = gradient + decay * p;
    square_avg = alpha * square_avg + rest * d * d;
    grad_avg += rest * (d - grad_avg);
    const T variance = square_avg - grad_avg * grad_avg;
    return d / (std::sqrt(variance > 0 ? variance : T{0}) + eps);  // rounding can make it negative
  }
};

/// Adagrad (Duchi, Hazan and Singer, 2011).
template <class T>
struct AdagradUpdate {
  T lr, eps, decay;

  explicit AdagradUpdate(const kernels::AdagradStep& s)
      : lr(static_cast<T>(s.lr)), eps(static_cast<T>(s.eps)), decay(static_cast<T>(s.weight_decay)) {}
  constexpr void operator()(T gradient, T& p, T& sum) const {
    const T d = gradient + decay * p;
    sum += d * d;
    p -= lr * (d / (std::sqrt(sum) + eps));
  }
};

/// Lion (Chen et al., 2023).
template <class T>
struct LionUpdate {
  T lr, beta1, rest1, beta2, rest2, keep;

  explicit LionUpdate(const kernels::LionStep& s)
      : lr(static_cast<T>(s.lr)),
        beta1(static_cast<T>(s.beta1)),
        rest1(static_cast<T>(1 - s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        rest2(static_cast<T>(1 - s.beta2)),
        keep(static_cast<T>(1 - s.lr * s.weight_decay)) {}
  constexpr void operator()(T gradient, T& p, T& average) const {
    const T c = beta1 * average + rest1 * gradient;
    const T sign = c > 0 ? T{1} : c < 0 ? T{-1} : c;  // c itself is 0 or NaN
    p = keep * p - lr * sign;
    average = beta2 * average + rest2 * gradient;
  }
};

/// The direction of LAMB (You et al., 2020), before it is scaled by the norms of tensors.
template <class T>
struct LambDirection {
  T beta1, rest1, beta2, rest2;
  T scale;  // 1 / (1 - beta1^step)
  T root;   // 1 / sqrt(1 - beta2^step)
  T eps, decay;

  explicit LambDirection(const kernels::AdamStep& s)
      : beta1(static_cast<T>(s.beta1)),
        rest1(static_cast<T>(1 - s.beta1)),
        beta2(static_cast<T>(s.beta2)),
        rest2(static_cast<T>(1 - s.beta2)),
        scale(static_cast<T>(1 / s.correction1)),
        root(static_cast<T>(1 / std::sqrt(s.correction2))),
        eps(static_cast<T>(s.eps)),
        decay(static_cast<T>(s.weight_decay)) {}
  constexpr void operator()(T gradient, T& p, T& average, T& average_of_squares, T& direction) const {
    average = beta1 * average + rest1 * gradient;
    average_of_squares = beta2 * average_of_squares + rest2 * gradient * gradient;
    direction = scale * average / (std::sqrt(average_of_squares) * root + eps) + decay * p;
  }
};

}  // namespace karyon::functors
