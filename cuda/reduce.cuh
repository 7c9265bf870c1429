#pragma once
#include <algorithm>
#include <bit>

#include <karyon/cuda/workspace.h>
#include <karyon/cuda/divisor.cuh>
#include <karyon/cuda/launch.cuh>

// Reductions of [outer, n, inner] over n. The one idea: neighbouring threads always read neighbouring
// elements, whatever the shape. A block is cut into teams: `columns` threads lie along inner, and `rows`
// threads share each column. The remaining threads serve further outer indices. The order of additions
// depends on the shape alone, so the bits are the same every time.
namespace karyon::cuda {

inline constexpr int reduce_threads = 256;

/// How a block's threads share [outer, n, inner].
struct Teams {
  int column_bits, row_bits;  // 2^bits threads
  std::int64_t outer, n, inner;
  Divisor tiles;  // of 2^column_bits columns

  Teams(std::int64_t outer, std::int64_t n, std::int64_t inner) : outer(outer), n(n), inner(inner) {
    auto bits = [](std::int64_t size) {
      return std::bit_width(static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1)) - 1);
    };
    column_bits = std::min(static_cast<int>(bits(inner)), 5);
    row_bits = std::min(static_cast<int>(bits(n)), 8 - column_bits);
    tiles = Divisor(std::max<std::int64_t>(ceil_div(inner, std::int64_t{1} << column_bits), 1));
    check(outer * tiles.value < (std::int64_t{1} << 31), "cuda: ", outer, " x ", inner,
          " results are more than one launch takes");
  }
  /// Blocks that cover outer and inner.
  std::int64_t blocks() const {
    const std::int64_t units = inner > 0 ? outer * tiles.value : 0;
    return ceil_div(units, std::int64_t{reduce_threads} >> (column_bits + row_bits));
  }

  // The calling thread's place.
  __device__ int rows() const { return 1 << row_bits; }
  __device__ int row() const { return static_cast<int>(threadIdx.x) >> column_bits & (rows() - 1); }
  /// Its team among all, and whether that has work: its outer index and its column of inner.
  __device__ bool locate(std::int64_t& o, std::int64_t& column) const {
    const int bits = column_bits + row_bits;
    const int unit = static_cast<int>(blockIdx.x << (8 - bits)) + (static_cast<int>(threadIdx.x) >> bits);
    int tile;
    o = tiles.divide(unit, tile);
    column = (std::int64_t{tile} << column_bits) + (threadIdx.x & ((1 << column_bits) - 1));
    return o < outer && column < inner;
  }

  /// op over the values of the threads that share a column, for all of them. `shared` has room for a value
  /// per thread of the block, all of which must call.
  template <class T, class Op>
  __device__ T all(T* shared, T value, Op op) const {
    shared[threadIdx.x] = value;
    __syncthreads();
#pragma unroll 1
    for (int half = rows() / 2; half > 0; half /= 2) {
      if (row() < half) shared[threadIdx.x] = value = op(value, shared[threadIdx.x + (half << column_bits)]);
      __syncthreads();
    }
    value = shared[static_cast<int>(threadIdx.x) - (row() << column_bits)];
    __syncthreads();
    return value;
  }
};

// Block (x, y): the rows of chunk y. Op: start(), add(acc, value, row), combine(a, b).
template <class Op, class Load, class Finish>
__global__ void __launch_bounds__(reduce_threads)
    reduce_kernel(Teams teams, std::int64_t chunk, Load load, Finish finish) {
  using Acc = typename Op::Acc;
  __shared__ Acc shared[reduce_threads];
  std::int64_t o, column;
  const bool mine = teams.locate(o, column);
  Acc acc = Op::start();
  if (mine) {
    const std::int64_t begin = blockIdx.y * chunk;
    const std::int64_t end = begin + chunk < teams.n ? begin + chunk : teams.n;
#pragma unroll 4
    for (std::int64_t k = begin + teams.row(); k < end; k += teams.rows())
      acc = Op::add(acc, load((o * teams.n + k) * teams.inner + column), k);
  }
  acc = teams.all(shared, acc, [](const Acc& a, const Acc& b) { return Op::combine(a, b); });
  if (mine && teams.row() == 0) finish(o * teams.inner + column, blockIdx.y, acc);
}

template <class Op>
struct Parts {
  using Acc = typename Op::Acc;
  static __device__ Acc start() { return Op::start(); }
  static __device__ Acc add(const Acc& a, const Acc& b, std::int64_t) { return Op::combine(a, b); }
  static __device__ Acc combine(const Acc& a, const Acc& b) { return Op::combine(a, b); }
};
template <class Acc>
struct LoadPart {
  const Acc* parts;
  __device__ Acc operator()(std::int64_t i) const { return parts[i]; }
};
template <class Acc>
struct StorePart {
  Acc* parts;
  std::int64_t inner, chunks;
  __device__ void operator()(std::int64_t at, std::int64_t chunk, const Acc& acc) const {
    const std::int64_t o = at / inner;
    parts[(o * chunks + chunk) * inner + (at - o * inner)] = acc;
  }
};

/// Calls finish(o * inner + i, 0, acc) for each o and i; acc is Op over all load((o * n + k) * inner + i).
/// Few long reductions are cut into chunks, whose results are then reduced.
template <class Op, class Load, class Finish>
void reduce(std::int64_t outer, std::int64_t n, std::int64_t inner, Load load, Finish finish) {
  using Acc = typename Op::Acc;
  constexpr std::int64_t enough = 1024;  // blocks to fill any device
  const Teams teams(outer, n, inner);
  const std::int64_t blocks = teams.blocks();
  if (blocks == 0) return;
  const std::int64_t least = std::int64_t{8} << teams.row_bits;  // rows that are worth a block
  const std::int64_t wanted =
      std::clamp<std::int64_t>(enough / blocks, 1, ceil_div(std::max<std::int64_t>(n, 1), least));
  const std::int64_t chunk = ceil_div(std::max<std::int64_t>(n, 1), wanted);
  const std::int64_t chunks = ceil_div(std::max<std::int64_t>(n, 1), chunk);
  const dim3 grid(grid_for(blocks, 1), static_cast<unsigned>(chunks));
  if (chunks == 1) {
    launch(reduce_kernel<Op, Load, Finish>, grid, reduce_threads, 0, teams, chunk, load, finish);
    return;
  }
  Workspace parts(static_cast<std::size_t>(outer * chunks * inner) * sizeof(Acc));
  launch(reduce_kernel<Op, Load, StorePart<Acc>>, grid, reduce_threads, 0, teams, chunk, load,
         StorePart<Acc>{parts.data<Acc>(), inner, chunks});
  const Teams rest(outer, chunks, inner);
  launch(reduce_kernel<Parts<Op>, LoadPart<Acc>, Finish>, grid_for(rest.blocks(), 1), reduce_threads, 0, rest,
         chunks, LoadPart<Acc>{parts.data<Acc>()}, finish);
}

/// Sums of values of any type, in double.
struct Sum {
  using Acc = double;
  static __device__ Acc start() { return 0; }
  template <class T>
  static __device__ Acc add(Acc acc, T x, std::int64_t) {
    return acc + static_cast<Acc>(x);
  }
  static __device__ Acc combine(Acc a, Acc b) { return a + b; }
};

/// Products, likewise.
struct Product {
  using Acc = double;
  static __device__ Acc start() { return 1; }
  template <class T>
  static __device__ Acc add(Acc acc, T x, std::int64_t) {
    return acc * static_cast<Acc>(x);
  }
  static __device__ Acc combine(Acc a, Acc b) { return a * b; }
};

/// An array's elements.
template <class T>
struct LoadArray {
  const T* x;
  __device__ T operator()(std::int64_t i) const { return x[i]; }
};

/// f(element of [outer, n, inner], its column's number).
template <class F>
struct LoadBeside {
  const float* x;
  const double* numbers;
  std::int64_t n, inner;
  F f;
  __device__ auto operator()(std::int64_t i) const {
    return f(x[i], numbers[i / (n * inner) * inner + i % inner]);
  }
};

/// acc as it is, in double.
struct StoreDouble {
  double* y;
  __device__ void operator()(std::int64_t at, std::int64_t, double acc) const { y[at] = acc; }
};

}  // namespace karyon::cuda
