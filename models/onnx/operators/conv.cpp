#include <tuple>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/layout.h>
#include <karyon/models/onnx/window.h>

namespace karyon::onnx {
namespace {

std::vector<std::int64_t> kernel_of(const Tensor& filter) {
  return {filter.shape().begin() + 1, filter.shape().end() - 1};
}

/// x with the window's borders, for kernels that know only equal ones.
Tensor bordered(const Tensor& x, const Window& window) {
  Tensor y = x;
  for (std::size_t d = 0; d < window.dims(); ++d)
    y = padded(y, static_cast<int>(d) + 1, window.before[d], window.after[d], "constant", 0);
  return y;
}

Tensor conv_flat(Tensor x, Tensor filter, const Tensor& bias, const Window& window, std::int64_t groups) {
  const bool line = window.dims() == 1;
  const bool inside = window.symmetric();
  if (!inside) x = bordered(x, window);
  if (line) {
    x = unsqueeze(x, 1);
    filter = unsqueeze(filter, 1);
  }
  const auto pair = [&](const std::vector<std::int64_t>& v, std::int64_t otherwise) {
    return line ? Pair(otherwise, v[0]) : Pair(v[0], v[1]);
  };
  const Conv2dOptions options{.stride = pair(window.stride, 1),
                              .padding = inside ? pair(window.before, 0) : Pair(0),
                              .dilation = pair(window.dilation, 1),
                              .groups = groups};
  const Tensor y = conv2d(x, filter, bias, options);
  return line ? squeeze(y, 1) : y;
}

/// A convolution of volumes: the sum over slices of the filter of convolutions of images.
Tensor conv_volume(const Tensor& image, const Tensor& filter, const Tensor& bias, const Window& window,
                   std::int64_t groups) {
  const Tensor x = bordered(image, window);
  const std::int64_t depth = (x.size(1) - window.reach(0)) / window.stride[0] + 1;
  check(x.size(1) >= window.reach(0), "a filter of ", filter.shape(), " does not fit ", image.shape());
  const Conv2dOptions options{.stride = {window.stride[1], window.stride[2]},
                              .dilation = {window.dilation[1], window.dilation[2]},
                              .groups = groups};
  Tensor total;
  for (std::int64_t k = 0; k < window.kernel[0]; ++k) {
    std::vector<std::int64_t> slices;
    for (std::int64_t d = 0; d < depth; ++d) slices.push_back(d * window.stride[0] + k * window.dilation[0]);
    const Tensor part = selected(x, 1, slices);
    const Tensor flat = part.reshape({part.size(0) * depth, part.size(2), part.size(3), part.size(4)});
    const Tensor y = conv2d(flat, select(filter, 1, k), k == 0 ? bias : Tensor(), options);
    total = total.defined() ? add(total, y) : y;
  }
  return total.reshape({x.size(0), depth, total.size(1), total.size(2), total.size(3)});
}

Tensor convolved(const Tensor& x, const Tensor& filter, const Tensor& bias, const Node& node) {
  check(filter.dim() >= 3 && filter.dim() == x.dim(), "a filter of ", filter.shape(), " does not fit ",
        x.shape());
  const Window window(node, kernel_of(filter), x.shape());
  const std::int64_t groups = node.integer("group", 1);
  return window.dims() == 3 ? conv_volume(x, filter, bias, window, groups)
                            : conv_flat(x, filter, bias, window, groups);
}

Values conv(const Call& call) {
  return {last(convolved(call.image(0), call.image(1), call.maybe(2), call.node))};
}

/// A convolution, and the norm and ReLU that fuse_convolutions() found behind it. Without recording it is one pass.
Values fused_conv(const Call& call) {
  const Node& node = call.node;
  const Tensor x = call.image(0), filter = call.image(1), bias = call.maybe(2);
  const bool has_norm = node.has("karyon.norm"), has_relu = node.has("karyon.relu");
  const double eps = node.real("karyon.norm", 0);
  check(filter.dim() >= 3 && filter.dim() == x.dim(), "a filter of ", filter.shape(), " does not fit ",
        x.shape());
  const Window window(node, kernel_of(filter), x.shape());
  if (!grad_enabled() && window.dims() == 2 && window.symmetric()) {
    Tensor scale, shift = bias;
    if (has_norm) {
      std::tie(scale, shift) = batch_norm_affine(call.x(3), call.x(4), call.x(5), call.x(6), eps);
      if (bias.defined()) shift = add(shift, mul(scale, bias));
    }
    const Conv2dOptions options{.stride = {window.stride[0], window.stride[1]},
                                .padding = {window.before[0], window.before[1]},
                                .dilation = {window.dilation[0], window.dilation[1]},
                                .groups = node.integer("group", 1)};
    return {last(conv2d_affine(
        x, filter, scale, shift,
        {.conv = options, .activation = has_relu ? ActivationKind::relu : ActivationKind::none}))};
  }
  Tensor y = convolved(x, filter, bias, node);
  if (has_norm) y = batch_norm(y, call.x(3), call.x(4), call.x(5), call.x(6), {.eps = eps, .relu = has_relu});
  return {last(has_relu && !has_norm ? relu(y) : y)};
}

/// A zero point or scale of each channel, beside filters [out, ..., in].
Tensor beside_filter(const Tensor& p, int dims) {
  Tensor wide = p;
  while (p.numel() > 1 && wide.dim() < dims) wide = unsqueeze(wide, -1);
  return wide;
}
Values conv_integer(const Call& call) {
  Tensor x = call.image(0).to(f64), filter = call.image(1).to(f64);
  if (call.has(2)) x = sub(x, call.x(2).to(f64));
  if (call.has(3)) filter = sub(filter, beside_filter(call.x(3).to(f64), filter.dim()));
  Value y = last(converted(convolved(x, filter, {}, call.node), int32));
  y.type = int32;
  return {y};
}
Values qlinear_conv(const Call& call) {
  const auto wide = [&](int i, int dims) { return beside_filter(call.x(i).to(f64), dims); };
  const Tensor x = sub(call.image(0).to(f64), call.x(2).to(f64)), filter = call.image(3).to(f64);
  const int dims = filter.dim();
  const Tensor y =
      convolved(x, sub(filter, wide(5, dims)), call.has(8) ? call.x(8).to(f64) : Tensor(), call.node);
  const Tensor scale = div(mul(call.x(1).to(f64), call.x(4).to(f64)), call.x(6).to(f64));
  const int type = call.type(7);
  const Tensor rounded = add(round(mul(y, scale)), call.x(7).to(f64));
  Value result =
      last(clamp(rounded, static_cast<double>(lowest(type)), static_cast<double>(highest(type))).to(i64));
  result.type = type;
  return {result};
}

/// What is cut from the full result on each side: pads, or what auto_pad and output_shape leave.
void trim(const Node& node, const Shape& x, Window& window, const std::vector<std::int64_t>& extra) {
  const std::vector<std::int64_t> wanted = node.integers("output_shape");
  const std::string mode = node.text_of("auto_pad", "NOTSET");
  const bool same = mode.starts_with("SAME");
  if (wanted.empty() && !same) return;
  check(wanted.empty() || wanted.size() >= window.dims(), "output_shape has ", wanted.size(), " sizes");
  for (std::size_t d = 0; d < window.dims(); ++d) {
    const std::int64_t size = x[static_cast<int>(d) + 1];
    const std::int64_t out =
        wanted.empty() ? size * window.stride[d] : wanted[wanted.size() - window.dims() + d];
    const std::int64_t total = (size - 1) * window.stride[d] + extra[d] + window.reach(d) - out;
    const std::int64_t half = total >= 0 ? total / 2 : -((1 - total) / 2);  // rounded down
    window.before[d] = mode == "SAME_UPPER" ? half : total - half;
    window.after[d] = total - window.before[d];
  }
}

Values conv_transpose(const Call& call) {
  Tensor x = call.image(0), filter = call.image(1);
  check(filter.dim() >= 3 && filter.dim() == x.dim() && filter.dim() <= 4, "a filter of ", filter.shape(),
        " does not fit ", x.shape());
  Node plain = call.node;
  plain.attributes.erase("auto_pad");
  Window window(plain, kernel_of(filter), x.shape());
  const std::size_t n = window.dims();
  const std::vector<std::int64_t> extra =
      call.node.integers("output_padding", std::vector<std::int64_t>(n, 0));
  check(extra.size() == n, "output_padding has ", extra.size(), " sizes");
  trim(call.node, x.shape(), window, extra);
  const bool line = n == 1;
  if (line) {
    x = unsqueeze(x, 1);
    filter = unsqueeze(filter, 1);
  }
  const auto pair = [&](const std::vector<std::int64_t>& v, std::int64_t otherwise) {
    return line ? Pair(otherwise, v[0]) : Pair(v[0], v[1]);
  };
  ConvTranspose2dOptions options{.stride = pair(window.stride, 1),
                                 .dilation = pair(window.dilation, 1),
                                 .groups = call.node.integer("group", 1)};
  bool simple = window.symmetric();
  for (std::size_t d = 0; d < n; ++d)
    simple &= window.before[d] >= 0 && extra[d] < std::max(window.stride[d], window.dilation[d]);
  if (simple) {
    options.padding = pair(window.before, 0);
    options.output_padding = pair(extra, 0);
    const Tensor y = conv_transpose2d(x, filter, call.maybe(2), options);
    return {last(line ? squeeze(y, 1) : y)};
  }
  Tensor y = conv_transpose2d(x, filter, {}, options);
  for (std::size_t d = 0; d < n; ++d)
    y = padded(y, static_cast<int>(d) + (line ? 2 : 1), -window.before[d], extra[d] - window.after[d],
               "constant", 0);
  if (call.has(2)) y = add(y, call.x(2));
  return {last(line ? squeeze(y, 1) : y)};
}
std::string conv_transpose_refuses(const Node& node, const Facts& facts) {
  if (std::max(dims_of(facts, node, 0), dims_of(facts, node, 1)) > 4) return "of 3-D images";
  return window_refuses(node, facts);
}

}  // namespace

std::vector<Operator> conv_operators() {
  return {
      {"Conv", conv, window_refuses},
      {"karyon:Conv", fused_conv, window_refuses},
      {"ConvInteger", conv_integer, window_refuses},
      {"QLinearConv", qlinear_conv, window_refuses},
      {"ConvTranspose", conv_transpose, conv_transpose_refuses},
  };
}

}  // namespace karyon::onnx
