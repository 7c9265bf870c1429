// One matrix product for matmul and the three directions of convolution.
//
// A block owns one tile of C and walks along K. Slices of A and B pass through shared memory in a ring of
// three buffers. Asynchronous copies fill it two slices ahead of the arithmetic. The loaders (loaders.cuh)
// know the sources of A and B. If C has too few tiles to fill the device and K is long, K is cut into parts.
// A second kernel sums their results in order: no atomics, the same bits every time.
#include <algorithm>

#include <karyon/cuda/context.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/gemm/arithmetic.cuh>
#include <karyon/cuda/gemm/loaders.cuh>
#include <karyon/cuda/launch.cuh>

namespace karyon::cuda {
namespace {

/// One block for each tile of each part of k of each batch. Columns vary fastest, so blocks that read the
/// same rows of A run together.
struct Grid {
  Divisor tiles_n, tiles_m, parts;
  int k_part;      ///< elements of k in one part: whole slices
  float* partial;  ///< with several parts: [parts][batches][M][N], and C is left alone
};

// Floats from one row of a warp's staging area to the next. It is 8 more than a multiple of 32, so that rows
// start 8 banks apart.
template <class TileType>
constexpr int staging_stride = TileType::warp_columns + 8;

template <class T>
__device__ inline float parameter(const void* values, int i, bool is_f32) {
  return is_f32 ? static_cast<const float*>(values)[i] : to_float(static_cast<const T*>(values)[i]);
}

// Four columns of one row of C: neighbours if `vector`, else `stride` apart, those below `count` inside.
template <class T>
__device__ inline void store_columns(T* to, float (&values)[4], int count, int stride, bool vector,
                                     bool accumulate) {
  if (vector) {
    if (accumulate) {
      float before[4];
      load_vector<T, 4>(to, before);
#pragma unroll
      for (int i = 0; i < 4; ++i) values[i] += before[i];
    }
    store_vector<T, 4>(to, values);
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i * stride < count)
      to[i * stride] = from_float<T>(accumulate ? to_float(to[i * stride]) + values[i] : values[i]);
}

// Writes a warp's tile, at (row0, column0) of C, half by half through `staging`: lanes hold scattered
// elements, but write neighbouring ones.
template <class Math, class TileType>
__device__ inline void store_tile(const Math& math, const Product& p, const Grid& grid, const Output& out,
                                  int batch, int part, int row0, int column0, float* staging) {
  using T = typename Math::Element;
  constexpr int rows = TileType::warp_rows / 2, stride = staging_stride<TileType>;
  constexpr int lanes_per_row = TileType::warp_columns / 4;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const bool vector = grid.partial ? p.n % 4 == 0 : out.vector;
  const int column = lane % lanes_per_row * (vector ? 4 : 1), apart = vector ? 1 : lanes_per_row;
  const int n = column0 + column, count = p.n - n;
  float scale[4] = {1, 1, 1, 1}, shift[4] = {};
#pragma unroll
  for (int r = 0; r < 4; ++r) {
    const int at = batch * p.n + n + r * apart;
    if (out.scale && r * apart < count) scale[r] = parameter<T>(out.scale, at, out.scale_f32);
    if (out.shift && r * apart < count) shift[r] = parameter<T>(out.shift, at, out.shift_f32);
  }
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < Math::height / 2; ++i)
#pragma unroll
      for (int j = 0; j < Math::width; j += Math::run) {
        float v[Math::run];
#pragma unroll
        for (int r = 0; r < Math::run; ++r) v[r] = math.sum[half * Math::height / 2 + i][j + r];
        store_vector<float, Math::run>(staging + Math::row(i) * stride + Math::column(j), v);
      }
    __syncwarp();
#pragma unroll 1
    for (int row = lane / lanes_per_row; row < rows; row += warp_size / lanes_per_row) {
      const int m = row0 + half * rows + row;
      if (m >= p.m || count <= 0) break;
      float v[4];
      if (vector) {
        load_vector<float, 4>(staging + row * stride + column, v);
      } else {
#pragma unroll
        for (int r = 0; r < 4; ++r) v[r] = staging[row * stride + column + r * apart];
      }
      if (grid.partial) {
        float* to = grid.partial + ((std::int64_t{part} * p.batches + batch) * p.m + m) * p.n + n;
        store_columns(to, v, count, apart, vector, false);
        continue;
      }
#pragma unroll
      for (int r = 0; r < 4; ++r) {
        v[r] = fmaf(scale[r], v[r], shift[r]);
        if (out.relu) v[r] = v[r] < 0 ? 0.0f : v[r];  // NaN stays
      }
      int rest, x;
      const std::int64_t image = out.image.divide(m, rest);
      const int y = out.width.divide(rest, x);
      const std::int64_t at = batch * p.stride_c + out.first + image * out.image_stride + y * out.row_stride +
                              x * out.column_stride + n;
      if (sizeof(T) == 4 || out.data_f32) {
        store_columns(static_cast<float*>(out.data) + at, v, count, apart, vector, out.accumulate);
      } else {
        store_columns(static_cast<T*>(out.data) + at, v, count, apart, vector, out.accumulate);
      }
    }
  }
}

template <template <class, Order, Order> class MathOf, class TileType,
          template <class, int, int> class LoaderA, template <class, int, int> class LoaderB>
__global__ void __launch_bounds__(TileType::threads,
                                  MathOf<TileType, Order::k_inner, Order::k_inner>::threads /
                                      TileType::threads)
    gemm(const __grid_constant__ Product p, const __grid_constant__ Grid grid,
         const __grid_constant__ typename LoaderA<float, TileType::rows, TileType::threads>::Params params_a,
         const __grid_constant__
         typename LoaderB<float, TileType::columns, TileType::threads>::Params params_b,
         const __grid_constant__ Output out) {
  constexpr Order order_a = LoaderA<float, TileType::rows, TileType::threads>::order;
  constexpr Order order_b = LoaderB<float, TileType::columns, TileType::threads>::order;
  using Math = MathOf<TileType, order_a, order_b>;
  using T = typename Math::Element;
  using A = LoaderA<T, TileType::rows, TileType::threads>;
  using B = LoaderB<T, TileType::columns, TileType::threads>;
  constexpr int buffers = 3, a_bytes = A::SliceType::bytes, stage_bytes = a_bytes + B::SliceType::bytes;
  __shared__ __align__(128) unsigned char memory[buffers * stage_bytes];

  int tile_n, tile_m, part;
  int batch = grid.tiles_n.divide(static_cast<int>(blockIdx.x), tile_n);
  batch = grid.tiles_m.divide(batch, tile_m);
  batch = grid.parts.divide(batch, part);
  std::int64_t offset_a = 0, offset_b = 0;
  int rest = batch;
#pragma unroll
  for (int d = Product::max_dims - 1; d >= 0; --d)
    if (d < p.dims) {
      int index;
      rest = p.size[d].divide(rest, index);
      offset_a += index * p.stride_a[d];
      offset_b += index * p.stride_b[d];
    }

  const int row0 = tile_m * TileType::rows, column0 = tile_n * TileType::columns;
  const int k_begin = part * grid.k_part, k_end = min(p.k, k_begin + grid.k_part);
  const int steps = (k_end - k_begin + slice_k<T> - 1) / slice_k<T>;
  const A a(params_a, offset_a, row0, p.m, k_end);
  const B b(params_b, offset_b, column0, p.n, k_end);
  auto slice_a = [&](int step) { return reinterpret_cast<T*>(memory + step % buffers * stage_bytes); };
  auto slice_b = [&](int step) {
    return reinterpret_cast<T*>(memory + step % buffers * stage_bytes + a_bytes);
  };
  auto fill = [&](int step) {
    if (step < steps) {
      a.load(k_begin + step * slice_k<T>, slice_a(step));
      b.load(k_begin + step * slice_k<T>, slice_b(step));
    }
    commit_copies();
  };

  constexpr int warps_n = TileType::columns / TileType::warp_columns;
  const int warp = static_cast<int>(threadIdx.x) / 32;
  const int warp_row = warp / warps_n * TileType::warp_rows,
            warp_column = warp % warps_n * TileType::warp_columns;
  Math math(warp_row, warp_column);
  fill(0);
  fill(1);
  for (int step = 0; step < steps; ++step) {
    wait_copies<1>();
    __syncthreads();  // the slice has arrived for all, and no thread reads the buffer that is filled next
    fill(step + 2);
    math.step(slice_a(step), slice_b(step));
  }
  __syncthreads();
  constexpr int staging = TileType::warp_rows / 2 * staging_stride<TileType>;
  static_assert(TileType::warps * staging * sizeof(float) <= sizeof(memory));
  store_tile<Math, TileType>(math, p, grid, out, batch, part, row0 + warp_row, column0 + warp_column,
                             reinterpret_cast<float*>(memory) + warp * staging);
}

/// Sums the parts of k in order.
template <class T>
__global__ void __launch_bounds__(256)
    sum_parts(const float* parts, int count, std::int64_t n, bool accumulate, T* to) {
  const std::int64_t i = blockIdx.x * std::int64_t{256} + threadIdx.x;
  if (i >= n) return;
  float sum = accumulate ? to_float(to[i]) : 0.0f;
  for (int part = 0; part < count; ++part) sum += parts[part * n + i];
  to[i] = from_float<T>(sum);
}

// ---- which tile, how many parts ----

constexpr double most_scratch = 256 << 20;  // bytes for the parts of k
constexpr int enough_blocks = 264;          // two for each multiprocessor of the largest devices

struct Choice {
  int tile;  // which of the candidates
  int parts;
};

// The cost is the number of elements of C computed, tails included, divided by the worth of a tile's ratio of
// arithmetic to loads. A grid that leaves multiprocessors idle costs as much as a full one.
template <class... Tiles>
Choice choose(const Product& p, int slices, bool may_cut) {
  Choice best{0, 1};
  double least = 0;
  int i = 0;
  auto consider = [&](int rows, int columns) {
    const double worth = rows * columns > 4096 ? 1.0 : 0.75;
    const auto tiles = static_cast<double>(p.batches) * ceil_div(p.m, rows) * ceil_div(p.n, columns);
    const int parts =
        may_cut ? std::clamp(static_cast<int>(enough_blocks / tiles), 1, std::max(1, slices / 8)) : 1;
    const double cost = std::max(tiles * parts, enough_blocks / 2.0) / parts * rows * columns / worth;
    if (i == 0 || cost < least) {
      least = cost;
      best = {i, parts};
    }
    ++i;
  };
  (consider(Tiles::rows, Tiles::columns), ...);
  if (!may_cut) return best;
  // No sum gets longer than this many slices, for accuracy: f32 sums of long chains drift. Scratch memory sets
  // the limit.
  const double part_bytes = 4.0 * p.batches * p.m * p.n;
  const int most = static_cast<int>(std::clamp(most_scratch / part_bytes, 1.0, 1e6));
  best.parts = std::min(std::max(best.parts, ceil_div(slices, 512)), most);
  return best;
}

template <template <class, Order, Order> class MathOf, class TileType,
          template <class, int, int> class LoaderA, template <class, int, int> class LoaderB, class ParamsA,
          class ParamsB>
void run_tile(const Product& p, const ParamsA& a, const ParamsB& b, const Output& out, int parts) {
  using T = typename MathOf<TileType, Order::k_inner, Order::k_inner>::Element;
  const int slices = ceil_div(p.k, slice_k<T>), part = ceil_div(slices, parts);
  parts = slices > 0 ? ceil_div(slices, part) : 1;
  const std::int64_t elements = std::int64_t{p.batches} * p.m * p.n;
  Workspace partial(parts > 1 ? static_cast<std::size_t>(parts * elements) * sizeof(float) : 0);
  const int tiles_m = ceil_div(p.m, TileType::rows), tiles_n = ceil_div(p.n, TileType::columns);
  const Grid grid{Divisor(std::max(1, tiles_n)), Divisor(std::max(1, tiles_m)), Divisor(parts),
                  part * slice_k<T>, partial.data<float>()};
  launch(gemm<MathOf, TileType, LoaderA, LoaderB>,
         grid_for(std::int64_t{tiles_m} * tiles_n * parts * p.batches, 1), TileType::threads, 0, p, grid, a,
         b, out);
  if (parts == 1) return;
  if (out.data_f32 || sizeof(T) == 4) {
    launch(sum_parts<float>, grid_for(elements, 256), 256, 0, partial.data<float>(), parts, elements,
           out.accumulate, static_cast<float*>(out.data));
  } else {
    launch(sum_parts<BFloat16>, grid_for(elements, 256), 256, 0, partial.data<float>(), parts, elements,
           out.accumulate, static_cast<BFloat16*>(out.data));
  }
}

template <template <class, Order, Order> class MathOf, template <class, int, int> class LoaderA,
          template <class, int, int> class LoaderB, class... Tiles, class ParamsA, class ParamsB>
void run_math(const Product& p, const ParamsA& a, const ParamsB& b, const Output& out) {
  if (p.m == 0 || p.n == 0 || p.batches == 0) return;
  using T = typename MathOf<LargeTile, Order::k_inner, Order::k_inner>::Element;
  const Choice choice = choose<Tiles...>(p, ceil_div(p.k, slice_k<T>), out.contiguous);
  int i = 0;
  ((i++ == choice.tile ? run_tile<MathOf, Tiles, LoaderA, LoaderB>(p, a, b, out, choice.parts) : void()),
   ...);
}

template <template <class, int, int> class LoaderA, template <class, int, int> class LoaderB, class... Tiles,
          class ParamsA, class ParamsB>
void run(DType dtype, const Product& p, const ParamsA& a, const ParamsB& b, const Output& out) {
  const int major = context().properties.major;
  if (dtype == bf16) {
    check(major >= 8, "cuda: products of bf16 need compute capability 8.0, this device has ", major, ".",
          context().properties.minor);
    return run_math<Bf16Mma, LoaderA, LoaderB, Tiles...>(p, a, b, out);
  }
  if (major >= 8 && tf32_allowed()) return run_math<Tf32Mma, LoaderA, LoaderB, Tiles...>(p, a, b, out);
  run_math<Fma, LoaderA, LoaderB, Tiles...>(p, a, b, out);
}

}  // namespace

void multiply(DType dtype, const Product& p, const Patches& a, const Rows& b, const Output& out) {
  run<PatchLoader, RowLoader, LargeTile, MediumTile, NarrowTile>(dtype, p, a, b, out);
}
void multiply(DType dtype, const Product& p, const Patches& a, const TapRows& b, const Output& out) {
  run<PatchLoader, TapRowLoader, LargeTile, MediumTile, NarrowTile>(dtype, p, a, b, out);
}
void multiply(DType dtype, const Product& p, const TapRows& a, const Patches& b, const Output& out) {
  run<TapRowLoader, PatchColumnLoader, LargeTile, MediumTile, ShortTile>(dtype, p, a, b, out);
}
void multiply(DType dtype, const Product& p, const TapRows& a, const Rows& b, const Output& out) {
  run<TapRowLoader, RowLoader, MediumTile>(dtype, p, a, b, out);
}

}  // namespace karyon::cuda
