#include <algorithm>

#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/mix.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

template <class T>
void add_scaled(T weight, const T* from, std::int64_t n, bool first, T* to) {
  cpu::vectorized([=] {
    const T* __restrict x = from;
    T* __restrict y = to;
    if (first) {
      for (std::int64_t k = 0; k < n; ++k) y[k] = weight * x[k];
    } else {
      for (std::int64_t k = 0; k < n; ++k) y[k] += weight * x[k];
    }
  });
}

void mix_rows_cpu(const Tensor& x, const Tensor& starts, const Tensor& rows, const Tensor& weights,
                  Tensor& y) {
  const std::int64_t size = x.size(1), n = y.size(1), inner = y.size(2);
  const auto *start = starts.data<std::int64_t>(), *row = rows.data<std::int64_t>();
  const std::int64_t terms = std::max<std::int64_t>(1, rows.numel() / n);
  dispatch_floating(x.dtype(), "mix_rows", [&]<class T>() {
    const T *from = x.data<T>(), *weight = weights.data<T>();
    T* to = y.data<T>();
    const std::int64_t grain = std::max<std::int64_t>(1, 32768 / (terms * inner));
    parallel_for(y.size(0) * n, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const std::int64_t o = i / n, j = i - o * n;
        T* const out = to + i * inner;
        if (start[j] == start[j + 1]) std::fill(out, out + inner, T(0));
        for (std::int64_t t = start[j]; t < start[j + 1]; ++t)
          add_scaled(weight[t], from + (o * size + row[t]) * inner, inner, t == start[j], out);
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::mix_rows) kernels::mix_rows{"mix_rows", mix_rows_cpu};

}  // namespace karyon
