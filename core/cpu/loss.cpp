// One pass forward and one backward per loss: no probabilities, no unreduced losses in memory. Terms are
// computed in T and summed in double, per chunk and then in chunk order.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <karyon/core/functors.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 4096;

template <class T>
T sigmoid(T x) {
  const T e = std::exp(-std::abs(x));
  return (x >= 0 ? T(1) : e) / (1 + e);
}

// An optional weight that repeats along the elements.
template <class T>
struct Periodic {
  const T* values;
  std::int64_t n;

  explicit Periodic(const Tensor& x)
      : values(x.defined() ? x.data<T>() : nullptr), n(values ? x.numel() : 1) {}
  T operator[](std::int64_t i) const { return values ? values[n == 1 ? 0 : i % n] : T(1); }
};

// Sums of f(begin, end) -> double over chunks of [0, n), in order.
template <class F>
double sum_chunks(std::int64_t n, F f) {
  std::vector<double> partial(static_cast<std::size_t>((n + grain - 1) / grain));
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    partial[static_cast<std::size_t>(b / grain)] = f(b, e);
  });
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

// out = the losses term(0), ..., term(n - 1), or their sum, or the sum divided by `count`.
template <class T, class Term>
void reduce_terms(std::int64_t n, Reduction reduction, double count, Tensor& out, Term term) {
  T* to = out.data<T>();
  if (reduction == Reduction::none) {
    parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) to[i] = term(i);
    });
    return;
  }
  const double sum = sum_chunks(n, [&](std::int64_t b, std::int64_t e) {
    double s = 0;
    for (std::int64_t i = b; i < e; ++i) s += static_cast<double>(term(i));
    return s;
  });
  *to = static_cast<T>(reduction == Reduction::mean ? sum / count : sum);
}

// What each term's gradient is multiplied by.
template <class T>
struct Upstream {
  const T* values;
  T shared = 0;

  Upstream(const Tensor& dy, Reduction reduction, double count)
      : values(reduction == Reduction::none ? dy.data<T>() : nullptr) {
    if (!values)
      shared =
          static_cast<T>(static_cast<double>(*dy.data<T>()) / (reduction == Reduction::mean ? count : 1));
  }
  T operator[](std::int64_t i) const { return values ? values[i] : shared; }
};

template <class T, class Slope>
void scale_slopes(const Tensor& dy, Reduction reduction, Tensor& dx, Slope slope) {
  const std::int64_t n = dx.numel();
  if (n == 0) return;
  const Upstream<T> upstream(dy, reduction, static_cast<double>(n));
  T* to = dx.data<T>();
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) to[i] = upstream[i] * slope(i);
  });
}

void bce_cpu(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
             Reduction reduction, Tensor& out) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const Periodic<T> w(weight), pw(pos_weight);
    const std::int64_t n = input.numel();
    reduce_terms<T>(n, reduction, static_cast<double>(n), out,
                    [=](std::int64_t i) { return w[i] * functors::Bce{}(x[i], t[i], pw[i]); });
  });
}

void bce_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                      const Tensor& pos_weight, Reduction reduction, Tensor& dx) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const Periodic<T> w(weight), pw(pos_weight);
    scale_slopes<T>(dy, reduction, dx,
                    [=](std::int64_t i) { return w[i] * functors::Bce{}.slope(x[i], t[i], pw[i]); });
  });
}

// Losses of an input and a target that need no more.
template <class F>
void pair_loss(const char* op, F f, const Tensor& input, const Tensor& target, Reduction reduction,
               Tensor& out) {
  dispatch_floating(input.dtype(), op, [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t n = input.numel();
    reduce_terms<T>(n, reduction, static_cast<double>(n), out, [=](std::int64_t i) { return f(x[i], t[i]); });
  });
}
template <class F>
void pair_loss_backward(const char* op, F f, const Tensor& dy, const Tensor& input, const Tensor& target,
                        Reduction reduction, Tensor& dx) {
  dispatch_floating(input.dtype(), op, [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    scale_slopes<T>(dy, reduction, dx, [=](std::int64_t i) { return f.slope(x[i], t[i]); });
  });
}

void focal_cpu(const Tensor& input, const Tensor& target, double alpha, double gamma, Reduction reduction,
               Tensor& out) {
  pair_loss("focal_loss", functors::Focal{alpha, gamma}, input, target, reduction, out);
}
void focal_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, double alpha,
                        double gamma, Reduction reduction, Tensor& dx) {
  pair_loss_backward("focal_loss", functors::Focal{alpha, gamma}, dy, input, target, reduction, dx);
}
void mse_cpu(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("mse_loss", functors::SquaredDifference{}, input, target, reduction, out);
}
void mse_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                      Tensor& dx) {
  pair_loss_backward("mse_loss", functors::SquaredDifference{}, dy, input, target, reduction, dx);
}
void l1_cpu(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("l1_loss", functors::AbsoluteDifference{}, input, target, reduction, out);
}
void l1_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                     Tensor& dx) {
  pair_loss_backward("l1_loss", functors::AbsoluteDifference{}, dy, input, target, reduction, dx);
}

void find_bad_class_cpu(const Tensor& target, std::int64_t classes, std::int64_t ignore_index,
                        Tensor& position) {
  const auto* t = target.data<std::int64_t>();
  const auto* end = t + target.numel();
  const auto* bad =
      std::find_if(t, end, [=](std::int64_t k) { return (k < 0 || k >= classes) && k != ignore_index; });
  *position.data<std::int64_t>() = bad == end ? -1 : bad - t;
}

// -log softmax(x)[k] of a row of n.
template <class T>
T negative_log_likelihood(const T* x, std::int64_t n, std::int64_t k) {
  const T top = *std::max_element(x, x + n);
  T sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
  return (top - x[k]) + std::log(sum);
}

void cross_entropy_cpu(const Tensor& input, const Tensor& target, const Tensor& weight,
                       std::int64_t ignore_index, Reduction reduction, Tensor& out, Tensor& total_weight) {
  dispatch_floating(input.dtype(), "cross_entropy", [&]<class T>() {
    const std::int64_t n = input.size(-1), rows = target.numel();
    const T *x = input.data<T>(), *w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const double total = sum_chunks(rows, [&](std::int64_t b, std::int64_t e) {
      double s = 0;
      for (std::int64_t i = b; i < e; ++i)
        if (t[i] != ignore_index) s += w ? static_cast<double>(w[t[i]]) : 1.0;
      return s;
    });
    *total_weight.data<double>() = total;
    reduce_terms<T>(rows, reduction, total, out, [=](std::int64_t i) {
      if (t[i] == ignore_index) return T(0);
      return (w ? w[t[i]] : T(1)) * negative_log_likelihood(x + i * n, n, t[i]);
    });
  });
}

void cross_entropy_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target,
                                const Tensor& weight, std::int64_t ignore_index, Reduction reduction,
                                const Tensor& total_weight, Tensor& dx) {
  if (dx.numel() == 0) return;
  dispatch_floating(input.dtype(), "cross_entropy", [&]<class T>() {
    const std::int64_t n = input.size(-1);
    const T *x = input.data<T>(), *w = weight.defined() ? weight.data<T>() : nullptr;
    const auto* t = target.data<std::int64_t>();
    const Upstream<T> upstream(dy, reduction, *total_weight.data<double>());
    T* to = dx.data<T>();
    parallel_for(target.numel(), grain, [&](std::int64_t b, std::int64_t e) {
      for (std::int64_t i = b; i < e; ++i) {
        const T* row = x + i * n;
        T* out = to + i * n;
        if (t[i] == ignore_index) {
          std::fill(out, out + n, T(0));
          continue;
        }
        const T top = *std::max_element(row, row + n), scale = upstream[i] * (w ? w[t[i]] : T(1));
        T sum = 0;
        for (std::int64_t k = 0; k < n; ++k) sum += out[k] = std::exp(row[k] - top);
        for (std::int64_t k = 0; k < n; ++k) out[k] *= scale / sum;
        out[t[i]] -= scale;
      }
    });
  });
}

// [images, rows, C], rows in chunks of about `grain` elements.
struct Layout {
  std::int64_t images, rows, c, chunk, chunks;

  explicit Layout(const Tensor& x) : images(x.size(0)), rows(1), c(x.size(-1)) {
    for (int d = 1; d + 1 < x.dim(); ++d) rows *= x.size(d);
    chunk = std::max<std::int64_t>(1, grain / std::max<std::int64_t>(1, c));
    chunks = (rows + chunk - 1) / chunk;
  }

  // Calls fn(image, index, begin, end): the elements of each chunk of rows.
  template <class F>
  void for_chunks(F fn) const {
    parallel_for(images * chunks, 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const std::int64_t image = i / chunks, begin = i % chunks * chunk;
        fn(image, i, (image * rows + begin) * c, (image * rows + std::min(rows, begin + chunk)) * c);
      }
    });
  }
};

void dice_cpu(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions) {
  dispatch_floating(input.dtype(), "dice_loss", [&]<class T>() {
    const Layout l(input);
    const T *x = input.data<T>(), *t = target.data<T>();
    std::vector<double> partial(static_cast<std::size_t>(l.images * l.chunks * l.c * 2));
    l.for_chunks([&](std::int64_t, std::int64_t index, std::int64_t begin, std::int64_t end) {
      double* sums = partial.data() + index * l.c * 2;
      for (std::int64_t i = begin; i < end; i += l.c)
        for (std::int64_t k = 0; k < l.c; ++k) {
          const auto p = static_cast<double>(sigmoid(x[i + k])), truth = static_cast<double>(t[i + k]);
          sums[2 * k] += 2 * p * truth;
          sums[2 * k + 1] += p + truth;
        }
    });
    double* sums = fractions.data<double>();
    std::fill(sums, sums + fractions.numel(), smooth);
    for (std::int64_t i = 0; i < l.images * l.chunks; ++i)
      for (std::int64_t k = 0; k < 2 * l.c; ++k)
        sums[i / l.chunks * l.c * 2 + k] += partial[static_cast<std::size_t>(i * l.c * 2 + k)];
    double loss = 0;
    const std::int64_t n = l.images * l.c;
    for (std::int64_t i = 0; i < n; ++i) loss += 1 - sums[2 * i] / sums[2 * i + 1];
    *out.data<T>() = static_cast<T>(loss / static_cast<double>(n));
  });
}

void dice_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                       Tensor& dx) {
  dispatch_floating(input.dtype(), "dice_loss", [&]<class T>() {
    const Layout l(input);
    const T *x = input.data<T>(), *t = target.data<T>();
    T* to = dx.data<T>();
    const double upstream = static_cast<double>(*dy.data<T>()) / static_cast<double>(l.images * l.c);
    l.for_chunks([&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
      const double* sums = fractions.data<double>() + image * l.c * 2;
      for (std::int64_t i = begin; i < end; i += l.c)
        for (std::int64_t k = 0; k < l.c; ++k) {
          const double numerator = sums[2 * k], denominator = sums[2 * k + 1];
          const T e = std::exp(-std::abs(x[i + k])), slope = e / ((1 + e) * (1 + e));
          const double fraction_slope =
              (2 * static_cast<double>(t[i + k]) - numerator / denominator) / denominator;
          to[i + k] = static_cast<T>(-upstream * fraction_slope) * slope;
        }
    });
  });
}

}  // namespace

constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, const Tensor&, Reduction, Tensor&)>
    kernels::bce_with_logits{"bce_with_logits", bce_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, const Tensor&, const Tensor&, Reduction,
                      Tensor&)>
    kernels::bce_with_logits_backward{"bce_with_logits_backward", bce_backward_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, double, double, Reduction, Tensor&)> kernels::focal_loss{
    "focal_loss", focal_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, double, double, Reduction, Tensor&)>
    kernels::focal_loss_backward{"focal_loss_backward", focal_backward_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, Reduction, Tensor&)> kernels::mse_loss{"mse_loss",
                                                                                           mse_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, Reduction, Tensor&)>
    kernels::mse_loss_backward{"mse_loss_backward", mse_backward_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, Reduction, Tensor&)> kernels::l1_loss{"l1_loss", l1_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, Reduction, Tensor&)>
    kernels::l1_loss_backward{"l1_loss_backward", l1_backward_cpu};
constinit Kernel<void(const Tensor&, std::int64_t, std::int64_t, Tensor&)> kernels::find_bad_class{
    "find_bad_class", find_bad_class_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, std::int64_t, Reduction, Tensor&, Tensor&)>
    kernels::cross_entropy{"cross_entropy", cross_entropy_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, const Tensor&, std::int64_t, Reduction,
                      const Tensor&, Tensor&)>
    kernels::cross_entropy_backward{"cross_entropy_backward", cross_entropy_backward_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, double, Tensor&, Tensor&)> kernels::dice_loss{"dice_loss",
                                                                                                  dice_cpu};
constinit Kernel<void(const Tensor&, const Tensor&, const Tensor&, const Tensor&, Tensor&)>
    kernels::dice_loss_backward{"dice_loss_backward", dice_backward_cpu};

}  // namespace karyon
