// How kernels walk [rows, columns] arrays with few or many columns: images in channels-last order, with a
// result per channel.
//
// A block is `lanes` wide along the columns, in vectors of V, and 256 / lanes rows high. Each thread keeps
// its columns and steps down the rows of one chunk. So values of a column stay in registers, and a warp
// always reads whole lines. Sums leave the block once per chunk, in double, and are joined in the order of
// chunks: the same bits every time.
#pragma once
#include <algorithm>
#include <bit>
#include <cstdint>

#include <karyon/core/tensor.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/scalar.cuh>

namespace karyon::cuda {

inline constexpr int column_threads = 256;

/// [images, rows, columns] cut into chunks of rows and blocks of columns.
struct ColumnGrid {
  std::int64_t images, rows;
  int columns, chunk_rows, chunks;  ///< chunks of one image
  int lanes, vector;                ///< threads along the columns, elements each

  /// `vector`: 4, or 1 where vectors would not be aligned. A thread gets about `rows_per_thread` rows.
  ColumnGrid(std::int64_t images, std::int64_t rows, std::int64_t columns, bool vectors, int rows_per_thread)
      : images(images),
        rows(rows),
        columns(static_cast<int>(std::min<std::int64_t>(columns, INT_MAX))),
        vector(vectors && columns % 4 == 0 ? 4 : 1) {
    const auto width = static_cast<unsigned>((columns + vector - 1) / vector);
    lanes = static_cast<int>(std::min(std::bit_ceil(std::max(1u, width)), vector == 4 ? 32u : 64u));
    const std::int64_t per_block = std::int64_t{lanes} * vector, most_blocks = 65535;
    check(columns <= most_blocks * per_block, "cuda: expects at most ", most_blocks * per_block,
          " channels, got ", columns);
    const std::int64_t height = column_threads / lanes, most = 1024;
    // Enough chunks to fill a device, but few enough that joining them is cheap.
    std::int64_t chunk = std::max(height * rows_per_thread, ceil_div(rows, most));
    chunk_rows = static_cast<int>(std::min<std::int64_t>(chunk, std::max<std::int64_t>(rows, 1)));
    chunks = static_cast<int>(ceil_div(rows, std::int64_t{chunk_rows}));
  }

  dim3 grid() const {
    return {grid_for(images * chunks, 1), grid_for(columns, std::int64_t{lanes} * vector)};
  }
  dim3 block() const { return {static_cast<unsigned>(lanes), static_cast<unsigned>(column_threads / lanes)}; }
};

/// A thread's share: columns [column, column + V) if inside, and every step-th row of a chunk.
template <int V>
struct ColumnPlace {
  std::int64_t image, first;  ///< the image, and its element (0, column)
  int chunk, begin, end, step, column;
  bool inside;

  __device__ explicit ColumnPlace(const ColumnGrid& g) {
    image = blockIdx.x / static_cast<unsigned>(g.chunks);
    chunk = static_cast<int>(blockIdx.x % static_cast<unsigned>(g.chunks));
    column = static_cast<int>(blockIdx.y * blockDim.x + threadIdx.x) * V;
    inside = column < g.columns;
    const std::int64_t top = std::int64_t{chunk} * g.chunk_rows;
    begin = static_cast<int>(threadIdx.y);
    end = static_cast<int>(min(std::int64_t{g.chunk_rows}, g.rows - top));
    step = static_cast<int>(blockDim.y);
    first = (image * g.rows + top) * g.columns + column;
  }
};

/// Every thread gets the sums over the threads of its block that have the same columns. Halves are added in a
/// fixed order. All threads of the block must call it; more than once is fine.
template <int count>
__device__ inline void sum_over_rows(double (&values)[count]) {
  __shared__ double parts[count][column_threads];
  const int width = static_cast<int>(blockDim.x), y = static_cast<int>(threadIdx.y);
  const int thread = y * width + static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < count; ++i) parts[i][thread] = values[i];
  for (int half = static_cast<int>(blockDim.y) / 2; half > 0; half /= 2) {
    __syncthreads();
    if (y < half)
#pragma unroll
      for (int i = 0; i < count; ++i) parts[i][thread] += parts[i][thread + half * width];
  }
  __syncthreads();
#pragma unroll
  for (int i = 0; i < count; ++i) values[i] = parts[i][threadIdx.x];
  __syncthreads();
}

/// sums [images, chunks, 2, columns]: the sums over a chunk of two values. f(at, row, values) gives both for
/// V columns of one row; `at` is the element, `row` counts over all images. f's constructor argument is
/// (params, image, column).
template <int V, class F>
__global__ void __launch_bounds__(column_threads)
    column_sums(const __grid_constant__ ColumnGrid g, const __grid_constant__ typename F::Params params,
                double* sums) {
  const ColumnPlace<V> place(g);
  float a[V] = {}, b[V] = {};
  if (place.inside) {
    const F f(params, place.image, place.column);
    const std::int64_t top = place.image * g.rows + std::int64_t{place.chunk} * g.chunk_rows;
#pragma unroll 2
    for (int row = place.begin; row < place.end; row += place.step) {
      float u[V], v[V];
      f(place.first + std::int64_t{row} * g.columns, top + row, u, v);
#pragma unroll
      for (int i = 0; i < V; ++i) a[i] += u[i], b[i] += v[i];
    }
  }
  double totals[2 * V];
#pragma unroll
  for (int i = 0; i < V; ++i) totals[i] = a[i], totals[V + i] = b[i];
  sum_over_rows(totals);
  if (!place.inside || threadIdx.y != 0) return;
  double* out = sums + std::int64_t{blockIdx.x} * 2 * g.columns + place.column;
#pragma unroll
  for (int i = 0; i < V; ++i) out[i] = totals[i], out[g.columns + i] = totals[V + i];
}

/// Joins the chunks of all images: totals [2][columns], each may be nullptr.
template <class T>
__global__ void __launch_bounds__(column_threads)
    join_column_sums(const double* sums, std::int64_t chunks, int columns, T* first, T* second) {
  const int column = static_cast<int>(blockIdx.x) * column_threads + static_cast<int>(threadIdx.x);
  if (column >= columns) return;
  double a = 0, b = 0;
#pragma unroll 4
  for (std::int64_t i = 0; i < chunks; ++i) {
    a += sums[i * 2 * columns + column];
    b += sums[(i * 2 + 1) * columns + column];
  }
  if (first) first[column] = from_float<T>(static_cast<float>(a));
  if (second) second[column] = from_float<T>(static_cast<float>(b));
}

/// Bytes that column_sums writes.
inline std::size_t column_sums_bytes(const ColumnGrid& g) {
  return static_cast<std::size_t>(g.images * g.chunks) * 2 * static_cast<std::size_t>(g.columns) *
         sizeof(double);
}

/// Launches column_sums of F<V> in the vector width of the grid.
template <template <int> class F>
void launch_column_sums(const ColumnGrid& g, const typename F<1>::Params& params, double* sums) {
  if (g.vector == 4) {
    launch(column_sums<4, F<4>>, g.grid(), g.block(), 0, g, params, sums);
  } else {
    launch(column_sums<1, F<1>>, g.grid(), g.block(), 0, g, params, sums);
  }
}

/// Whether vectors of 4 elements of every tensor are aligned.
template <class... Tensors>
bool whole_vectors(const Tensors&... tensors) {
  return (... && (!tensors.defined() || aligned(4 * element_size(tensors.dtype()), tensors.data_ptr())));
}

}  // namespace karyon::cuda
