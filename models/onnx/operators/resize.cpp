#include <algorithm>
#include <cmath>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/resize.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {
namespace {

/// How one dimension is sampled.
struct Axis {
  std::int64_t in = 0, out = 0;
  double scale = 1, roi_start = 0, roi_end = 1;
};

struct Sampling {
  std::string mode, places, nearest;
  double cubic_a = -0.75, extrapolation = 0;
  bool exclude_outside = false, antialias = false;

  explicit Sampling(const Node& node)
      : mode(node.text_of("mode", "nearest")),
        places(node.text_of("coordinate_transformation_mode", "half_pixel")),
        nearest(node.text_of("nearest_mode", "round_prefer_floor")),
        cubic_a(node.real("cubic_coeff_a", -0.75)),
        extrapolation(node.real("extrapolation_value", 0)),
        exclude_outside(node.integer("exclude_outside", 0) != 0),
        antialias(node.integer("antialias", 0) != 0) {}

  /// Where in the input an element of the output lies.
  double place(const Axis& axis, std::int64_t i) const {
    const auto x = static_cast<double>(i), in = static_cast<double>(axis.in);
    const double length = axis.scale * in;
    if (places == "asymmetric") return x / axis.scale;
    if (places == "align_corners") return length == 1 ? 0 : x * (in - 1) / (length - 1);
    if (places == "tf_half_pixel_for_nn") return (x + 0.5) / axis.scale;
    if (places == "tf_crop_and_resize")
      return length > 1
                 ? axis.roi_start * (in - 1) + x * (axis.roi_end - axis.roi_start) * (in - 1) / (length - 1)
                 : 0.5 * (axis.roi_start + axis.roi_end) * (in - 1);
    if (places == "pytorch_half_pixel" && length <= 1) return 0;
    const double half = (x + 0.5) / axis.scale - 0.5;
    if (places != "half_pixel_symmetric") return half;
    return in / 2 * (1 - static_cast<double>(axis.out) / length) + half;
  }
  std::int64_t rounded(double x) const {
    if (nearest == "floor") return static_cast<std::int64_t>(std::floor(x));
    if (nearest == "ceil") return static_cast<std::int64_t>(std::ceil(x));
    return static_cast<std::int64_t>(nearest == "round_prefer_ceil" ? std::floor(x + 0.5)
                                                                    : std::ceil(x - 0.5));
  }
  double weight(double distance) const {
    const double d = std::fabs(distance), a = cubic_a;
    if (mode == "linear") return d < 1 ? 1 - d : 0;
    if (d <= 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    return d < 2 ? ((a * d - 5 * a) * d + 8 * a) * d - 4 * a : 0;
  }
};

/// For each element of the output, `taps` elements of the input and their weights.
struct Taps {
  std::vector<std::vector<std::int64_t>> places;
  std::vector<std::vector<double>> weights;
  std::vector<double> outside;  // 1 where the extrapolation value stands

  Taps(const Sampling& how, const Axis& axis) : outside(static_cast<std::size_t>(axis.out), 0) {
    const double shrink = how.antialias ? std::min(axis.scale, 1.0) : 1;
    const double support = (how.mode == "linear" ? 1 : 2) / shrink;
    const auto taps = static_cast<std::size_t>(2 * std::ceil(support));
    places.assign(taps, std::vector<std::int64_t>(static_cast<std::size_t>(axis.out), 0));
    weights.assign(taps, std::vector<double>(static_cast<std::size_t>(axis.out), 0));
    for (std::size_t i = 0; i < outside.size(); ++i) {
      const double x = how.place(axis, static_cast<std::int64_t>(i));
      if (how.places == "tf_crop_and_resize" && (x < 0 || x > static_cast<double>(axis.in - 1))) {
        outside[i] = 1;
        continue;
      }
      const auto first = static_cast<std::int64_t>(std::floor(x)) - static_cast<std::int64_t>(taps) / 2 + 1;
      double total = 0;
      for (std::size_t t = 0; t < taps; ++t) {
        const std::int64_t p = first + static_cast<std::int64_t>(t);
        const bool out = p < 0 || p >= axis.in;
        places[t][i] = std::clamp<std::int64_t>(p, 0, axis.in - 1);
        weights[t][i] = out && how.exclude_outside ? 0 : how.weight((static_cast<double>(p) - x) * shrink);
        total += weights[t][i];
      }
      for (auto& tap : weights) tap[i] /= total == 0 ? 1 : total;
    }
  }
};

Tensor along(const std::vector<double>& numbers, const Tensor& x, int dim) {
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) shape.push_back(d == dim ? static_cast<std::int64_t>(numbers.size()) : 1);
  return tensor(numbers, shape, {.dtype = x.dtype(), .device = x.device()});
}

Tensor resampled(const Tensor& x, int dim, const Axis& axis, const Sampling& how) {
  if (how.mode == "nearest") {
    std::vector<std::int64_t> places;
    std::vector<double> outside;
    for (std::int64_t i = 0; i < axis.out; ++i) {
      const double place = how.place(axis, i);
      places.push_back(std::clamp<std::int64_t>(how.rounded(place), 0, axis.in - 1));
      outside.push_back(how.places == "tf_crop_and_resize" &&
                        (place < 0 || place > static_cast<double>(axis.in - 1)));
    }
    const Tensor y = selected(x, dim, places);
    if (std::find(outside.begin(), outside.end(), 1) == outside.end()) return y;
    return where(along(outside, y.to(f32), dim).to(boolean),
                 full(Shape(), how.extrapolation, {.dtype = y.dtype()}), y);
  }
  const Taps taps(how, axis);
  Tensor y;
  for (std::size_t t = 0; t < taps.places.size(); ++t) {
    const Tensor part = mul(selected(x, dim, taps.places[t]), along(taps.weights[t], x, dim));
    y = y.defined() ? add(y, part) : part;
  }
  if (std::find(taps.outside.begin(), taps.outside.end(), 1) == taps.outside.end()) return y;
  return add(y, mul(along(taps.outside, y, dim), how.extrapolation));
}

/// The axes of the node, in the file's order of dimensions.
std::vector<Axis> axes_of(const Call& call, const std::vector<std::int64_t>& in) {
  const Node& node = call.node;
  std::vector<Axis> axes(in.size());
  for (std::size_t d = 0; d < in.size(); ++d) axes[d].in = axes[d].out = in[d];
  std::vector<int> named = dims_of(node.integers("axes"));
  if (named.empty()) {
    named.resize(in.size());
    std::iota(named.begin(), named.end(), 0);
  }
  for (int& axis : named) axis = normalize_dim(axis, static_cast<int>(in.size()), "onnx");
  const int first = call.opset() < 11 ? 1 : 2;
  std::vector<double> scales;
  if (node.has("scales")) scales = node.find("scales")->floats;
  if (call.has(first)) scales = call.x(first).to_vector<double>();
  std::vector<std::int64_t> sizes;
  if (call.has(3)) sizes = call.numbers(3);
  check(std::max(scales.size(), sizes.size()) == named.size(), "expects a scale or size for each of ",
        named.size(), " axes");
  const std::string policy = node.text_of("keep_aspect_ratio_policy", "stretch");
  double common = policy == "not_larger" ? INFINITY : 0;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const double scale =
        static_cast<double>(sizes[i]) / static_cast<double>(in[static_cast<std::size_t>(named[i])]);
    common = policy == "not_larger" ? std::min(common, scale) : std::max(common, scale);
  }
  for (std::size_t i = 0; i < named.size(); ++i) {
    Axis& axis = axes[static_cast<std::size_t>(named[i])];
    const auto length = static_cast<double>(axis.in);
    if (!sizes.empty()) {
      axis.scale = policy == "stretch" ? static_cast<double>(sizes[i]) / length : common;
      axis.out =
          policy == "stretch" ? sizes[i] : static_cast<std::int64_t>(std::floor(common * length + 0.5));
    } else {
      axis.scale = scales[i];
      check(scales[i] > 0 && scales[i] * length < 1e12, "a scale of ", scales[i]);
      axis.out = static_cast<std::int64_t>(std::floor(length * scales[i]));
    }
    check(axis.out >= 0 && (axis.in > 0 || axis.out == 0), "cannot make a size of ", axis.out, " of ",
          axis.in);
  }
  if (call.opset() >= 11 && call.has(1)) {
    const std::vector<double> roi = call.x(1).to_vector<double>();
    for (std::size_t i = 0; i < named.size() && roi.size() == 2 * named.size(); ++i) {
      axes[static_cast<std::size_t>(named[i])].roi_start = roi[i];
      axes[static_cast<std::size_t>(named[i])].roi_end = roi[i + named.size()];
    }
  }
  return axes;
}

/// The kernel for images, if it computes just this.
bool has_kernel(const Sampling& how, const std::vector<Axis>& axes, const Tensor& x) {
  if (axes.size() != 4 || axes[0].in != axes[0].out || axes[1].in != axes[1].out || how.antialias)
    return false;
  if (!is_floating(x.dtype()) || x.numel() == 0 || how.exclude_outside) return false;
  for (std::size_t d = 2; d < 4; ++d)
    if (axes[d].out < 1 ||
        axes[d].scale * static_cast<double>(axes[d].in) != static_cast<double>(axes[d].out))
      return false;
  if (how.mode == "nearest") return how.places == "asymmetric" && how.nearest == "floor";
  return how.mode == "linear" && (how.places == "half_pixel" || how.places == "align_corners" ||
                                  (how.places == "pytorch_half_pixel" && axes[2].out > 1 && axes[3].out > 1));
}

Values resized(const Call& call, const Sampling& how) {
  const bool images = call.x(0).dim() == 4;
  Tensor x = images ? call.image(0) : call.x(0);
  const bool whole = !is_floating(x.dtype());
  std::vector<std::int64_t> in;
  for (int d = 0; d < x.dim(); ++d) in.push_back(x.size(images ? last_axis(d, 4) : d));
  const std::vector<Axis> axes = axes_of(call, in);
  if (has_kernel(how, axes, x))
    return {last(
        interpolate(x, {axes[2].out, axes[3].out},
                    {.mode = how.mode == "nearest" ? InterpolateMode::nearest : InterpolateMode::bilinear,
                     .align_corners = how.places == "align_corners"}))};
  if (whole && how.mode != "nearest") x = x.to(f64);
  for (std::size_t d = 0; d < axes.size(); ++d) {
    if (axes[d].in == axes[d].out && axes[d].scale == 1 && how.places != "tf_crop_and_resize") continue;
    const int dim = static_cast<int>(d);
    x = resampled(x, images ? last_axis(dim, 4) : dim, axes[d], how);
  }
  if (whole && how.mode != "nearest") x = converted(round(x), call.type(0));
  return {images ? last(x) : Value(x)};
}

Values resize(const Call& call) {
  Sampling how(call.node);
  if (call.opset() < 11) {
    how.places = "asymmetric";
    how.nearest = "floor";
  }
  return resized(call, how);
}
Values upsample(const Call& call) {
  Sampling how(call.node);
  how.places = "asymmetric";
  how.nearest = "floor";
  if (how.mode == "bilinear") how.mode = "linear";
  return resized(call, how);
}

std::string resize_refuses(const Node& node, const Facts&) {
  const Sampling how(node);
  if (how.mode != "nearest" && how.mode != "linear" && how.mode != "bilinear" && how.mode != "cubic")
    return "in mode " + how.mode;
  return "";
}

}  // namespace

std::vector<Operator> resize_operators() {
  return {{"Resize", resize, resize_refuses}, {"Upsample", upsample, resize_refuses}};
}

}  // namespace karyon::onnx
