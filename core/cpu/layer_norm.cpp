// Layer normalization and, without means, RMS normalization: rows are independent, so each is summed along
// itself, in a fixed number of interleaved partial sums that fill vectors.
#include <array>
#include <cmath>
#include <vector>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

// The sum of f(0), ..., f(n - 1) in T over 16 interleaved sums of at most 512 terms each, then double.
template <class T, class F>
double sum(std::int64_t n, F f) {
  constexpr std::int64_t width = 16, stretch = width * 512;
  double total = 0;
  for (std::int64_t first = 0; first < n; first += stretch) {
    const std::int64_t end = std::min(n, first + stretch);
    std::array<T, width> sums{};
    std::int64_t i = first;
    for (; i + width <= end; i += width)
      for (std::int64_t k = 0; k < width; ++k) sums[static_cast<std::size_t>(k)] += f(i + k);
    for (; i < end; ++i) sums[static_cast<std::size_t>(i % width)] += f(i);
    for (std::size_t half = width / 2; half > 0; half /= 2)
      for (std::size_t k = 0; k < half; ++k) sums[k] += sums[k + half];
    total += static_cast<double>(sums[0]);
  }
  return total;
}

std::int64_t grain(std::int64_t elements) { return std::max<std::int64_t>(1, 32768 / elements); }

template <class T>
const T* optional(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

void layer_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                    Tensor& mean, Tensor& rstd) {
  const std::int64_t rows = rstd.numel();
  if (rows == 0) return;
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    const std::int64_t d = x.numel() / rows;
    const T *w = optional<T>(weight), *b = optional<T>(bias), *from = x.data<T>();
    T *to = y.data<T>(), *means = mean.defined() ? mean.data<T>() : nullptr, *rstds = rstd.data<T>();
    parallel_for(rows, grain(d), [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t i = first; i < last; ++i) {
        const T* row = from + i * d;
        T* __restrict out = to + i * d;
        const auto n = static_cast<double>(d);
        const T m = means ? static_cast<T>(sum<T>(d, [row](std::int64_t k) { return row[k]; }) / n) : T(0);
        const double var = sum<T>(d, [row, m](std::int64_t k) { return (row[k] - m) * (row[k] - m); }) / n;
        const T r = static_cast<T>(1 / std::sqrt(var + eps));
        if (means) means[i] = m;
        rstds[i] = r;
        for (std::int64_t k = 0; k < d; ++k) out[k] = (row[k] - m) * r;
        if (w)
          for (std::int64_t k = 0; k < d; ++k) out[k] *= w[k];
        if (b)
          for (std::int64_t k = 0; k < d; ++k) out[k] += b[k];
      }
    });
  });
}

template <class T>
void layer_norm_backward_typed(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                               const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  const std::int64_t rows = rstd.numel(), d = x.numel() / rows, chunk = grain(d);
  const std::int64_t chunks = cpu::ceil_div(rows, chunk);
  const bool parameters = dweight.defined() || dbias.defined();
  const T *w = optional<T>(weight), *grads = dy.data<T>(), *from = x.data<T>(), *means = optional<T>(mean),
          *rstds = rstd.data<T>();
  T* to = dx.defined() ? dx.data<T>() : nullptr;
  std::vector<double> partial(static_cast<std::size_t>(parameters ? chunks * 2 * d : 0));
  parallel_for(rows, chunk, [&](std::int64_t first, std::int64_t last) {
    for (std::int64_t i = first; i < last; ++i) {
      const T *g = grads + i * d, *row = from + i * d;
      const T m = means ? means[i] : T(0), r = rstds[i];
      if (to) {
        const auto n = static_cast<double>(d);
        auto weighted = [g, w](std::int64_t k) { return w ? g[k] * w[k] : g[k]; };
        const T a = means ? static_cast<T>(sum<T>(d, weighted) / n) : T(0);
        const T b =
            static_cast<T>(sum<T>(d, [=](std::int64_t k) { return weighted(k) * ((row[k] - m) * r); }) / n);
        T* __restrict out = to + i * d;
        for (std::int64_t k = 0; k < d; ++k) out[k] = r * (weighted(k) - a - (row[k] - m) * r * b);
      }
      if (parameters) {
        double* __restrict grad_weight = partial.data() + first / chunk * 2 * d;
        double* __restrict grad_bias = grad_weight + d;
        for (std::int64_t k = 0; k < d; ++k) {
          grad_weight[k] += static_cast<double>(g[k] * ((row[k] - m) * r));
          grad_bias[k] += static_cast<double>(g[k]);
        }
      }
    }
  });
  for (std::int64_t k = 0; parameters && k < d; ++k) {
    double grad_weight = 0, grad_bias = 0;
    for (std::int64_t c = 0; c < chunks; ++c) {
      grad_weight += partial[static_cast<std::size_t>(c * 2 * d + k)];
      grad_bias += partial[static_cast<std::size_t>((c * 2 + 1) * d + k)];
    }
    if (dweight.defined()) dweight.data<T>()[k] = static_cast<T>(grad_weight);
    if (dbias.defined()) dbias.data<T>()[k] = static_cast<T>(grad_bias);
  }
}

void layer_norm_backward_cpu(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  if (x.numel() == 0) {
    if (dweight.defined()) dweight.zero_();
    if (dbias.defined()) dbias.zero_();
    return;
  }
  dispatch_floating(x.dtype(), "layer_norm", [&]<class T>() {
    layer_norm_backward_typed<T>(dy, x, weight, mean, rstd, dx, dweight, dbias);
  });
}

}  // namespace

constinit decltype(kernels::layer_norm) kernels::layer_norm{"layer_norm", cpu::widened<layer_norm_cpu>};
constinit decltype(kernels::layer_norm_backward) kernels::layer_norm_backward{
    "layer_norm_backward", cpu::widened<layer_norm_backward_cpu>};

}  // namespace karyon
