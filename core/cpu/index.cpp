#include <cstring>

#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/width.h>
#include <karyon/core/kernels/functors/index.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 32768;  // elements

template <class T>
const T* raw(const Tensor& x) {
  return static_cast<const T*>(x.data_ptr());
}
template <class T>
T* raw(Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

template <class T>
void copy_row(const T* from, T* to, std::int64_t n) {
  std::memcpy(to, from, static_cast<std::size_t>(n) * sizeof(T));
}

// ---- rows ----

void locate_cpu(const Tensor& index, const Tensor& base, const kernels::IndexedDim& dim, Tensor& y) {
  using T = std::int64_t;
  cpu::map<T>(functors::Locate{dim}, y, cpu::Input<T>{index}, cpu::Input<T>{base});
}

template <class T>
void take_rows_typed(const Tensor& x, const Tensor& rows, Tensor& y) {
  const std::int64_t size = x.size(1), inner = x.size(2), n = rows.numel();
  const auto* row = rows.data<std::int64_t>();
  const T* in = raw<T>(x);
  T* out = raw<T>(y);
  parallel_for(x.size(0) * n, std::max<std::int64_t>(1, grain / inner),
               [&](std::int64_t begin, std::int64_t end) {
                 std::int64_t o = begin / n, j = begin - o * n;
                 for (std::int64_t i = begin; i < end; ++i) {
                   copy_row(in + (o * size + row[j]) * inner, out + i * inner, inner);
                   if (++j == n) j = 0, ++o;
                 }
               });
}

void take_rows_cpu(const Tensor& x, const Tensor& rows, Tensor& y) {
  if (y.numel() == 0) return;
  cpu::dispatch_width(x.dtype(), [&]<class T>() { take_rows_typed<T>(x, rows, y); });
}

// A chunk owns columns of y, and goes through x's rows in order.
template <class T, class F>
void for_each_row(const Tensor& x, const Tensor& rows, Tensor& y, F f) {
  constexpr std::int64_t most_columns = 256;
  const std::int64_t size = y.size(1), inner = y.size(2), n = rows.numel();
  const std::int64_t blocks = (inner + most_columns - 1) / most_columns;
  const auto* row = rows.data<std::int64_t>();
  const T* in = raw<T>(x);
  T* out = raw<T>(y);
  parallel_for(y.size(0) * blocks, std::max<std::int64_t>(1, grain / (n * std::min(inner, most_columns))),
               [&](std::int64_t begin, std::int64_t end) {
                 for (std::int64_t i = begin; i < end; ++i) {
                   const std::int64_t o = i / blocks, first = (i - o * blocks) * most_columns;
                   const std::int64_t columns = std::min(most_columns, inner - first);
                   for (std::int64_t j = 0; j < n; ++j)
                     f(in + (o * n + j) * inner + first, out + (o * size + row[j]) * inner + first, columns);
                 }
               });
}

void put_rows_cpu(bool add, const Tensor& x, const Tensor& rows, Tensor& y) {
  if (x.numel() == 0) return;
  if (!add) {
    cpu::dispatch_width(x.dtype(), [&]<class T>() {
      for_each_row<T>(x, rows, y, [](const T* from, T* to, std::int64_t n) { copy_row(from, to, n); });
    });
    return;
  }
  auto sum = [&]<class T>() {
    for_each_row<T>(x, rows, y, [](const T* from, T* to, std::int64_t n) {
      for (std::int64_t k = 0; k < n; ++k) to[k] += from[k];
    });
  };
  if (x.dtype() == i64) return sum.operator()<std::int64_t>();
  dispatch_floating(x.dtype(), "put_rows", sum);
}

// ---- elements that are not 0 ----

// f(c, begin, end) for each chunk.
template <class F>
void for_each_chunk(std::int64_t n, F f) {
  constexpr std::int64_t chunk = kernels::nonzero_chunk;
  parallel_for((n + chunk - 1) / chunk, grain / chunk, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t c = begin; c < end; ++c) f(c, c * chunk, std::min(n, (c + 1) * chunk));
  });
}

void nonzero_counts_cpu(const Tensor& x, Tensor& counts) {
  auto* count = counts.data<std::int64_t>();
  cpu::dispatch_width(x.dtype(), [&]<class T>() {
    const T* in = raw<T>(x);
    const auto bits = static_cast<T>(kernels::nonzero_bits(x.dtype()));
    for_each_chunk(x.numel(), [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
      count[c] = std::count_if(in + begin, in + end, [bits](T value) { return (value & bits) != 0; });
    });
  });
}

void nonzero_cpu(const Tensor& x, const Tensor& starts, Tensor& y) {
  const Shape shape = x.shape();
  const auto* start = starts.data<std::int64_t>();
  auto* out = y.data<std::int64_t>();
  cpu::dispatch_width(x.dtype(), [&]<class T>() {
    const T* in = raw<T>(x);
    const auto bits = static_cast<T>(kernels::nonzero_bits(x.dtype()));
    for_each_chunk(x.numel(), [&](std::int64_t c, std::int64_t begin, std::int64_t end) {
      std::int64_t* to = out + start[c] * shape.dims();
      for (std::int64_t i = begin; i < end; ++i) {
        if ((in[i] & bits) == 0) continue;
        std::int64_t rest = i;
        for (int d = shape.dims() - 1; d > 0; --d) {
          to[d] = rest % shape[d];
          rest /= shape[d];
        }
        if (shape.dims() > 0) to[0] = rest;
        to += shape.dims();
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::locate) kernels::locate{"locate", locate_cpu};
constinit decltype(kernels::take_rows) kernels::take_rows{"take_rows", take_rows_cpu};
constinit decltype(kernels::put_rows) kernels::put_rows{"put_rows", put_rows_cpu};
constinit decltype(kernels::nonzero_counts) kernels::nonzero_counts{"nonzero_counts", nonzero_counts_cpu};
constinit decltype(kernels::nonzero) kernels::nonzero{"nonzero", nonzero_cpu};

}  // namespace karyon
