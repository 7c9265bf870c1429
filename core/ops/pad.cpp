#include <algorithm>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/rows.h>
#include <karyon/core/ops/pad.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

// The elements of `inside`, and their places in an array with borders around them.
struct Inside {
  std::int64_t first = 0;  // element of the outer array
  std::vector<kernels::Axis> axes;

  Inside(const Shape& inside, const Shape& outside, const std::vector<Border>& borders) {
    std::int64_t from = 1, to = 1;
    for (int d = inside.dims() - 1; d >= 0; --d) {
      first += borders[static_cast<std::size_t>(d)].before * to;
      if (inside[d] != 1) axes.insert(axes.begin(), {inside[d], from, to});
      from *= inside[d];
      to *= outside[d];
    }
    if (axes.empty()) axes.push_back({1, 1, 1});
  }
  std::vector<kernels::Axis> reversed() const {
    std::vector<kernels::Axis> back;
    for (const auto& [size, from, to] : axes) back.push_back({size, to, from});
    return back;
  }
};

Tensor pad_constant(const Tensor& x, const Shape& outside, const std::vector<Border>& borders, double value) {
  const Inside inside(x.shape(), outside, borders);
  Tensor y = full(outside, value, {.dtype = x.dtype(), .device = x.device()});
  if (x.numel() > 0) kernels::copy_strided(x, y, 0, inside.first, inside.axes);
  return record("pad", y, {x}, twice_differentiable,
                [inside, shape = x.shape(), outside, borders](const Tensor& dy) {
                  Tensor dx = empty(shape, {.dtype = dy.dtype(), .device = dy.device()});
                  if (dx.numel() > 0) kernels::copy_strided(dy, dx, inside.first, 0, inside.reversed());
                  return std::vector{
                      record("pad", dx, {dy}, twice_differentiable, [outside, borders](const Tensor& ddx) {
                        return std::vector{pad_constant(ddx, outside, borders, 0)};
                      })};
                });
}

// Element i of a dimension of size n and what is around it.
std::int64_t element(std::int64_t i, std::int64_t n, PadMode mode) {
  if (mode == PadMode::circular) return (i + n) % n;
  if (mode == PadMode::replicate) return std::clamp<std::int64_t>(i, 0, n - 1);
  return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
}

// x with a border along one dimension.
Tensor pad_along(const Tensor& x, int dim, const Border& border, std::int64_t size, PadMode mode) {
  Rows rows{.size = x.size(dim)};
  for (int d = 0; d < x.dim(); ++d) {
    if (d < dim) rows.outer *= x.size(d);
    if (d > dim) rows.inner *= x.size(d);
    rows.result.push_back(d == dim ? size : x.size(d));
  }
  std::vector<std::int64_t> at;
  if (rows.result.numel() > 0)
    for (std::int64_t i = 0; i < size; ++i) at.push_back(element(i - border.before, rows.size, mode));
  if (at.empty()) {  // no elements in another dimension
    return record("pad", empty(rows.result, {.dtype = x.dtype(), .device = x.device()}), {x},
                  twice_differentiable, [shape = x.shape()](const Tensor& dy) {
                    return std::vector{empty(shape, {.dtype = dy.dtype(), .device = dy.device()})};
                  });
  }
  rows.at = tensor(at, {.dtype = i64, .device = x.device()});
  return rows.of("pad", x);
}

void check_border(const Border& border, std::int64_t size, PadMode mode, const Shape& shape) {
  const auto [before, after] = border;
  check(before >= 0 && after >= 0, "pad: expects borders of at least 0, got ", before, " and ", after);
  if (before == 0 && after == 0) return;
  const std::int64_t most = std::max(before, after);
  if (mode == PadMode::reflect)
    check(most < std::max<std::int64_t>(size, 1), "pad: reflect expects borders smaller than ", size, " of ",
          shape, ", got ", before, " and ", after);
  if (mode == PadMode::replicate)
    check(size >= 1, "pad: replicate expects an element to repeat, got ", shape);
  if (mode == PadMode::circular)
    check(most <= size, "pad: circular expects borders of at most ", size, " of ", shape, ", got ", before,
          " and ", after);
}

Tensor padded(const Tensor& x, const std::vector<Border>& borders, PadMode mode, double value) {
  check(static_cast<int>(borders.size()) == x.dim(), "pad_nd: expects a border for each dimension of ",
        x.shape(), ", got ", borders.size());
  Shape outside;
  for (int d = 0; d < x.dim(); ++d) {
    const Border& border = borders[static_cast<std::size_t>(d)];
    check_border(border, x.size(d), mode, x.shape());
    outside.push_back(checked_add(checked_add(border.before, x.size(d), "pad"), border.after, "pad"));
  }
  if (mode == PadMode::constant) return pad_constant(x, outside, borders, value);
  check(value == 0, "pad: a value of ", value, " expects the mode constant");
  outside.numel();  // throws Error if it is too large
  Tensor y = x;
  for (int d = 0; d < x.dim(); ++d)
    if (outside[d] != x.size(d)) y = pad_along(y, d, borders[static_cast<std::size_t>(d)], outside[d], mode);
  return y;
}

}  // namespace

Tensor pad_nd(const Tensor& x, const std::vector<Border>& borders, PadMode mode, double value) {
  return traced_whole(
      "pad", {x}, [&] { return padded(x, borders, mode, value); },
      [&] {
        std::vector<std::int64_t> before, after;
        for (const Border& border : borders) {
          before.push_back(border.before);
          after.push_back(border.after);
        }
        const char* const name = mode == PadMode::constant    ? "constant"
                                 : mode == PadMode::reflect   ? "reflect"
                                 : mode == PadMode::replicate ? "replicate"
                                                              : "circular";
        return TraceOptions{{"before", before}, {"after", after}, {"mode", name}, {"value", value}};
      });
}

}  // namespace karyon
