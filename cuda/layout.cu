// Operations that only move values. The one idea: a run is copied in the widest units that its offsets allow,
// up to 16 bytes, one per thread. If neighbours in the output are far apart in the input, tiles pass through
// shared memory. Both sides then see whole lines.
#include <karyon/core/kernels/layout.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Axis;

constexpr int threads = 256;

struct alignas(16) Unit16 {
  std::uint64_t low, high;
};

// f.template operator()<Unit>() with the widest unit that divides `bits`: the or of all offsets in bytes.
template <class F>
void dispatch_unit(std::uint64_t bits, F f) {
  if (bits % 16 == 0) return f.template operator()<Unit16>();
  if (bits % 8 == 0) return f.template operator()<std::uint64_t>();
  if (bits % 4 == 0) return f.template operator()<std::uint32_t>();
  if (bits % 2 == 0) return f.template operator()<std::uint16_t>();
  return f.template operator()<std::uint8_t>();
}
template <class T>
std::uint64_t bits_of(const T* pointer) {
  return reinterpret_cast<std::uintptr_t>(pointer);
}

// ---- runs ----

struct Runs {
  std::int64_t rows, length, from_outer, from_row, to_outer, to_row;  // in units
};

template <class Unit>
__global__ void __launch_bounds__(threads)
    copy_runs_kernel(const Unit* x, Unit* y, std::int64_t n, Runs runs) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  std::int64_t k, r;
  const std::int64_t run = divide(i, runs.length, k), o = divide(run, runs.rows, r);
  y[o * runs.to_outer + r * runs.to_row + k] = x[o * runs.from_outer + r * runs.from_row + k];
}

void copy_runs(const Tensor& x, Tensor& y, const kernels::CopyRuns& runs) {
  const auto size = static_cast<std::int64_t>(element_size(x.dtype()));
  if (runs.outer * runs.rows * runs.length == 0) return;
  const char* from = static_cast<const char*>(x.data_ptr()) + runs.from.offset * size;
  char* to = static_cast<char*>(y.data_ptr()) + runs.to.offset * size;
  Runs bytes{.rows = runs.rows,
             .length = runs.length * size,
             .from_outer = runs.from.outer_stride * size,
             .from_row = runs.from.row_stride * size,
             .to_outer = runs.to.outer_stride * size,
             .to_row = runs.to.row_stride * size};
  std::uint64_t bits = bits_of(from) | bits_of(to);
  for (const std::int64_t offset :
       {bytes.length, bytes.from_outer, bytes.from_row, bytes.to_outer, bytes.to_row})
    bits |= static_cast<std::uint64_t>(offset);
  dispatch_unit(bits, [&]<class Unit>() {
    constexpr auto width = static_cast<std::int64_t>(sizeof(Unit));
    const Runs units{.rows = bytes.rows,
                     .length = bytes.length / width,
                     .from_outer = bytes.from_outer / width,
                     .from_row = bytes.from_row / width,
                     .to_outer = bytes.to_outer / width,
                     .to_row = bytes.to_row / width};
    const std::int64_t n = runs.outer * runs.rows * units.length;
    launch(copy_runs_kernel<Unit>, grid_for(n, threads), threads, 0, reinterpret_cast<const Unit*>(from),
           reinterpret_cast<Unit*>(to), n, units);
  });
}

// ---- strided copies and permutations ----

struct Axes {
  int count = 0;
  Axis axis[kernels::max_axes];

  void push_back(const Axis& next) { axis[count++] = next; }
  void erase(int d) {
    for (--count; d < count; ++d) axis[d] = axis[d + 1];
  }
  // Offsets of the i-th combination of indices.
  __device__ void locate(std::int64_t i, std::int64_t& from, std::int64_t& to) const {
    from = to = 0;
#pragma unroll 1
    for (int d = count - 1; d >= 0; --d) {
      std::int64_t k;
      i = divide(i, axis[d].size, k);
      from += k * axis[d].from_stride;
      to += k * axis[d].to_stride;
    }
  }
};

// A unit per thread.
template <class Unit>
__global__ void __launch_bounds__(threads)
    copy_axes_kernel(const Unit* x, Unit* y, std::int64_t n, Axes axes) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  std::int64_t from, to;
  axes.locate(i, from, to);
  y[to] = x[from];
}

// Elements of `size` bytes. Units of several of them lie along the last axis.
void copy_axes(const void* x, void* y, std::int64_t size, const Axes& axes) {
  const Axis last = axes.axis[axes.count - 1];
  const bool runs = last.from_stride == 1 && last.to_stride == 1;
  auto bits = static_cast<std::uint64_t>(runs ? last.size * size : size) | bits_of(x) | bits_of(y);
  std::int64_t n = last.size;
  for (int d = 0; d + 1 < axes.count; ++d) {
    n *= axes.axis[d].size;
    bits |= static_cast<std::uint64_t>(axes.axis[d].from_stride * size) |
            static_cast<std::uint64_t>(axes.axis[d].to_stride * size);
  }
  dispatch_unit(bits, [&]<class Unit>() {
    const std::int64_t per_unit = static_cast<std::int64_t>(sizeof(Unit)) / size;
    Axes units = axes;
    for (int d = 0; d + 1 < units.count; ++d) {
      units.axis[d].from_stride /= per_unit;
      units.axis[d].to_stride /= per_unit;
    }
    units.axis[units.count - 1].size /= per_unit;
    launch(copy_axes_kernel<Unit>, grid_for(n / per_unit, threads), threads, 0, static_cast<const Unit*>(x),
           static_cast<Unit*>(y), n / per_unit, units);
  });
}

void copy_strided(const Tensor& x, Tensor& y, std::int64_t from, std::int64_t to,
                  const std::vector<Axis>& all_axes) {
  const auto size = static_cast<std::int64_t>(element_size(x.dtype()));
  Axes axes;
  for (const Axis& axis : all_axes) axes.push_back(axis);
  copy_axes(static_cast<const char*>(x.data_ptr()) + from * size,
            static_cast<char*>(y.data_ptr()) + to * size, size, axes);
}

// The dimensions of a permuted copy in the output's order, neighbours that stay neighbours merged.
Axes merged_axes(const Shape& from, const Shape& to, const std::vector<int>& order) {
  std::int64_t strides[Shape::max_dims];
  std::int64_t stride = 1;
  for (int d = from.dims() - 1; d >= 0; --d) {
    strides[d] = stride;
    stride *= from[d];
  }
  Axes axes;
  for (int d = 0; d < to.dims(); ++d) {
    const Axis next{to[d], strides[order[static_cast<std::size_t>(d)]], 0};
    if (next.size == 1) continue;
    if (axes.count > 0 && axes.axis[axes.count - 1].from_stride == next.size * next.from_stride) {
      Axis& last = axes.axis[axes.count - 1];
      last = {last.size * next.size, next.from_stride, 0};
    } else {
      axes.push_back(next);
    }
  }
  if (axes.count == 0) axes.push_back({1, 1, 1});
  stride = 1;
  for (int d = axes.count - 1; d >= 0; --d) {
    axes.axis[d].to_stride = stride;
    stride *= axes.axis[d].size;
  }
  return axes;
}

// `near` is contiguous in x and `last` in y: a block transposes a tile of both. The odd row length keeps its
// columns in different banks.
constexpr int tile = 32, tile_rows = threads / tile;
template <class T>
__global__ void __launch_bounds__(threads)
    permute_tiles_kernel(const T* x, T* y, Axes axes, Axis near, Axis last, std::int64_t near_tiles,
                         std::int64_t last_tiles) {
  __shared__ T values[tile][tile + 1];
  std::int64_t i0, j0, from, to;
  const std::int64_t rest = divide(divide(blockIdx.x, last_tiles, j0), near_tiles, i0);
  axes.locate(rest, from, to);
  i0 *= tile;
  j0 *= tile;
  const int lane = threadIdx.x % tile;
  for (int r = threadIdx.x / tile; r < tile; r += tile_rows)
    if (i0 + lane < near.size && j0 + r < last.size)
      values[r][lane] = x[from + (j0 + r) * last.from_stride + i0 + lane];
  __syncthreads();
  for (int r = threadIdx.x / tile; r < tile; r += tile_rows)
    if (i0 + r < near.size && j0 + lane < last.size)
      y[to + (i0 + r) * near.to_stride + j0 + lane] = values[lane][r];
}

void permute(const Tensor& x, Tensor& y, const std::vector<int>& order) {
  const std::int64_t n = x.numel();
  if (n == 0) return;
  Axes axes = merged_axes(x.shape(), y.shape(), order);
  const Axis last = axes.axis[axes.count - 1];
  if (last.from_stride == 1)
    return copy_axes(x.data_ptr(), y.data_ptr(), static_cast<std::int64_t>(element_size(x.dtype())), axes);
  axes.erase(axes.count - 1);
  int d = 0;
  while (axes.axis[d].from_stride != 1) ++d;
  const Axis near = axes.axis[d];
  axes.erase(d);
  const std::int64_t near_tiles = ceil_div<std::int64_t>(near.size, tile);
  const std::int64_t last_tiles = ceil_div<std::int64_t>(last.size, tile);
  dispatch_width(x.dtype(), [&]<class T>() {
    launch(permute_tiles_kernel<T>, grid_for(n / (near.size * last.size) * near_tiles * last_tiles, 1),
           threads, 0, static_cast<const T*>(x.data_ptr()), static_cast<T*>(y.data_ptr()), axes, near, last,
           near_tiles, last_tiles);
  });
}

// ---- reflected borders ----

__device__ std::int64_t reflect(std::int64_t i, std::int64_t n) {
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

// Images of h x w pixels of `pixel` units, and their mirrored ones of out_h x out_w.
struct Mirror {
  std::int64_t h, w, out_h, out_w, pixel, top, left;
};

template <class Unit>
__global__ void __launch_bounds__(threads)
    pad_reflect_kernel(const Unit* x, Unit* y, std::int64_t n, Mirror m) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  std::int64_t k, ox, oy;
  const std::int64_t image = divide(divide(divide(i, m.pixel, k), m.out_w, ox), m.out_h, oy);
  y[i] = x[((image * m.h + reflect(oy - m.top, m.h)) * m.w + reflect(ox - m.left, m.w)) * m.pixel + k];
}

void pad_reflect(const Tensor& x, Tensor& y, const Pad2d& border) {
  const auto size = static_cast<std::int64_t>(element_size(x.dtype()));
  const std::uint64_t bits =
      bits_of(x.data_ptr()) | bits_of(y.data_ptr()) | static_cast<std::uint64_t>(x.size(3) * size);
  if (y.numel() == 0) return;
  dispatch_unit(bits, [&]<class Unit>() {
    const std::int64_t per_unit = static_cast<std::int64_t>(sizeof(Unit)) / size, n = y.numel() / per_unit;
    launch(pad_reflect_kernel<Unit>, grid_for(n, threads), threads, 0, static_cast<const Unit*>(x.data_ptr()),
           static_cast<Unit*>(y.data_ptr()), n,
           Mirror{x.size(1), x.size(2), y.size(1), y.size(2), x.size(3) / per_unit, border.top, border.left});
  });
}

// The places that show index i of n: itself, and its mirror images before and behind; -1 where there is none.
struct Seen {
  std::int64_t at[3];
  __device__ Seen(std::int64_t i, std::int64_t n, std::int64_t before, std::int64_t padded)
      : at{before + i, i >= 1 && i <= before ? before - i : -1, -1} {
    const std::int64_t behind = 2 * (n - 1) - i;
    if (behind >= n && before + behind < padded) at[2] = before + behind;
  }
};

__global__ void __launch_bounds__(threads)
    pad_reflect_backward_kernel(const float* dy, float* dx, std::int64_t n, Mirror m) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= n) return;
  std::int64_t k, ix, iy;
  const std::int64_t image = divide(divide(divide(i, m.pixel, k), m.w, ix), m.h, iy);
  const Seen rows(iy, m.h, m.top, m.out_h), columns(ix, m.w, m.left, m.out_w);
  float sum = 0;
#pragma unroll
  for (int r = 0; r < 3; ++r)
#pragma unroll
    for (int c = 0; c < 3; ++c)
      if (rows.at[r] >= 0 && columns.at[c] >= 0)
        sum += dy[((image * m.out_h + rows.at[r]) * m.out_w + columns.at[c]) * m.pixel + k];
  dx[i] = sum;
}

void pad_reflect_backward(const Tensor& dy, Tensor& dx, const Pad2d& border) {
  check_f32("pad", dy);
  launch(pad_reflect_backward_kernel, grid_for(dx.numel(), threads), threads, 0, dy.data<float>(),
         dx.data<float>(), dx.numel(),
         Mirror{dx.size(1), dx.size(2), dy.size(1), dy.size(2), dx.size(3), border.top, border.left});
}

}  // namespace

void register_layout_kernels(KernelTable& table) {
  table.add<decltype(kernels::copy_runs), copy_runs>("copy_runs");
  table.add<decltype(kernels::copy_strided), copy_strided>("copy_strided");
  table.add<decltype(kernels::permute), permute>("permute");
  table.add<decltype(kernels::pad_reflect), pad_reflect>("pad_reflect");
  table.add<decltype(kernels::pad_reflect_backward), pad_reflect_backward>("pad_reflect_backward");
}

}  // namespace karyon::cuda
