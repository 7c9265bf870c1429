// Sampling at places of a grid. Forward, a thread writes one element. In the gradient in x a thread owns a
// channel of every `parts`-th pixel of an image and visits the outputs in order, so that no sum depends on the
// order of threads. In the gradient in the grid a thread owns one output.
#include <karyon/core/kernels/functors/grid_sample.h>
#include <karyon/core/kernels/grid_sample.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;
using Pixels = functors::GridPixels<float>;

struct Sizes {
  std::int64_t n, d, h, w, c, outputs;
  int dims;
  Sizes(const Tensor& x, const Tensor& grid)
      : n(x.size(0)),
        d(x.size(1)),
        h(x.size(2)),
        w(x.size(3)),
        c(x.size(4)),
        outputs(grid.size(1) * grid.size(2) * grid.size(3)),
        dims(static_cast<int>(grid.size(4))) {}
};

// The pixels that output i reads.
struct Corners {
  Pixels z, y, x;
  __device__ Corners(const Sizes& s, const GridSampleOptions& options, const float* grid, std::int64_t i)
      : z(s.dims == 3 ? grid[i * s.dims + 2] : 0.0f, s.d, options),
        y(grid[i * s.dims + 1], s.h, options),
        x(grid[i * s.dims], s.w, options) {
    if (s.dims == 2) z.pixel[0] = 0, z.pixel[1] = -1, z.weight[0] = 1, z.weight[1] = 0;
  }
  // Calls f(number of the pixel in its image, i, j, k) for the corners that are there.
  template <class F>
  __device__ void each(const Sizes& s, F f) const {
#pragma unroll
    for (int i = 0; i < 2; ++i)
#pragma unroll
      for (int j = 0; j < 2; ++j)
#pragma unroll
        for (int k = 0; k < 2; ++k)
          if (z.pixel[i] >= 0 && y.pixel[j] >= 0 && x.pixel[k] >= 0)
            f((z.pixel[i] * s.h + y.pixel[j]) * s.w + x.pixel[k], i, j, k);
  }
  __device__ float weight(int i, int j, int k) const { return z.weight[i] * y.weight[j] * x.weight[k]; }
};

__global__ void __launch_bounds__(threads)
    sample(Sizes s, GridSampleOptions options, const float* x, const float* grid, float* y) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= s.n * s.outputs * s.c) return;
  std::int64_t k;
  const std::int64_t at = divide(i, s.c, k);
  const Corners corners(s, options, grid, at);
  const float* image = x + at / s.outputs * s.d * s.h * s.w * s.c + k;
  float sum = 0;
  corners.each(s, [&](std::int64_t pixel, int a, int b, int c) {
    sum += corners.weight(a, b, c) * image[pixel * s.c];
  });
  y[i] = sum;
}

__global__ void __launch_bounds__(threads)
    sample_backward_data(Sizes s, GridSampleOptions options, std::int64_t parts, const float* dy,
                         const float* grid, float* dx) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= s.n * parts * s.c) return;
  std::int64_t k, part;
  const std::int64_t n = divide(divide(i, s.c, k), parts, part);
  float* image = dx + n * s.d * s.h * s.w * s.c + k;
#pragma unroll 1
  for (std::int64_t at = n * s.outputs; at < (n + 1) * s.outputs; ++at) {
    const Corners corners(s, options, grid, at);
    const float d = dy[at * s.c + k];
    corners.each(s, [&](std::int64_t pixel, int a, int b, int c) {
      if ((pixel & (parts - 1)) == part) image[pixel * s.c] += corners.weight(a, b, c) * d;
    });
  }
}

__global__ void __launch_bounds__(threads)
    sample_backward_grid(Sizes s, GridSampleOptions options, const float* dy, const float* x,
                         const float* grid, float* dgrid) {
  const std::int64_t at = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (at >= s.n * s.outputs) return;
  const Corners corners(s, options, grid, at);
  const float *image = x + at / s.outputs * s.d * s.h * s.w * s.c, *d = dy + at * s.c;
  float dx = 0, dv = 0, dz = 0;
  corners.each(s, [&](std::int64_t pixel, int a, int b, int c) {
    float dot = 0;
    for (std::int64_t k = 0; k < s.c; ++k) dot += d[k] * image[pixel * s.c + k];
    dx += (c == 1 ? dot : -dot) * corners.z.weight[a] * corners.y.weight[b];
    dv += (b == 1 ? dot : -dot) * corners.z.weight[a] * corners.x.weight[c];
    dz += (a == 1 ? dot : -dot) * corners.y.weight[b] * corners.x.weight[c];
  });
  dgrid[at * s.dims] = dx * corners.x.slope;
  dgrid[at * s.dims + 1] = dv * corners.y.slope;
  if (s.dims == 3) dgrid[at * s.dims + 2] = dz * corners.z.slope;
}

void grid_sample(const Tensor& x, const Tensor& grid, const GridSampleOptions& options, Tensor& y) {
  check_f32("grid_sample", x);
  launch(sample, grid_for(y.numel(), threads), threads, 0, Sizes(x, grid), options, x.data<float>(),
         grid.data<float>(), y.data<float>());
}

void grid_sample_backward_data(const Tensor& dy, const Tensor& grid, const GridSampleOptions& options,
                               Tensor& dx) {
  check_f32("grid_sample", dy);
  const Sizes s(dx, grid);
  constexpr std::int64_t enough = 1 << 14;  // threads that keep a device busy
  std::int64_t parts = 1;
  while (parts < s.d * s.h * s.w && s.n * parts * s.c < enough) parts *= 2;
  launch(sample_backward_data, grid_for(s.n * parts * s.c, threads), threads, 0, s, options, parts,
         dy.data<float>(), grid.data<float>(), dx.data<float>());
}

void grid_sample_backward_grid(const Tensor& dy, const Tensor& x, const Tensor& grid,
                               const GridSampleOptions& options, Tensor& dgrid) {
  check_f32("grid_sample", dy);
  const Sizes s(x, grid);
  launch(sample_backward_grid, grid_for(s.n * s.outputs, threads), threads, 0, s, options, dy.data<float>(),
         x.data<float>(), grid.data<float>(), dgrid.data<float>());
}

}  // namespace

void register_grid_sample_kernels(KernelTable& table) {
  table.add<decltype(kernels::grid_sample), grid_sample>("grid_sample");
  table.add<decltype(kernels::grid_sample_backward_data), grid_sample_backward_data>(
      "grid_sample_backward_data");
  table.add<decltype(kernels::grid_sample_backward_grid), grid_sample_backward_grid>(
      "grid_sample_backward_grid");
}

}  // namespace karyon::cuda
