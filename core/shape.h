#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include <karyon/core/check.h>

namespace karyon {

/// a + b and a * b of sizes. Throw Error, which names `op`, where 64 bits do not hold the result.
inline std::int64_t checked_add(std::int64_t a, std::int64_t b, const char* op) {
  std::int64_t sum = 0;
  check(!__builtin_add_overflow(a, b, &sum), op, ": a size of ", a, " + ", b, " is too large");
  return sum;
}
inline std::int64_t checked_mul(std::int64_t a, std::int64_t b, const char* op) {
  std::int64_t product = 0;
  check(!__builtin_mul_overflow(a, b, &product), op, ": a size of ", a, " * ", b, " is too large");
  return product;
}

/// The sizes of a tensor's dimensions, outermost first. At most 8 dimensions; sizes may be 0.
class Shape {
 public:
  static constexpr int max_dims = 8;

  Shape() = default;
  Shape(std::initializer_list<std::int64_t> sizes) : Shape(std::span(sizes.begin(), sizes.size())) {}
  explicit Shape(std::span<const std::int64_t> sizes) {
    for (std::int64_t size : sizes) push_back(size);
  }

  int dims() const { return dims_; }
  std::int64_t operator[](int dim) const { return sizes_[static_cast<std::size_t>(dim)]; }
  std::int64_t& operator[](int dim) { return sizes_[static_cast<std::size_t>(dim)]; }
  const std::int64_t* begin() const { return sizes_.data(); }
  const std::int64_t* end() const { return sizes_.data() + dims_; }

  /// Product of the sizes; 1 for no dimensions. Throws Error if the product of those that are not 0 does not
  /// fit in 64 bits: parts of the shape, [2^62, 4] of [2^62, 4, 0], have sizes, too.
  std::int64_t numel() const {
    std::int64_t n = 1;
    bool none = false, wraps = false;
    for (const std::int64_t size : *this) {
      none |= size == 0;
      wraps |= __builtin_mul_overflow(n, size == 0 ? 1 : size, &n);
    }
    check(!wraps, "shape: ", *this, " is too large");
    return none ? 0 : n;
  }

  void push_back(std::int64_t size) {
    check(dims_ < max_dims, "shape: at most ", max_dims, " dimensions");
    sizes_[static_cast<std::size_t>(dims_++)] = size;
  }

  friend bool operator==(const Shape& a, const Shape& b) {
    return std::equal(a.begin(), a.end(), b.begin(), b.end());
  }
  friend std::ostream& operator<<(std::ostream& os, const Shape& shape) {
    os << '[';
    for (int d = 0; d < shape.dims(); ++d) os << (d ? ", " : "") << shape[d];
    return os << ']';
  }

 private:
  int dims_ = 0;
  std::array<std::int64_t, max_dims> sizes_{};
};

/// `dim` counted from the front, where -1 is the last. Throws Error if out of range.
inline int normalize_dim(int dim, int dims, const char* op) {
  check(dim >= -dims && dim < dims, op, ": dimension ", dim, " of a tensor with ", dims, " dimensions");
  return dim < 0 ? dim + dims : dim;
}

/// The shape that `a` and `b` broadcast to: aligned at the right, sizes equal or 1.
inline Shape broadcast_shapes(const Shape& a, const Shape& b, const char* op) {
  const int dims = std::max(a.dims(), b.dims());
  Shape out;
  for (int d = 0; d < dims; ++d) {
    const int da = d - (dims - a.dims()), db = d - (dims - b.dims());
    const std::int64_t sa = da < 0 ? 1 : a[da], sb = db < 0 ? 1 : b[db];
    check(sa == sb || sa == 1 || sb == 1, op, ": shapes ", a, " and ", b, " do not broadcast");
    out.push_back(sa == 1 ? sb : sa);
  }
  return out;
}

/// A height and a width; one number sets both: `{.stride = 2}`, `{.stride = {2, 1}}`.
struct Pair {
  std::int64_t h = 0, w = 0;
  constexpr Pair(std::int64_t both) : h(both), w(both) {}
  constexpr Pair(std::int64_t height, std::int64_t width) : h(height), w(width) {}
  friend constexpr bool operator==(const Pair&, const Pair&) = default;
  friend std::ostream& operator<<(std::ostream& os, Pair p) { return os << '(' << p.h << ", " << p.w << ')'; }
};

/// A window that slides over images, as those of convolutions and pools do.
struct SlidingWindow {
  Pair kernel, stride = 1, padding = 0, dilation = 1;
};

/// Positions of the window in each dimension, (size + 2 padding - dilation (kernel - 1) - 1) / stride + 1; 0
/// where it does not fit. Takes a kernel, stride and dilation of 1 or more and a padding of 0 or more. Throws
/// Error, which names `op`, where 64 bits do not hold the padded size or the length of the window.
inline Pair window_positions(const char* op, Pair size, const SlidingWindow& window) {
  const auto count = [&](std::int64_t length, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                         std::int64_t dilation) {
    std::int64_t padded = 0, reach = 0;  // from a window's first element to its last
    bool wraps = __builtin_mul_overflow(padding, 2, &padded);
    wraps |= __builtin_add_overflow(padded, length, &padded);
    wraps |= __builtin_mul_overflow(dilation, kernel - 1, &reach);
    check(!wraps, op, ": a kernel of ", window.kernel, " with padding ", window.padding, " and dilation ",
          window.dilation, " is too large");
    return padded <= reach ? 0 : (padded - reach - 1) / stride + 1;
  };
  return {count(size.h, window.kernel.h, window.stride.h, window.padding.h, window.dilation.h),
          count(size.w, window.kernel.w, window.stride.w, window.padding.w, window.dilation.w)};
}

}  // namespace karyon
