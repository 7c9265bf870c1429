// The position of a thread in a kernel over images [N, H, W, C]: one pixel, V neighbouring channels. A warp
// thus reads and writes whole lines at any pixel.
#pragma once
#include <karyon/core/tensor.h>
#include <karyon/cuda/divisor.cuh>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/scalar.cuh>

namespace karyon::cuda {

inline constexpr int image_threads = 256;

struct ImageGrid {
  int items;  ///< pixels times vectors
  Divisor vectors, width, height;

  ImageGrid(const Shape& shape, int vector) {
    const std::int64_t count = shape.numel() / vector;
    check(count < std::int64_t{1} << 31, "cuda: images ", shape, " are more than the kernel takes");
    items = static_cast<int>(count);
    if (items == 0) return;
    vectors = Divisor(shape[3] / vector);
    width = Divisor(shape[2]);
    height = Divisor(shape[1]);
  }
  unsigned blocks() const { return grid_for(items, image_threads); }
};

template <int V>
struct ImagePlace {
  int item, image, y, x, channel;
  bool inside;

  __device__ explicit ImagePlace(const ImageGrid& g) {
    const unsigned i = blockIdx.x * image_threads + threadIdx.x;
    inside = i < static_cast<unsigned>(g.items);
    item = static_cast<int>(i);
    int pixel = g.vectors.divide(inside ? item : 0, channel);
    channel *= V;
    pixel = g.width.divide(pixel, x);
    image = g.height.divide(pixel, y);
  }
  /// The place's first element.
  __device__ std::int64_t at() const { return std::int64_t{item} * V; }
};

/// Another array of images with the same channels.
struct ImageSize {
  int height, width, channels;
  explicit ImageSize(const Shape& s)
      : height(static_cast<int>(s[1])), width(static_cast<int>(s[2])), channels(static_cast<int>(s[3])) {
    check(std::max({s[1], s[2], s[3]}) < std::int64_t{1} << 30, "cuda: images ", s,
          " are more than the kernel takes");
  }
  template <int V>
  __device__ std::int64_t at(const ImagePlace<V>& place, int y, int x) const {
    return ((std::int64_t{place.image} * height + y) * width + x) * channels + place.channel;
  }
};

/// Calls f.template operator()<T, V>() with the type x is stored as, and 4 or 1 channels at a time.
template <class F>
void dispatch_images(const char* op, const Tensor& x, const Tensor& y, F f) {
  check(x.dtype() == f32 || x.dtype() == bf16, op, ": the cuda kernel expects f32 or bf16, got ", x.dtype());
  const std::size_t bytes = 4 * element_size(x.dtype());
  const bool vectors = x.size(3) % 4 == 0 && aligned(bytes, x.data_ptr(), y.data_ptr());
  if (x.dtype() == f32) {
    vectors ? f.template operator()<float, 4>() : f.template operator()<float, 1>();
  } else {
    vectors ? f.template operator()<BFloat16, 4>() : f.template operator()<BFloat16, 1>();
  }
}

}  // namespace karyon::cuda
