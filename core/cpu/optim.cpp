// The updates of optimizers: each reads and writes every array once.
#include <cmath>
#include <vector>

#include <karyon/core/optim/adam.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 16384;

void sgd_step_cpu(const kernels::SgdStep& s, const Tensor& grad, Tensor& p, Tensor& velocity) {
  dispatch_floating(p.dtype(), "Sgd", [&]<class T>() {
    const T* g = grad.data<T>();
    T* x = p.data<T>();
    T* v = velocity.defined() ? velocity.data<T>() : nullptr;
    const T lr = static_cast<T>(s.lr), momentum = static_cast<T>(s.momentum);
    const T fresh = static_cast<T>(s.first ? 1 : 1 - s.dampening), decay = static_cast<T>(s.weight_decay);
    const bool nesterov = s.nesterov;
    parallel_for(p.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      if (!v) {
        for (std::int64_t i = b; i < e; ++i) x[i] -= lr * (g[i] + decay * x[i]);
        return;
      }
      for (std::int64_t i = b; i < e; ++i) {
        const T d = g[i] + decay * x[i];
        v[i] = momentum * v[i] + fresh * d;
        x[i] -= lr * (nesterov ? d + momentum * v[i] : v[i]);
      }
    });
  });
}

void adam_step_cpu(const kernels::AdamStep& s, const Tensor& grad, Tensor& p, Tensor& m, Tensor& v) {
  dispatch_floating(p.dtype(), "Adam", [&]<class T>() {
    const T* g = grad.data<T>();
    T* x = p.data<T>();
    T* avg = m.data<T>();
    T* avg_sq = v.data<T>();
    const T beta1 = static_cast<T>(s.beta1), beta2 = static_cast<T>(s.beta2);
    const T rest1 = static_cast<T>(1 - s.beta1), rest2 = static_cast<T>(1 - s.beta2);
    const T rate = static_cast<T>(s.lr / s.correction1), eps = static_cast<T>(s.eps);
    const T root = static_cast<T>(1 / std::sqrt(s.correction2));
    const T decay = static_cast<T>(s.decoupled ? 0 : s.weight_decay);
    const T keep = static_cast<T>(s.decoupled ? 1 - s.lr * s.weight_decay : 1);
    parallel_for(p.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) {
        const T d = g[i] + decay * x[i];
        avg[i] = beta1 * avg[i] + rest1 * d;
        avg_sq[i] = beta2 * avg_sq[i] + rest2 * d * d;
        x[i] = keep * x[i] - rate * avg[i] / (std::sqrt(avg_sq[i]) * root + eps);
      }
    });
  });
}

void sum_of_squares_cpu(const Tensor& x, Tensor& y) {
  const std::int64_t n = x.numel();
  std::vector<double> partial(static_cast<std::size_t>((n + grain - 1) / grain));
  dispatch_floating(x.dtype(), "sum_of_squares", [&]<class T>() {
    const T* values = x.data<T>();
    parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
      double sum = 0;
      for (std::int64_t i = b; i < e; ++i)
        sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
      partial[static_cast<std::size_t>(b / grain)] = sum;
    });
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  y.data<double>()[0] = sum;
}

void limit_magnitude_cpu(double limit, Tensor& y) {
  dispatch_floating(y.dtype(), "clip_grad_value_", [&]<class T>() {
    T* values = y.data<T>();
    const T high = static_cast<T>(limit);
    parallel_for(y.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i)
        values[i] = values[i] > high ? high : values[i] < -high ? -high : values[i];
    });
  });
}

}  // namespace

constinit Kernel<void(const kernels::SgdStep&, const Tensor&, Tensor&, Tensor&)> kernels::sgd_step{
    "sgd_step", sgd_step_cpu};
constinit Kernel<void(const kernels::AdamStep&, const Tensor&, Tensor&, Tensor&, Tensor&)> kernels::adam_step{
    "adam_step", adam_step_cpu};
constinit Kernel<void(const Tensor&, Tensor&)> kernels::sum_of_squares{"sum_of_squares", sum_of_squares_cpu};
constinit Kernel<void(double, Tensor&)> kernels::limit_magnitude{"limit_magnitude", limit_magnitude_cpu};

}  // namespace karyon
