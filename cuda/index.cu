// Elements by their index. A thread moves one element; where equal indices may meet, a thread owns all
// elements of some rows and takes the sources in order, so that nothing depends on the order of threads.
#include <karyon/core/kernels/functors/index.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;

template <class T>
const T* raw(const Tensor& x) {
  return static_cast<const T*>(x.data_ptr());
}
template <class T>
T* raw(Tensor& x) {
  return static_cast<T*>(x.data_ptr());
}

// ---- rows ----

void locate(const Tensor& index, const Tensor& base, const kernels::IndexedDim& dim, Tensor& y) {
  using T = std::int64_t;
  map<T>(functors::Locate{dim}, y, Input<T>{index}, Input<T>{base});
}

// An array of [outer, size, inner] and one of [outer, n, inner].
struct Rows {
  const std::int64_t* row;  // n numbers below size
  std::int64_t outer, size, n, inner;

  Rows(const Tensor& whole, const Tensor& rows)
      : row(rows.data<std::int64_t>()),
        outer(whole.size(0)),
        size(whole.size(1)),
        n(rows.numel()),
        inner(whole.size(2)) {}
};

template <class T>
__global__ void __launch_bounds__(threads) take_rows_kernel(const T* x, T* y, Rows rows) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= rows.outer * rows.n * rows.inner) return;
  std::int64_t k, j;
  const std::int64_t o = divide(divide(i, rows.inner, k), rows.n, j);
  y[i] = x[(o * rows.size + rows.row[j]) * rows.inner + k];
}

void take_rows(const Tensor& x, const Tensor& index, Tensor& y) {
  const Rows rows(x, index);
  dispatch_width(x.dtype(), [&]<class T>() {
    launch(take_rows_kernel<T>, grid_for(y.numel(), threads), threads, 0, raw<T>(x), raw<T>(y), rows);
  });
}

// The thread owns column k of image o, and every `parts`-th row of it; parts is a power of two.
template <class T, bool add>
__global__ void __launch_bounds__(threads) put_rows_kernel(const T* x, T* y, Rows rows, std::int64_t parts) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= rows.outer * parts * rows.inner) return;
  std::int64_t k, part;
  const std::int64_t o = divide(divide(i, rows.inner, k), parts, part);
  const T* from = x + o * rows.n * rows.inner + k;
  T* to = y + o * rows.size * rows.inner + k;
#pragma unroll 1
  for (std::int64_t j = 0; j < rows.n; ++j) {
    const std::int64_t row = rows.row[j];
    if ((row & (parts - 1)) != part) continue;
    if constexpr (add) {
      to[row * rows.inner] += from[j * rows.inner];
    } else {
      to[row * rows.inner] = from[j * rows.inner];
    }
  }
}

template <class T, bool add>
void put_rows_typed(const Tensor& x, const Rows& rows, Tensor& y) {
  constexpr std::int64_t enough = 1 << 16;  // threads that keep a device busy
  std::int64_t parts = 1;
  while (parts < rows.size && rows.outer * parts * rows.inner < enough) parts *= 2;
  launch(put_rows_kernel<T, add>, grid_for(rows.outer * parts * rows.inner, threads), threads, 0, raw<T>(x),
         raw<T>(y), rows, parts);
}

void put_rows(bool add, const Tensor& x, const Tensor& index, Tensor& y) {
  const Rows rows(y, index);
  if (x.numel() == 0) return;
  if (!add) return dispatch_width(x.dtype(), [&]<class T>() { put_rows_typed<T, false>(x, rows, y); });
  if (x.dtype() == i64) return put_rows_typed<std::int64_t, true>(x, rows, y);
  check_f32("put_rows", x);
  put_rows_typed<float, true>(x, rows, y);
}

// ---- elements that are not 0 ----

// A warp for each chunk, an element for each lane. The lanes whose elements are not 0, as bits.
template <class T>
__device__ unsigned found(const T* x, std::int64_t n, T bits, std::int64_t i) {
  return __ballot_sync(~0u, i < n && (x[i] & bits) != 0);
}
constexpr int chunk_length = static_cast<int>(kernels::nonzero_chunk);

template <class T>
__global__ void __launch_bounds__(threads)
    nonzero_counts_kernel(const T* x, std::int64_t n, T bits, std::int64_t chunks, std::int64_t* counts) {
  const std::int64_t chunk = (std::int64_t{blockIdx.x} * threads + threadIdx.x) / warp_size;
  if (chunk >= chunks) return;
  const int lane = threadIdx.x % warp_size;
  int count = 0;
  for (int k = lane; k < chunk_length; k += warp_size)
    count += __popc(found(x, n, bits, chunk * chunk_length + k));
  if (lane == 0) counts[chunk] = count;
}

struct Sizes {
  int count;
  std::int64_t size[Shape::max_dims];
};
template <class T>
__global__ void __launch_bounds__(threads)
    nonzero_kernel(const T* x, std::int64_t n, T bits, std::int64_t chunks, const std::int64_t* starts,
                   std::int64_t* y, Sizes sizes) {
  const std::int64_t chunk = (std::int64_t{blockIdx.x} * threads + threadIdx.x) / warp_size;
  if (chunk >= chunks) return;
  const int lane = threadIdx.x % warp_size;
  std::int64_t row = starts[chunk];
#pragma unroll 1
  for (int k = lane; k < chunk_length; k += warp_size) {
    std::int64_t i = chunk * chunk_length + k;
    const unsigned lanes = found(x, n, bits, i);
    if ((lanes >> lane & 1) != 0) {
      std::int64_t* to = y + (row + __popc(lanes & ((1u << lane) - 1))) * sizes.count;
#pragma unroll  // a loop with a variable index would copy the sizes to the stack
      for (int d = Shape::max_dims - 1; d >= 0; --d) {
        if (d >= sizes.count) continue;
        std::int64_t at;
        i = divide(i, sizes.size[d], at);
        to[d] = at;
      }
    }
    row += __popc(lanes);
  }
}

constexpr std::int64_t warps = threads / warp_size;

void nonzero_counts(const Tensor& x, Tensor& counts) {
  const std::int64_t chunks = counts.numel();
  dispatch_width(x.dtype(), [&]<class T>() {
    launch(nonzero_counts_kernel<T>, grid_for(chunks, warps), threads, 0, raw<T>(x), x.numel(),
           static_cast<T>(kernels::nonzero_bits(x.dtype())), chunks, counts.data<std::int64_t>());
  });
}

void nonzero(const Tensor& x, const Tensor& starts, Tensor& y) {
  const std::int64_t chunks = starts.numel();
  Sizes sizes{.count = x.dim()};
  for (int d = 0; d < sizes.count; ++d) sizes.size[d] = x.size(d);
  dispatch_width(x.dtype(), [&]<class T>() {
    launch(nonzero_kernel<T>, grid_for(chunks, warps), threads, 0, raw<T>(x), x.numel(),
           static_cast<T>(kernels::nonzero_bits(x.dtype())), chunks, starts.data<std::int64_t>(),
           y.data<std::int64_t>(), sizes);
  });
}

}  // namespace

void register_index_kernels(KernelTable& table) {
  table.add<decltype(kernels::locate), locate>("locate");
  table.add<decltype(kernels::take_rows), take_rows>("take_rows");
  table.add<decltype(kernels::put_rows), put_rows>("put_rows");
  table.add<decltype(kernels::nonzero_counts), nonzero_counts>("nonzero_counts");
  table.add<decltype(kernels::nonzero), nonzero>("nonzero");
}

}  // namespace karyon::cuda
