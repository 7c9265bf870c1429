#include <cmath>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/models/onnx/layout.h>
#include <karyon/models/onnx/window.h>

namespace karyon::onnx {
namespace {

/// Whether a kernel of 2-D pools computes this window as it is.
bool is_plain(const Window& w, const Shape& image) {
  if (w.dims() != 2 || !w.symmetric()) return false;
  for (std::size_t d = 0; d < 2; ++d) {
    const std::int64_t size = image[static_cast<int>(d) + 1];
    if (w.before[d] > w.kernel[d] / 2) return false;
    if (w.ceil && (size + 2 * w.before[d] - w.reach(d)) % w.stride[d] != 0) return false;
  }
  return true;
}

/// A reduction over windows, one dimension after another: f of all elements of each.
template <class F>
Tensor folded(const Tensor& image, const Window& w, double border, const F& f) {
  Tensor y = image;
  for (std::size_t d = 0; d < w.dims(); ++d) {
    const int dim = static_cast<int>(d) + 1;
    const std::int64_t count = w.positions(d, image.size(dim));
    const std::int64_t needed = (count - 1) * w.stride[d] + w.reach(d);
    const std::int64_t behind = needed - image.size(dim) - w.before[d];
    const Tensor wide = padded(y, dim, w.before[d], behind, "constant", border);
    Tensor total;
    for (std::int64_t k = 0; k < w.kernel[d]; ++k) {
      std::vector<std::int64_t> places;
      for (std::int64_t i = 0; i < count; ++i) places.push_back(i * w.stride[d] + k * w.dilation[d]);
      const Tensor part = selected(wide, dim, places);
      total = total.defined() ? f(total, part) : part;
    }
    y = total;
  }
  return y;
}

Pair pair_of(const std::vector<std::int64_t>& v) { return {v[0], v[1]}; }

/// The places of the largest elements, numbered over whole planes [C, ...] of the input, row by row or
/// column by column.
Tensor places_of_largest(const Tensor& x, const Tensor& y, const Window& w, bool columns) {
  const auto n = static_cast<int>(w.dims());
  const std::vector<double> values = x.to_vector<double>(), largest = y.to_vector<double>();
  std::vector<std::int64_t> places(largest.size(), 0);
  std::int64_t plane = 1, window = 1;
  for (int d = 0; d < n; ++d) {
    plane *= x.size(d + 1);
    window *= w.kernel[static_cast<std::size_t>(d)];
  }
  const std::int64_t channels = x.size(-1);
  for (std::size_t i = 0; i < places.size(); ++i) {
    auto left = static_cast<std::int64_t>(i) / channels;
    const std::int64_t channel = static_cast<std::int64_t>(i) % channels;
    std::vector<std::int64_t> corner(w.dims());
    for (int d = n - 1; d >= 0; --d) {
      const auto at = static_cast<std::size_t>(d);
      corner[at] = left % y.size(d + 1) * w.stride[at] - w.before[at];
      left /= y.size(d + 1);
    }
    for (std::int64_t k = 0; k < window; ++k) {
      std::int64_t rest = k, row = 0, number = 0, row_stride = 1, inverse = 1;
      bool inside = true;
      std::vector<std::int64_t> place(w.dims());
      for (int d = n - 1; d >= 0; --d) {
        const auto at = static_cast<std::size_t>(d);
        place[at] = corner[at] + rest % w.kernel[at] * w.dilation[at];
        rest /= w.kernel[at];
        inside &= place[at] >= 0 && place[at] < x.size(d + 1);
        row += place[at] * row_stride;
        row_stride *= x.size(d + 1);
      }
      if (!inside) continue;
      const std::int64_t element = ((left * plane + row) * channels) + channel;
      if (values[static_cast<std::size_t>(element)] != largest[i]) continue;
      for (int d = 0; d < n; ++d) {
        number += place[static_cast<std::size_t>(d)] * inverse;
        inverse *= x.size(d + 1);
      }
      places[i] = (left * channels + channel) * plane + (columns ? number : row);
      break;
    }
  }
  return tensor(places, y.shape());
}

Values max_pool(const Call& call) {
  const Tensor image = call.image(0);
  const Tensor x = is_floating(image.dtype()) ? image : image.to(f64);
  const Window w(call.node, call.node.integers("kernel_shape"), x.shape());
  Tensor y;
  if (is_plain(w, x.shape()))
    y = max_pool2d(x, {.kernel_size = pair_of(w.kernel),
                       .stride = pair_of(w.stride),
                       .padding = pair_of(w.before),
                       .dilation = pair_of(w.dilation)});
  else
    y = folded(x, w, -INFINITY, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(maximum));
  Values outputs{last(y.to(image.dtype()))};
  if (call.wants(1)) {
    outputs.push_back(last(places_of_largest(x, y, w, call.node.integer("storage_order", 0) != 0)));
    outputs.back().type = int64;
  }
  return outputs;
}

/// How many elements each window has that count, as a factor for each position: [1, ..., 1].
Tensor counts(const Tensor& x, const Window& w, bool with_borders) {
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) shape.push_back(1);
  Tensor product = ones(shape, {.dtype = x.dtype(), .device = x.device()});
  for (std::size_t d = 0; d < w.dims(); ++d) {
    const std::int64_t size = x.size(static_cast<int>(d) + 1), count = w.positions(d, size);
    const std::int64_t low = with_borders ? 0 : w.before[d];
    const std::int64_t high = w.before[d] + size + (with_borders ? w.after[d] : 0);
    std::vector<double> numbers;
    for (std::int64_t i = 0; i < count; ++i) {
      double inside = 0;
      for (std::int64_t k = 0; k < w.kernel[d]; ++k) {
        const std::int64_t at = i * w.stride[d] + k * w.dilation[d];
        inside += at >= low && at < high ? 1 : 0;
      }
      numbers.push_back(inside);
    }
    Shape line = shape;
    line[static_cast<int>(d) + 1] = count;
    product = mul(product, tensor(numbers, line, {.dtype = x.dtype(), .device = x.device()}));
  }
  return product;
}

Values average_pool(const Call& call) {
  const Tensor x = call.image(0);
  const Window w(call.node, call.node.integers("kernel_shape"), x.shape());
  const bool with_borders = call.node.integer("count_include_pad", 0) != 0;
  const bool dilated = w.dilation != std::vector<std::int64_t>(w.dims(), 1);
  if (is_plain(w, x.shape()) && !dilated)
    return {last(avg_pool2d(x, {.kernel_size = pair_of(w.kernel),
                                .stride = pair_of(w.stride),
                                .padding = pair_of(w.before),
                                .count_include_pad = with_borders}))};
  const Tensor total = folded(x, w, 0, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(add));
  return {last(div(total, counts(x, w, with_borders)))};
}

Values lp_pool(const Call& call) {
  const Tensor x = call.image(0);
  const Window w(call.node, call.node.integers("kernel_shape"), x.shape());
  const auto p = static_cast<double>(call.node.integer("p", 2));
  const Tensor total =
      folded(pow(abs(x), p), w, 0, static_cast<Tensor (*)(const Tensor&, const Tensor&)>(add));
  return {last(pow(total, 1 / p))};
}

std::vector<int> plane_of(const Tensor& x) {
  check(x.dim() >= 3, "expects images, got ", x.shape());
  std::vector<int> dims(static_cast<std::size_t>(x.dim() - 2));
  std::iota(dims.begin(), dims.end(), 1);
  return dims;
}
Values global_average(const Call& call) { return {last(mean(call.image(0), plane_of(call.image(0)), true))}; }
Values global_max(const Call& call) { return {last(max(call.image(0), plane_of(call.image(0)), true))}; }
Values global_lp(const Call& call) {
  const auto p = static_cast<double>(call.node.integer("p", 2));
  return {last(pow(sum(pow(abs(call.image(0)), p), plane_of(call.image(0)), true), 1 / p))};
}

Values max_unpool(const Call& call) {
  const Tensor x = call.x(0), places = call.x(1);
  const Window w(call.node, call.node.integers("kernel_shape"), call.image(0).shape());
  Shape shape{x.size(0), x.size(1)};
  for (std::size_t d = 0; d < w.dims(); ++d)
    shape.push_back((x.size(static_cast<int>(d) + 2) - 1) * w.stride[d] + w.kernel[d] - w.before[d] -
                    w.after[d]);
  if (call.has(2)) {
    // Places count in the smaller image; they are moved to the larger one.
    const Shape larger = shape_of(call.numbers(2));
    check(larger.dims() == shape.dims(), "an output of ", larger, " for ", shape);
    std::vector<std::int64_t> moved = places.to_vector<std::int64_t>();
    for (std::int64_t& place : moved) {
      std::int64_t rest = place, at = 0, stride = 1;
      for (int d = shape.dims() - 1; d >= 0; --d) {
        at += rest % shape[d] * stride;
        rest /= shape[d];
        stride *= larger[d];
      }
      place = at;
    }
    const Tensor flat = zeros({larger.numel()}, {.dtype = x.dtype()});
    return {scatter(flat, 0, tensor(moved), x.reshape({-1})).reshape(larger)};
  }
  const Tensor flat = zeros({shape.numel()}, {.dtype = x.dtype()});
  return {scatter(flat, 0, places.reshape({-1}), x.reshape({-1})).reshape(shape)};
}

}  // namespace

std::vector<Operator> pool_operators() {
  return {
      {"MaxPool", max_pool, window_refuses},
      {"AveragePool", average_pool, window_refuses},
      {"LpPool", lp_pool, window_refuses},
      {"GlobalAveragePool", global_average},
      {"GlobalMaxPool", global_max},
      {"GlobalLpPool", global_lp},
      {"MaxUnpool", max_unpool},
  };
}

}  // namespace karyon::onnx
