// Outputs are shared out among threads. In the gradient in x a task owns some channels of an image and visits
// its outputs in order: the same sums with any number of threads.
#include <algorithm>

#include <karyon/core/kernels/functors/grid_sample.h>
#include <karyon/core/kernels/grid_sample.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

// The pixels that one output reads: 2 along each dimension.
template <class T>
struct Corners {
  functors::GridPixels<T> z, y, x;
  const Shape& size;  // [N, D, H, W, C]

  // `at` are the coordinates of an output; images have none in depth.
  Corners(const T* at, bool volume, const Shape& shape, const GridSampleOptions& options)
      : z(volume ? at[2] : T(0), shape[1], options),
        y(at[1], shape[2], options),
        x(at[0], shape[3], options),
        size(shape) {
    if (!volume) z.pixel[0] = 0, z.pixel[1] = -1, z.weight[0] = 1, z.weight[1] = 0;
  }
  // Calls f(number of the pixel in its image, i, j, k) for the corners that are there.
  template <class F>
  void each(const F& f) const {
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j)
        for (int k = 0; k < 2; ++k)
          if (z.pixel[i] >= 0 && y.pixel[j] >= 0 && x.pixel[k] >= 0)
            f((z.pixel[i] * size[2] + y.pixel[j]) * size[3] + x.pixel[k], i, j, k);
  }
  T weight(int i, int j, int k) const { return z.weight[i] * y.weight[j] * x.weight[k]; }
};

// The sizes of a call: x [N, D, H, W, C], outputs of one image, and whether the grid has depths.
struct Sizes {
  Shape x;
  std::int64_t outputs, pixels, channels;
  int dims;
  Sizes(const Shape& x_shape, const Tensor& grid)
      : x(x_shape),
        outputs(grid.size(1) * grid.size(2) * grid.size(3)),
        pixels(x[1] * x[2] * x[3]),
        channels(x[4]),
        dims(static_cast<int>(grid.size(4))) {}
  std::int64_t grain() const { return std::max<std::int64_t>(1, 8192 / channels); }
};

void grid_sample_cpu(const Tensor& x, const Tensor& grid, const GridSampleOptions& options, Tensor& y) {
  const Sizes s(x.shape(), grid);
  dispatch_floating(x.dtype(), "grid_sample", [&]<class T>() {
    const T *from = x.data<T>(), *places = grid.data<T>();
    T* to = y.data<T>();
    parallel_for(s.x[0] * s.outputs, s.grain(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Corners<T> corners(places + i * s.dims, s.dims == 3, s.x, options);
        const T* const image = from + i / s.outputs * s.pixels * s.channels;
        T* const out = to + i * s.channels;
        std::fill(out, out + s.channels, T(0));
        corners.each([&](std::int64_t pixel, int a, int b, int c) {
          const T weight = corners.weight(a, b, c);
          const T* const in = image + pixel * s.channels;
          for (std::int64_t k = 0; k < s.channels; ++k) out[k] += weight * in[k];
        });
      }
    });
  });
}

void grid_sample_backward_data_cpu(const Tensor& dy, const Tensor& grid, const GridSampleOptions& options,
                                   Tensor& dx) {
  constexpr std::int64_t most_channels = 32;
  const Sizes s(dx.shape(), grid);
  const std::int64_t blocks = (s.channels + most_channels - 1) / most_channels;
  dispatch_floating(dy.dtype(), "grid_sample", [&]<class T>() {
    const T *from = dy.data<T>(), *places = grid.data<T>();
    T* to = dx.data<T>();
    parallel_for(s.x[0] * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t n = task / blocks, first = task % blocks * most_channels,
                           last = std::min(first + most_channels, s.channels);
        T* const image = to + n * s.pixels * s.channels;
        for (std::int64_t i = n * s.outputs; i < (n + 1) * s.outputs; ++i) {
          const Corners<T> corners(places + i * s.dims, s.dims == 3, s.x, options);
          const T* const d = from + i * s.channels;
          corners.each([&](std::int64_t pixel, int a, int b, int c) {
            const T weight = corners.weight(a, b, c);
            T* const out = image + pixel * s.channels;
            for (std::int64_t k = first; k < last; ++k) out[k] += weight * d[k];
          });
        }
      }
    });
  });
}

void grid_sample_backward_grid_cpu(const Tensor& dy, const Tensor& x, const Tensor& grid,
                                   const GridSampleOptions& options, Tensor& dgrid) {
  const Sizes s(x.shape(), grid);
  dispatch_floating(dy.dtype(), "grid_sample", [&]<class T>() {
    const T *upstream = dy.data<T>(), *from = x.data<T>(), *places = grid.data<T>();
    T* to = dgrid.data<T>();
    parallel_for(s.x[0] * s.outputs, s.grain(), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const Corners<T> corners(places + i * s.dims, s.dims == 3, s.x, options);
        const T* const image = from + i / s.outputs * s.pixels * s.channels;
        const T* const d = upstream + i * s.channels;
        T sum[3] = {};
        corners.each([&](std::int64_t pixel, int a, int b, int c) {
          const T* const in = image + pixel * s.channels;
          T dot = 0;
          for (std::int64_t k = 0; k < s.channels; ++k) dot += d[k] * in[k];
          const auto& [z, y, w, size] = corners;
          sum[0] += (c == 1 ? dot : -dot) * z.weight[a] * y.weight[b];
          sum[1] += (b == 1 ? dot : -dot) * z.weight[a] * w.weight[c];
          sum[2] += (a == 1 ? dot : -dot) * y.weight[b] * w.weight[c];
        });
        const T slopes[3] = {corners.x.slope, corners.y.slope, corners.z.slope};
        for (int k = 0; k < s.dims; ++k) to[i * s.dims + k] = sum[k] * slopes[k];
      }
    });
  });
}

}  // namespace

constinit decltype(kernels::grid_sample) kernels::grid_sample{"grid_sample", grid_sample_cpu};
constinit decltype(kernels::grid_sample_backward_data) kernels::grid_sample_backward_data{
    "grid_sample_backward_data", grid_sample_backward_data_cpu};
constinit decltype(kernels::grid_sample_backward_grid) kernels::grid_sample_backward_grid{
    "grid_sample_backward_grid", grid_sample_backward_grid_cpu};

}  // namespace karyon
