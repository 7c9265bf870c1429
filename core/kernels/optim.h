#pragma once
#include <vector>

#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

/// y[i] = the sum of the squares of x[i]; y is f64 [x.size()].
extern Kernel<void(const std::vector<Tensor>& x, Tensor& y)> sum_of_squares;
/// y = the root of the sum of x, added in order; x is f64 [n], y f64 [].
extern Kernel<void(const Tensor& x, Tensor& y)> root_of_sum;
/// Multiplies every x by factor = limit / (norm + 1e-6), unless that is 1 or more or the norm is not finite;
/// norm is f64 [].
extern Kernel<void(double limit, const Tensor& norm, std::vector<Tensor>& x)> limit_norm;
/// Every `to` becomes (1 - weight) to + weight from.
extern Kernel<void(double weight, const std::vector<Tensor>& from, std::vector<Tensor>& to)> lerp_all;
/// y limited to [-limit, limit]; NaN stays.
extern Kernel<void(double limit, Tensor& y)> limit_magnitude;

struct SGDStep {
  double lr, momentum, dampening, weight_decay;
  bool nesterov, first;
};
/// One update of each p; velocity is empty without momentum.
extern Kernel<void(const SGDStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& velocity)>
    sgd_step;

struct AdamStep {
  double lr, beta1, beta2, eps, weight_decay;
  double correction1, correction2;  // 1 - beta^step
  bool decoupled;
};
/// One update of each p and of the averages of its gradient (m) and of that one's square (v).
extern Kernel<void(const AdamStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m, std::vector<Tensor>& v)>
    adam_step;

struct RMSpropStep {
  double lr, alpha, eps, weight_decay, momentum;
};
/// One update of each p. grad_avg is empty unless the variance is centered, velocity without momentum.
extern Kernel<void(const RMSpropStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& square_avg, std::vector<Tensor>& grad_avg,
                   std::vector<Tensor>& velocity)>
    rmsprop_step;

struct AdagradStep {
  double lr, eps, weight_decay;
};
/// One update of each p and of the sum of its squared gradients.
extern Kernel<void(const AdagradStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& sum)>
    adagrad_step;

struct LionStep {
  double lr, beta1, beta2, weight_decay;
};
/// One update of each p and of the average of its gradient (m).
extern Kernel<void(const LionStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m)>
    lion_step;

/// One update of the averages m and v as Adam's. direction = the corrected m / (root of the corrected v + eps)
/// + weight_decay p; p stays.
extern Kernel<void(const AdamStep& step, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m, std::vector<Tensor>& v, std::vector<Tensor>& direction)>
    lamb_direction;

}  // namespace karyon::kernels
