// One pass forward and one backward per loss: no probabilities, no unreduced losses in memory. Terms are
// computed in T and summed in double, per chunk and then in chunk order.
#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/functors/loss.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 4096;

// The values of an optional weight, by element. Each memory layout has its own type, so that loops over them
// vectorize.
template <class T>
struct Constant {
  T value;
  T operator[](std::int64_t) const { return value; }
};
template <class T>
struct Dense {
  const T* values;
  T operator[](std::int64_t i) const { return values[i]; }
};
template <class T>
struct Periodic {
  const T* values;
  std::int64_t n;
  T operator[](std::int64_t i) const { return values[i % n]; }
};

// f(the weight of `count` elements).
template <class T, class F>
void with_weight(const Tensor& weight, std::int64_t count, F f) {
  if (!weight.defined()) return f(Constant<T>{T(1)});
  if (weight.numel() == 1) return f(Constant<T>{*weight.data<T>()});
  if (weight.numel() == count) return f(Dense<T>{weight.data<T>()});
  f(Periodic<T>{weight.data<T>(), weight.numel()});
}

// Sums of f(begin, end) -> double over chunks of [0, n), in order.
template <class F>
double sum_chunks(std::int64_t n, F f) {
  std::vector<double> partial(static_cast<std::size_t>(cpu::ceil_div(n, grain)));
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    partial[static_cast<std::size_t>(b / grain)] = f(b, e);
  });
  double sum = 0;
  for (double p : partial) sum += p;
  return sum;
}

// term(begin) + ... + term(end - 1), computed in T and added in double by eight accumulators in turn.
template <class T, class Term>
double sum_terms(std::int64_t begin, std::int64_t end, Term term) {
  constexpr std::int64_t block = 512, lanes = 8;
  double sums[lanes] = {};
  double* const to = sums;
  cpu::vectorized([=] {
    T values[block];
    for (std::int64_t first = begin; first < end; first += block) {
      const std::int64_t n = std::min(block, end - first);
      for (std::int64_t i = 0; i < n; ++i) values[i] = term(first + i);
      for (std::int64_t i = n; i < block; ++i) values[i] = 0;
      for (std::int64_t i = 0; i < block; i += lanes)
        for (std::int64_t k = 0; k < lanes; ++k) to[k] += static_cast<double>(values[i + k]);
    }
  });
  return ((sums[0] + sums[1]) + (sums[2] + sums[3])) + ((sums[4] + sums[5]) + (sums[6] + sums[7]));
}

// out = the losses term(0), ..., term(n - 1), or their sum, or the sum divided by `count`.
template <class T, class Term>
void reduce_terms(std::int64_t n, Reduction reduction, double count, Tensor& out, Term term) {
  T* to = out.data<T>();
  if (reduction == Reduction::none) {
    parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
      cpu::vectorized([=] {
        for (std::int64_t i = b; i < e; ++i) to[i] = term(i);
      });
    });
    return;
  }
  const double sum = sum_chunks(n, [&](std::int64_t b, std::int64_t e) { return sum_terms<T>(b, e, term); });
  *to = static_cast<T>(reduction == Reduction::mean ? sum / count : sum);
}

// The factor of each term's gradient.
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

// dx = grad(upstream gradient of i, i).
template <class T, class Grad>
void write_gradients(const Tensor& dy, Reduction reduction, Tensor& dx, Grad grad) {
  const std::int64_t n = dx.numel();
  if (n == 0) return;
  const Upstream<T> upstream(dy, reduction, static_cast<double>(n));
  T* to = dx.data<T>();
  parallel_for(n, grain, [&](std::int64_t b, std::int64_t e) {
    cpu::vectorized([=] {
      if (upstream.values) {
        for (std::int64_t i = b; i < e; ++i) to[i] = grad(upstream.values[i], i);
      } else {
        for (std::int64_t i = b; i < e; ++i) to[i] = grad(upstream.shared, i);
      }
    });
  });
}

void bce_cpu(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
             Reduction reduction, Tensor& out) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t n = input.numel();
    with_weight<T>(weight, n, [&](auto w) {
      with_weight<T>(pos_weight, n, [&](auto pw) {
        reduce_terms<T>(n, reduction, static_cast<double>(n), out,
                        [=](std::int64_t i) { return w[i] * functors::Bce{}(x[i], t[i], pw[i]); });
      });
    });
  });
}

void bce_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                      const Tensor& pos_weight, Reduction reduction, Tensor& dx) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t n = input.numel();
    with_weight<T>(weight, n, [&](auto w) {
      with_weight<T>(pos_weight, n, [&](auto pw) {
        write_gradients<T>(dy, reduction, dx, [=](T u, std::int64_t i) {
          return u * (w[i] * functors::Bce{}.slope(x[i], t[i], pw[i]));
        });
      });
    });
  });
}

// Losses of an input and a target alone.
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
    write_gradients<T>(dy, reduction, dx, [=](T u, std::int64_t i) { return f.grad(u, x[i], t[i]); });
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
  for (std::int64_t i = 0; i < n; ++i) sum += functors::exponential(x[i] - top);
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
        for (std::int64_t k = 0; k < n; ++k) sum += out[k] = functors::exponential(row[k] - top);
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
    chunks = cpu::ceil_div(rows, chunk);
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

// Per-channel values repeated until they fill vectors: loops over pixels then run over such rows.
template <class T>
std::vector<T> repeated(const std::vector<T>& channels, std::int64_t width) {
  std::vector<T> out;
  while (static_cast<std::int64_t>(out.size()) < width)
    out.insert(out.end(), channels.begin(), channels.end());
  return out;
}
std::int64_t vector_row(std::int64_t c) { return c * ((15 + c) / c); }

void dice_cpu(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions) {
  dispatch_floating(input.dtype(), "dice_loss", [&]<class T>() {
    const Layout l(input);
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t width = vector_row(l.c);
    std::vector<double> partial(static_cast<std::size_t>(l.images * l.chunks * l.c * 2));
    l.for_chunks([&](std::int64_t, std::int64_t index, std::int64_t begin, std::int64_t end) {
      // Element i of the chunk goes into sum i % width, which is one of channel i % c.
      std::vector<double> products(static_cast<std::size_t>(width)), sums(products.size());
      double *product = products.data(), *sum = sums.data();
      cpu::vectorized([=] {
        for (std::int64_t first = begin; first < end; first += width) {
          const std::int64_t n = std::min(width, end - first);
          for (std::int64_t j = 0; j < n; ++j) {
            const T p = functors::Logit<T>(x[first + j]).p, truth = t[first + j];
            product[j] += static_cast<double>(p) * static_cast<double>(truth);
            sum[j] += static_cast<double>(p) + static_cast<double>(truth);
          }
        }
      });
      double* to = partial.data() + index * l.c * 2;
      for (std::int64_t j = 0; j < width; ++j) {
        to[2 * (j % l.c)] += 2 * product[j];
        to[2 * (j % l.c) + 1] += sum[j];
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
    const std::int64_t width = vector_row(l.c);
    l.for_chunks([&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
      // The coefficient's slope in p is (2 t - numerator / denominator) / denominator.
      const double* sums = fractions.data<double>() + image * l.c * 2;
      std::vector<T> of_truth, offset;
      for (std::int64_t k = 0; k < l.c; ++k) {
        of_truth.push_back(static_cast<T>(-upstream * 2 / sums[2 * k + 1]));
        offset.push_back(static_cast<T>(upstream * sums[2 * k] / (sums[2 * k + 1] * sums[2 * k + 1])));
      }
      of_truth = repeated(of_truth, width);
      offset = repeated(offset, width);
      const T *a = of_truth.data(), *b = offset.data();
      cpu::vectorized([=] {
        for (std::int64_t first = begin; first < end; first += width) {
          const std::int64_t n = std::min(width, end - first);
          for (std::int64_t j = 0; j < n; ++j) {
            const functors::Logit<T> logit(x[first + j]);
            to[first + j] = (a[j] * t[first + j] + b[j]) * (logit.p * logit.q);
          }
        }
      });
    });
  });
}

}  // namespace

constinit decltype(kernels::bce_with_logits) kernels::bce_with_logits{"bce_with_logits", bce_cpu};
constinit decltype(kernels::bce_with_logits_backward) kernels::bce_with_logits_backward{
    "bce_with_logits_backward", bce_backward_cpu};
constinit decltype(kernels::focal_loss) kernels::focal_loss{"focal_loss", focal_cpu};
constinit decltype(kernels::focal_loss_backward) kernels::focal_loss_backward{"focal_loss_backward",
                                                                              focal_backward_cpu};
constinit decltype(kernels::mse_loss) kernels::mse_loss{"mse_loss", mse_cpu};
constinit decltype(kernels::mse_loss_backward) kernels::mse_loss_backward{"mse_loss_backward",
                                                                          mse_backward_cpu};
constinit decltype(kernels::l1_loss) kernels::l1_loss{"l1_loss", l1_cpu};
constinit decltype(kernels::l1_loss_backward) kernels::l1_loss_backward{"l1_loss_backward", l1_backward_cpu};
constinit decltype(kernels::find_bad_class) kernels::find_bad_class{"find_bad_class", find_bad_class_cpu};
constinit decltype(kernels::cross_entropy) kernels::cross_entropy{"cross_entropy", cross_entropy_cpu};
constinit decltype(kernels::cross_entropy_backward) kernels::cross_entropy_backward{
    "cross_entropy_backward", cross_entropy_backward_cpu};
constinit decltype(kernels::dice_loss) kernels::dice_loss{"dice_loss", dice_cpu};
constinit decltype(kernels::dice_loss_backward) kernels::dice_loss_backward{"dice_loss_backward",
                                                                            dice_backward_cpu};

}  // namespace karyon
