#pragma once
#include <algorithm>
#include <limits>
#include <vector>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/parallel.h>

// What losses share: their terms are computed in T and summed in double, per chunk and then in chunk order.
namespace karyon::cpu {

inline constexpr std::int64_t loss_grain = 4096;

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
  std::vector<double> partial(static_cast<std::size_t>(ceil_div(n, loss_grain)));
  parallel_for(n, loss_grain, [&](std::int64_t b, std::int64_t e) {
    partial[static_cast<std::size_t>(b / loss_grain)] = f(b, e);
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
  vectorized([=] {
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
    parallel_for(n, loss_grain, [&](std::int64_t b, std::int64_t e) {
      vectorized([=] {
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
  parallel_for(n, loss_grain, [&](std::int64_t b, std::int64_t e) {
    vectorized([=] {
      if (upstream.values) {
        for (std::int64_t i = b; i < e; ++i) to[i] = grad(upstream.values[i], i);
      } else {
        for (std::int64_t i = b; i < e; ++i) to[i] = grad(upstream.shared, i);
      }
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

// [images, rows, C], rows in chunks of about `loss_grain` elements.
struct ImageRows {
  std::int64_t images, rows, c, chunk, chunks;

  explicit ImageRows(const Tensor& x) : images(x.size(0)), rows(1), c(x.size(-1)) {
    for (int d = 1; d + 1 < x.dim(); ++d) rows *= x.size(d);
    chunk = std::max<std::int64_t>(1, loss_grain / std::max<std::int64_t>(1, c));
    chunks = ceil_div(rows, chunk);
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

// Adds the chunks' sums above and below, [chunk][c][2], to fractions [image][c][2], which begin with `smooth`.
// Returns the mean of 1 - above / below.
inline double mean_miss(const ImageRows& l, const std::vector<double>& partial, double smooth,
                        double* fractions) {
  const std::int64_t n = l.images * l.c;
  std::fill(fractions, fractions + 2 * n, smooth);
  for (std::int64_t i = 0; i < l.images * l.chunks; ++i)
    for (std::int64_t k = 0; k < 2 * l.c; ++k)
      fractions[i / l.chunks * l.c * 2 + k] += partial[static_cast<std::size_t>(i * l.c * 2 + k)];
  double loss = 0;
  for (std::int64_t i = 0; i < n; ++i) loss += 1 - fractions[2 * i] / fractions[2 * i + 1];
  return loss / static_cast<double>(n);
}

}  // namespace karyon::cpu
