// Max and average pooling. A thread writes one pixel and a vector of channels, forward and backward. Backward
// gathers from the windows over its pixel, so nothing is added to memory and the order of every sum is fixed.
// Windows that overlap are read again from the cache, not from memory.
#include <limits>

#include <karyon/core/kernels/pool.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/images.cuh>

namespace karyon::cuda {
namespace {

using kernels::PoolWindow;

struct Range {
  int begin, end;
};

/// The windows along one dimension.
struct Axis {
  int size, outputs;
  int kernel, stride, padding, dilation;  ///< kernel 0: adaptive

  __device__ int start(int output) const { return output * stride - padding; }

  /// The inputs that an average covers.
  __device__ Range covered(int output) const {
    if (kernel == 0) return {output * size / outputs, ((output + 1) * size + outputs - 1) / outputs};
    return {max(start(output), 0), min(start(output) + kernel, size)};
  }
  /// The outputs whose windows, from first to last position, cover an input.
  __device__ Range over(int input) const {
    if (kernel == 0) return {input * outputs / size, ((input + 1) * outputs + size - 1) / size};
    const int first = input + padding - dilation * (kernel - 1);
    return {first <= 0 ? 0 : (first + stride - 1) / stride, min(outputs, (input + padding) / stride + 1)};
  }
};

Axis make_axis(std::int64_t size, std::int64_t outputs, std::int64_t kernel = 0, std::int64_t stride = 1,
               std::int64_t padding = 0, std::int64_t dilation = 1) {
  const auto limit = std::int64_t{1} << 30;
  check(std::max({size, outputs, kernel, stride, dilation}) < limit && kernel * dilation < limit &&
            (kernel > 0 || (size + 1) * (outputs + 1) < limit),
        "pool: a window of ", kernel, " with stride ", stride, " and dilation ", dilation, " over ", size,
        " is more than the cuda kernels take");
  return {static_cast<int>(size),   static_cast<int>(outputs), static_cast<int>(kernel),
          static_cast<int>(stride), static_cast<int>(padding), static_cast<int>(dilation)};
}

struct Axes {
  Axis rows, columns;
  Axes(const Shape& in, const Shape& out, const PoolWindow& w)
      : rows(make_axis(in[1], out[1], w.kernel.h, w.stride.h, w.padding.h, w.dilation.h)),
        columns(make_axis(in[2], out[2], w.kernel.w, w.stride.w, w.padding.w, w.dilation.w)) {}
  Axes(const Shape& in, const Shape& out)
      : rows(make_axis(in[1], out[1])), columns(make_axis(in[2], out[2])) {}
};

// V indices at once where they are bytes.
template <class I, int V>
__device__ inline void store_indices(I* to, const int (&index)[V]) {
  if constexpr (sizeof(I) == 1 && V == 4) {
    *reinterpret_cast<uchar4*>(to) =
        make_uchar4(static_cast<unsigned char>(index[0]), static_cast<unsigned char>(index[1]),
                    static_cast<unsigned char>(index[2]), static_cast<unsigned char>(index[3]));
  } else {
#pragma unroll
    for (int i = 0; i < V; ++i) to[i] = static_cast<I>(index[i]);
  }
}
template <class I, int V>
__device__ inline void load_indices(const I* from, int (&index)[V]) {
  if constexpr (sizeof(I) == 1 && V == 4) {
    const uchar4 four = *reinterpret_cast<const uchar4*>(from);
    index[0] = four.x, index[1] = four.y, index[2] = four.z, index[3] = four.w;
  } else {
#pragma unroll
    for (int i = 0; i < V; ++i) index[i] = static_cast<int>(from[i]);
  }
}

template <class T, int V, class I>
__global__ void __launch_bounds__(image_threads)
    max_pool(const __grid_constant__ ImageGrid g, ImageSize in, Axes a, const T* x, T* y, I* won) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  float best[V];
  int index[V] = {};
#pragma unroll
  for (int i = 0; i < V; ++i)
    best[i] = -std::numeric_limits<float>::infinity();  // a dilated window may hold nothing
  bool any = false;
  for (int ky = 0; ky < a.rows.kernel; ++ky) {
    const int iy = a.rows.start(place.y) + ky * a.rows.dilation;
    if (iy < 0 || iy >= in.height) continue;
    for (int kx = 0; kx < a.columns.kernel; ++kx) {
      const int ix = a.columns.start(place.x) + kx * a.columns.dilation;
      if (ix < 0 || ix >= in.width) continue;
      float v[V];
      load_vector<T, V>(x + in.at(place, iy, ix), v);
      const int tap = ky * a.columns.kernel + kx;
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const bool wins = !any || v[i] > best[i] || v[i] != v[i];
        best[i] = wins ? v[i] : best[i];
        index[i] = wins ? tap : index[i];
      }
      any = true;
    }
  }
  store_vector<T, V>(y + place.at(), best);
  if (won) store_indices<I, V>(won + place.at(), index);
}

template <class T, int V, class I>
__global__ void __launch_bounds__(image_threads)
    max_pool_backward(const __grid_constant__ ImageGrid g, ImageSize out, Axes a, const T* dy, const I* won,
                      T* dx) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  float sum[V] = {};
  const Range rows = a.rows.over(place.y), columns = a.columns.over(place.x);
  for (int oy = rows.begin; oy < rows.end; ++oy) {
    const int down = place.y - a.rows.start(oy), ky = down / a.rows.dilation;
    if (ky * a.rows.dilation != down) continue;
    for (int ox = columns.begin; ox < columns.end; ++ox) {
      const int across = place.x - a.columns.start(ox), kx = across / a.columns.dilation;
      if (kx * a.columns.dilation != across) continue;
      const std::int64_t at = out.at(place, oy, ox);
      float d[V];
      int index[V];
      load_vector<T, V>(dy + at, d);
      load_indices<I, V>(won + at, index);
      const int tap = ky * a.columns.kernel + kx;
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] += index[i] == tap ? d[i] : 0.0f;
    }
  }
  store_vector<T, V>(dx + place.at(), sum);
}

// divisor: that of every window; 0 stands for the number of pixels that the window covers.
template <class T, int V>
__global__ void __launch_bounds__(image_threads)
    average(const __grid_constant__ ImageGrid g, ImageSize in, Axes a, int divisor, const T* x, T* y) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  const Range rows = a.rows.covered(place.y), columns = a.columns.covered(place.x);
  float sum[V] = {};
  for (int iy = rows.begin; iy < rows.end; ++iy)
    for (int ix = columns.begin; ix < columns.end; ++ix) {
      float v[V];
      load_vector<T, V>(x + in.at(place, iy, ix), v);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] += v[i];
    }
  const int covered = (rows.end - rows.begin) * (columns.end - columns.begin);
  const float share = 1.0f / static_cast<float>(divisor ? divisor : covered);
#pragma unroll
  for (int i = 0; i < V; ++i) sum[i] *= share;
  store_vector<T, V>(y + place.at(), sum);
}

template <class T, int V>
__global__ void __launch_bounds__(image_threads)
    average_backward(const __grid_constant__ ImageGrid g, ImageSize out, Axes a, int divisor, const T* dy,
                     T* dx) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  const Range rows = a.rows.over(place.y), columns = a.columns.over(place.x);
  float sum[V] = {};
  for (int oy = rows.begin; oy < rows.end; ++oy) {
    const Range high = a.rows.covered(oy);
    for (int ox = columns.begin; ox < columns.end; ++ox) {
      const Range wide = a.columns.covered(ox);
      const int covered = (high.end - high.begin) * (wide.end - wide.begin);
      const float share = 1.0f / static_cast<float>(divisor ? divisor : covered);
      float d[V];
      load_vector<T, V>(dy + out.at(place, oy, ox), d);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] = fmaf(share, d[i], sum[i]);
    }
  }
  store_vector<T, V>(dx + place.at(), sum);
}

void max_pool2d(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& window) {
  dispatch_images("max_pool2d", x, y, [&]<class T, int V>() {
    auto run = [&]<class I>(I* won) {
      const ImageGrid g(y.shape(), V);
      launch(max_pool<T, V, I>, g.blocks(), image_threads, 0, g, ImageSize(x.shape()),
             Axes(x.shape(), y.shape(), window), x.data<T>(), y.data<T>(), won);
    };
    if (index.defined() && index.dtype() == i64) return run(index.data<std::int64_t>());
    run(index.defined() ? index.data<std::uint8_t>() : nullptr);
  });
}

void max_pool2d_backward(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& window) {
  dispatch_images("max_pool2d_backward", dy, dx, [&]<class T, int V>() {
    auto run = [&]<class I>(const I* won) {
      const ImageGrid g(dx.shape(), V);
      launch(max_pool_backward<T, V, I>, g.blocks(), image_threads, 0, g, ImageSize(dy.shape()),
             Axes(dx.shape(), dy.shape(), window), dy.data<T>(), won, dx.data<T>());
    };
    if (index.dtype() == i64) return run(index.data<std::int64_t>());
    run(index.data<std::uint8_t>());
  });
}

void average_over(const char* op, const Tensor& x, Tensor& y, const Axes& axes, std::int64_t divisor) {
  dispatch_images(op, x, y, [&]<class T, int V>() {
    const ImageGrid g(y.shape(), V);
    launch(average<T, V>, g.blocks(), image_threads, 0, g, ImageSize(x.shape()), axes,
           static_cast<int>(divisor), x.data<T>(), y.data<T>());
  });
}
void average_over_backward(const char* op, const Tensor& dy, Tensor& dx, const Axes& axes,
                           std::int64_t divisor) {
  dispatch_images(op, dy, dx, [&]<class T, int V>() {
    const ImageGrid g(dx.shape(), V);
    launch(average_backward<T, V>, g.blocks(), image_threads, 0, g, ImageSize(dy.shape()), axes,
           static_cast<int>(divisor), dy.data<T>(), dx.data<T>());
  });
}

std::int64_t divisor_of(const PoolWindow& w) { return w.count_include_pad ? w.kernel.h * w.kernel.w : 0; }

void avg_pool2d(const Tensor& x, Tensor& y, const PoolWindow& w) {
  average_over("avg_pool2d", x, y, Axes(x.shape(), y.shape(), w), divisor_of(w));
}
void avg_pool2d_backward(const Tensor& dy, Tensor& dx, const PoolWindow& w) {
  average_over_backward("avg_pool2d_backward", dy, dx, Axes(dx.shape(), dy.shape(), w), divisor_of(w));
}
void adaptive_avg_pool2d(const Tensor& x, Tensor& y) {
  average_over("adaptive_avg_pool2d", x, y, Axes(x.shape(), y.shape()), 0);
}
void adaptive_avg_pool2d_backward(const Tensor& dy, Tensor& dx) {
  average_over_backward("adaptive_avg_pool2d_backward", dy, dx, Axes(dx.shape(), dy.shape()), 0);
}

}  // namespace

void register_pool_kernels(KernelTable& table) {
  table.add<decltype(kernels::max_pool2d), max_pool2d>("max_pool2d");
  table.add<decltype(kernels::max_pool2d_backward), max_pool2d_backward>("max_pool2d_backward");
  table.add<decltype(kernels::avg_pool2d), avg_pool2d>("avg_pool2d");
  table.add<decltype(kernels::avg_pool2d_backward), avg_pool2d_backward>("avg_pool2d_backward");
  table.add<decltype(kernels::adaptive_avg_pool2d), adaptive_avg_pool2d>("adaptive_avg_pool2d");
  table.add<decltype(kernels::adaptive_avg_pool2d_backward), adaptive_avg_pool2d_backward>(
      "adaptive_avg_pool2d_backward");
}

}  // namespace karyon::cuda
