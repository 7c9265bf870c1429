// The updates of optimizers: each reads and writes every array once.
#include <cmath>
#include <vector>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 16384;

// The numbers of a step in the type of the tensors. The loops below get them by value and the arrays
// as restricted pointers: only then do they vectorize.
template <class T>
struct SgdNumbers {
  T lr, momentum, fresh, decay;
};
template <class T>
void sgd_plain(std::int64_t n, SgdNumbers<T> k, const T* __restrict g, T* __restrict x) {
  for (std::int64_t i = 0; i < n; ++i) x[i] -= k.lr * (g[i] + k.decay * x[i]);
}
template <bool nesterov, class T>
void sgd_momentum(std::int64_t n, SgdNumbers<T> k, const T* __restrict g, T* __restrict x, T* __restrict v) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T d = g[i] + k.decay * x[i];
    v[i] = k.momentum * v[i] + k.fresh * d;
    x[i] -= k.lr * (nesterov ? d + k.momentum * v[i] : v[i]);
  }
}

void sgd_step_cpu(const kernels::SGDStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                  std::vector<Tensor>& velocity) {
  dispatch_floating(p[0].dtype(), "SGD", [&]<class T>() {
    const SgdNumbers<T> k{.lr = static_cast<T>(s.lr),
                          .momentum = static_cast<T>(s.momentum),
                          .fresh = static_cast<T>(s.first ? 1 : 1 - s.dampening),
                          .decay = static_cast<T>(s.weight_decay)};
    for (std::size_t i = 0; i < p.size(); ++i) {
      const T* g = grad[i].data<T>();
      T* x = p[i].data<T>();
      T* v = velocity.empty() ? nullptr : velocity[i].data<T>();
      parallel_for(p[i].numel(), grain, [&](std::int64_t b, std::int64_t e) {
        if (!v) {
          sgd_plain(e - b, k, g + b, x + b);
        } else if (s.nesterov) {
          sgd_momentum<true>(e - b, k, g + b, x + b, v + b);
        } else {
          sgd_momentum<false>(e - b, k, g + b, x + b, v + b);
        }
      });
    }
  });
}

template <class T>
struct AdamNumbers {
  T beta1, beta2, rest1, rest2;
  T rate;  // lr / (1 - beta1^step)
  T root;  // 1 / sqrt(1 - beta2^step)
  T eps, decay;
  T keep;  // what decoupled weight decay leaves of a parameter
};
template <class T>
void adam_update(std::int64_t n, AdamNumbers<T> k, const T* __restrict g, T* __restrict x, T* __restrict m,
                 T* __restrict v) {
  for (std::int64_t i = 0; i < n; ++i) {
    const T d = g[i] + k.decay * x[i];
    m[i] = k.beta1 * m[i] + k.rest1 * d;
    v[i] = k.beta2 * v[i] + k.rest2 * d * d;
    x[i] = k.keep * x[i] - k.rate * m[i] / (std::sqrt(v[i]) * k.root + k.eps);
  }
}

void adam_step_cpu(const kernels::AdamStep& s, const std::vector<Tensor>& grad, std::vector<Tensor>& p,
                   std::vector<Tensor>& m, std::vector<Tensor>& v) {
  dispatch_floating(p[0].dtype(), "Adam", [&]<class T>() {
    const AdamNumbers<T> k{.beta1 = static_cast<T>(s.beta1),
                           .beta2 = static_cast<T>(s.beta2),
                           .rest1 = static_cast<T>(1 - s.beta1),
                           .rest2 = static_cast<T>(1 - s.beta2),
                           .rate = static_cast<T>(s.lr / s.correction1),
                           .root = static_cast<T>(1 / std::sqrt(s.correction2)),
                           .eps = static_cast<T>(s.eps),
                           .decay = static_cast<T>(s.decoupled ? 0 : s.weight_decay),
                           .keep = static_cast<T>(s.decoupled ? 1 - s.lr * s.weight_decay : 1)};
    for (std::size_t i = 0; i < p.size(); ++i) {
      const T* g = grad[i].data<T>();
      T *x = p[i].data<T>(), *avg = m[i].data<T>(), *avg_sq = v[i].data<T>();
      parallel_for(p[i].numel(), grain, [&](std::int64_t b, std::int64_t e) {
        adam_update(e - b, k, g + b, x + b, avg + b, avg_sq + b);
      });
    }
  });
}

template <class T>
double sum_of_squares(const T* values, std::int64_t n) {
  std::vector<double> partial(static_cast<std::size_t>(cpu::ceil_div(n, grain)));
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    double sum = 0;
    for (std::int64_t i = b; i < e; ++i)
      sum += static_cast<double>(values[i]) * static_cast<double>(values[i]);
    partial[static_cast<std::size_t>(b / grain)] = sum;
  });
  double sum = 0;
  for (const double part : partial) sum += part;
  return sum;
}
void sum_of_squares_cpu(const std::vector<Tensor>& x, Tensor& y) {
  for (std::size_t i = 0; i < x.size(); ++i)
    dispatch_floating(x[i].dtype(), "sum_of_squares",
                      [&]<class T>() { y.data<double>()[i] = sum_of_squares(x[i].data<T>(), x[i].numel()); });
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

constinit decltype(kernels::sgd_step) kernels::sgd_step{"sgd_step", sgd_step_cpu};
constinit decltype(kernels::adam_step) kernels::adam_step{"adam_step", adam_step_cpu};
constinit decltype(kernels::sum_of_squares) kernels::sum_of_squares{"sum_of_squares", sum_of_squares_cpu};
constinit decltype(kernels::limit_magnitude) kernels::limit_magnitude{"limit_magnitude", limit_magnitude_cpu};

}  // namespace karyon
