#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <utility>

#include <karyon/core/cpu/norm_rows.h>
#include <karyon/core/kernels/lazy.h>

// Private to core/cpu: how a kernel reads images that may be a lazy batch norm, without materializing it.
namespace karyon::cpu {

/// The pixels [channels] of x. If x is a LazyNorm, they are max(scale v + shift, 0) of its source's pixels v.
template <class T>
struct LazyPixels {
  std::array<Tensor, 3> held;  // keep the pointers valid: x, or the source, scale and shift of its norm
  const T* data;               // pixels of x or of the source
  std::int64_t channels, pixels;
  const float *scale = nullptr, *shift = nullptr;  // [channels]; null where x is in memory

  explicit LazyPixels(const Tensor& x)
      : held{x}, channels(x.size(-1)), pixels(x.numel() / std::max<std::int64_t>(channels, 1)) {
    if (const auto norm = lazy_as<LazyNorm>(x)) {
      held = {norm->x.get(), norm->scale, norm->shift};
      scale = norm->scale.data<float>();
      shift = norm->shift.data<float>();
    }
    data = std::as_const(held[0]).template data<T>();
  }

  bool in_memory() const { return scale == nullptr; }
  /// Copies or computes `count` pixels from number `pixel` on.
  void copy(std::int64_t pixel, std::int64_t count, T* to) const {
    const T* from = data + pixel * channels;
    if (in_memory()) {
      std::copy_n(from, count * channels, to);
    } else {
      norm_affine(dtype_of<T>, from, count, channels, scale, shift, 0, false, to);
    }
  }
  /// The same pixels, in place or computed into `block`.
  const T* read(std::int64_t pixel, std::int64_t count, T* block) const {
    if (in_memory()) return data + pixel * channels;
    copy(pixel, count, block);
    return block;
  }
};

}  // namespace karyon::cpu
