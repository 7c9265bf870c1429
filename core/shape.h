#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <initializer_list>
#include <ostream>
#include <span>

#include <karyon/core/check.h>

namespace karyon {

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

  /// Product of the sizes; 1 for no dimensions.
  std::int64_t numel() const {
    std::int64_t n = 1;
    for (std::int64_t size : *this) n *= size;
    return n;
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

}  // namespace karyon
