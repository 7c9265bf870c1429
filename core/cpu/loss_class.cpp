// Losses of class indices: one pass over the rows of classes forward and one backward.
#include <algorithm>
#include <cmath>
#include <numeric>

#include <karyon/core/cpu/loss_terms.h>
#include <karyon/core/kernels/functors/math.h>

namespace karyon {
namespace {

void find_bad_class_cpu(const Tensor& target, std::int64_t classes, std::int64_t ignore_index,
                        Tensor& position) {
  const auto* t = target.data<std::int64_t>();
  const auto* end = t + target.numel();
  const auto* bad =
      std::find_if(t, end, [=](std::int64_t k) { return (k < 0 || k >= classes) && k != ignore_index; });
  *position.data<std::int64_t>() = bad == end ? -1 : bad - t;
}

// log sum exp(x) of a row of n, less its largest value.
template <class T>
T log_sum(const T* x, std::int64_t n, T top) {
  T sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += functors::exponential(x[i] - top);
  return std::log(sum);
}

// -log softmax(x)[k] of a row of n.
template <class T>
T negative_log_likelihood(const T* x, std::int64_t n, std::int64_t k) {
  const T top = *std::max_element(x, x + n);
  return (top - x[k]) + log_sum(x, n, top);
}

// The target's share of the loss, and the share of each class, times its weight.
template <class T>
struct Smoothing {
  T target, each, total_weight;

  Smoothing(double smoothing, const T* weight, std::int64_t classes)
      : target(static_cast<T>(1 - smoothing)),
        each(static_cast<T>(smoothing / static_cast<double>(classes))) {
    double sum = static_cast<double>(classes);
    if (weight) sum = std::accumulate(weight, weight + classes, 0.0);
    total_weight = static_cast<T>(sum);
  }
};

template <class T>
T smoothed_loss(const T* x, std::int64_t n, std::int64_t k, const T* weight, const Smoothing<T>& s) {
  const T top = *std::max_element(x, x + n), log = log_sum(x, n, top);
  T all = 0;
  for (std::int64_t i = 0; i < n; ++i) all += (weight ? weight[i] : T(1)) * ((top - x[i]) + log);
  return s.target * (weight ? weight[k] : T(1)) * ((top - x[k]) + log) + s.each * all;
}

// The sum of the weights of the targets that count.
template <class T>
double sum_weights(const Tensor& target, const T* w, std::int64_t ignore_index) {
  const auto* t = target.data<std::int64_t>();
  return cpu::sum_chunks(target.numel(), [&](std::int64_t b, std::int64_t e) {
    double s = 0;
    for (std::int64_t i = b; i < e; ++i)
      if (t[i] != ignore_index) s += w ? static_cast<double>(w[t[i]]) : 1.0;
    return s;
  });
}

void cross_entropy_cpu(const Tensor& input, const Tensor& target, const Tensor& weight,
                       std::int64_t ignore_index, double smoothing, Reduction reduction, Tensor& out,
                       Tensor& total_weight) {
  dispatch_floating(input.dtype(), "cross_entropy", [&]<class T>() {
    const std::int64_t n = input.size(-1), rows = target.numel();
    const T *x = input.data<T>(), *w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const double total = sum_weights(target, w, ignore_index);
    *total_weight.data<double>() = total;
    if (smoothing == 0) {
      cpu::reduce_terms<T>(rows, reduction, total, out, [=](std::int64_t i) {
        if (t[i] == ignore_index) return T(0);
        return (w ? w[t[i]] : T(1)) * negative_log_likelihood(x + i * n, n, t[i]);
      });
    } else {
      const Smoothing<T> s(smoothing, w, n);
      cpu::reduce_terms<T>(rows, reduction, total, out, [=](std::int64_t i) {
        return t[i] == ignore_index ? T(0) : smoothed_loss(x + i * n, n, t[i], w, s);
      });
    }
  });
}

void cross_entropy_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target,
                                const Tensor& weight, std::int64_t ignore_index, double smoothing,
                                Reduction reduction, const Tensor& total_weight, Tensor& dx) {
  if (dx.numel() == 0) return;
  dispatch_floating(input.dtype(), "cross_entropy", [&]<class T>() {
    const std::int64_t n = input.size(-1);
    const T *x = input.data<T>(), *w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const cpu::Upstream<T> upstream(dy, reduction, *total_weight.data<double>());
    const Smoothing<T> s(smoothing, w, n);
    T* to = dx.data<T>();
    parallel_for(target.numel(), cpu::loss_grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) {
        const T* row = x + i * n;
        T* out = to + i * n;
        if (t[i] == ignore_index) {
          std::fill(out, out + n, T(0));
          continue;
        }
        const T top = *std::max_element(row, row + n);
        const T of_target = upstream[i] * (s.target * (w ? w[t[i]] : T(1))), of_each = upstream[i] * s.each;
        const T scale = of_target + of_each * s.total_weight;
        T sum = 0;
        for (std::int64_t k = 0; k < n; ++k) sum += out[k] = functors::exponential(row[k] - top);
        for (std::int64_t k = 0; k < n; ++k) out[k] *= scale / sum;
        out[t[i]] -= of_target;
        if (smoothing != 0)
          for (std::int64_t k = 0; k < n; ++k) out[k] -= of_each * (w ? w[k] : T(1));
      }
    });
  });
}

void nll_loss_cpu(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                  Reduction reduction, Tensor& out, Tensor& total_weight) {
  dispatch_floating(input.dtype(), "nll_loss", [&]<class T>() {
    const std::int64_t n = input.size(-1);
    const T *x = input.data<T>(), *w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const double total = sum_weights(target, w, ignore_index);
    *total_weight.data<double>() = total;
    cpu::reduce_terms<T>(target.numel(), reduction, total, out, [=](std::int64_t i) {
      return t[i] == ignore_index ? T(0) : -x[i * n + t[i]] * (w ? w[t[i]] : T(1));
    });
  });
}

void nll_loss_backward_cpu(const Tensor& dy, const Tensor& target, const Tensor& weight,
                           std::int64_t ignore_index, Reduction reduction, const Tensor& total_weight,
                           Tensor& dx) {
  if (dx.numel() == 0) return;
  dispatch_floating(dx.dtype(), "nll_loss", [&]<class T>() {
    const std::int64_t n = dx.size(-1);
    const T* w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const cpu::Upstream<T> upstream(dy, reduction, *total_weight.data<double>());
    T* to = dx.data<T>();
    parallel_for(target.numel(), cpu::loss_grain, [&](std::int64_t b, std::int64_t e) {
      std::fill(to + b * n, to + e * n, T(0));
      for (std::int64_t i = b; i < e; ++i)
        if (t[i] != ignore_index) to[i * n + t[i]] = -upstream[i] * (w ? w[t[i]] : T(1));
    });
  });
}

}  // namespace

constinit decltype(kernels::find_bad_class) kernels::find_bad_class{"find_bad_class", find_bad_class_cpu};
constinit decltype(kernels::cross_entropy) kernels::cross_entropy{"cross_entropy", cross_entropy_cpu};
constinit decltype(kernels::cross_entropy_backward) kernels::cross_entropy_backward{
    "cross_entropy_backward", cross_entropy_backward_cpu};
constinit decltype(kernels::nll_loss) kernels::nll_loss{"nll_loss", nll_loss_cpu};
constinit decltype(kernels::nll_loss_backward) kernels::nll_loss_backward{"nll_loss_backward",
                                                                          nll_loss_backward_cpu};

}  // namespace karyon
