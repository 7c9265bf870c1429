#include <tuple>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/conv1d.h>
#include <karyon/core/ops/conv3d.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/models/onnx/fusion.h>
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

Triple triple_of(const std::vector<std::int64_t>& v) { return {v[0], v[1], v[2]}; }
Pair pair_of(const std::vector<std::int64_t>& v) { return {v[0], v[1]}; }

Tensor convolved(const Tensor& given, const Tensor& filter, const Tensor& bias, const Node& node) {
  check(filter.dim() >= 3 && filter.dim() == given.dim(), "a filter of ", filter.shape(), " does not fit ",
        given.shape());
  Window w(node, kernel_of(filter), given.shape());
  const std::int64_t groups = node.integer("group", 1);
  Tensor x = given;
  if (!w.symmetric()) {
    x = bordered(given, w);
    w.before.assign(w.dims(), 0);
  }
  if (w.dims() == 1)
    return conv1d(
        x, filter, bias,
        {.stride = w.stride[0], .padding = w.before[0], .dilation = w.dilation[0], .groups = groups});
  if (w.dims() == 2)
    return conv2d(x, filter, bias,
                  {.stride = pair_of(w.stride),
                   .padding = pair_of(w.before),
                   .dilation = pair_of(w.dilation),
                   .groups = groups});
  check(w.dims() == 3, "convolutions of ", w.dims(), " dimensions are not possible");
  return conv3d(x, filter, bias,
                {.stride = triple_of(w.stride),
                 .padding = triple_of(w.before),
                 .dilation = triple_of(w.dilation),
                 .groups = groups});
}

Values conv(const Call& call) {
  return {last(convolved(call.image(0), call.image(1), call.maybe(2), call.node))};
}

/// A convolution, and the norm, sum and activation that fuse() found behind it: inputs 3 to 6
/// are the norm's, 7 is what is added. Without recording it is one pass.
Values fused_conv(const Call& call) {
  const Node& node = call.node;
  const Tensor x = call.image(0), filter = call.image(1), bias = call.maybe(2);
  const bool has_norm = call.has(3);
  const double eps = node.real("karyon.norm", 0);
  const ActivationKind kind = fused_activation(node);
  const Tensor residual = call.has(7) ? call.image(7) : Tensor();
  if (!grad_enabled() && filter.dim() == 4 && x.dim() == 4) {
    const Window w(node, kernel_of(filter), x.shape());
    const auto out = [&](std::size_t d) { return w.positions(d, x.size(static_cast<int>(d) + 1)); };
    const bool fits =
        !residual.defined() || residual.shape() == Shape{x.size(0), out(0), out(1), filter.size(0)};
    if (w.symmetric() && fits) {
      Tensor scale, shift = bias;
      if (has_norm) {
        std::tie(scale, shift) = batch_norm_affine(call.x(3), call.x(4), call.x(5), call.x(6), eps);
        if (bias.defined()) shift = add(shift, mul(scale, bias));
      }
      const Conv2dOptions options{.stride = pair_of(w.stride),
                                  .padding = pair_of(w.before),
                                  .dilation = pair_of(w.dilation),
                                  .groups = node.integer("group", 1)};
      return {last(conv2d_affine(x, filter, scale, shift,
                                 {.conv = options, .activation = kind, .residual = residual}))};
    }
  }
  Tensor y = convolved(x, filter, bias, node);
  if (has_norm) y = batch_norm(y, call.x(3), call.x(4), call.x(5), call.x(6), {.eps = eps});
  if (residual.defined()) y = add(y, residual);
  return {last(activate(y, kind))};
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

Tensor transposed(const Tensor& x, const Tensor& filter, const Tensor& bias, const Window& w,
                  const std::vector<std::int64_t>& padding, const std::vector<std::int64_t>& extra,
                  std::int64_t groups) {
  if (w.dims() == 1)
    return conv_transpose1d(x, filter, bias,
                            {.stride = w.stride[0],
                             .padding = padding[0],
                             .output_padding = extra[0],
                             .dilation = w.dilation[0],
                             .groups = groups});
  if (w.dims() == 2)
    return conv_transpose2d(x, filter, bias,
                            {.stride = pair_of(w.stride),
                             .padding = pair_of(padding),
                             .output_padding = pair_of(extra),
                             .dilation = pair_of(w.dilation),
                             .groups = groups});
  check(w.dims() == 3, "convolutions of ", w.dims(), " dimensions are not possible");
  return conv_transpose3d(x, filter, bias,
                          {.stride = triple_of(w.stride),
                           .padding = triple_of(padding),
                           .output_padding = triple_of(extra),
                           .dilation = triple_of(w.dilation),
                           .groups = groups});
}

Values conv_transpose(const Call& call) {
  const Tensor x = call.image(0), filter = call.image(1);
  check(filter.dim() >= 3 && filter.dim() == x.dim(), "a filter of ", filter.shape(), " does not fit ",
        x.shape());
  Node plain = call.node;
  plain.attributes.erase("auto_pad");
  Window window(plain, kernel_of(filter), x.shape());
  const std::size_t n = window.dims();
  const std::vector<std::int64_t> extra =
      call.node.integers("output_padding", std::vector<std::int64_t>(n, 0));
  check(extra.size() == n, "output_padding has ", extra.size(), " sizes");
  trim(call.node, x.shape(), window, extra);
  const std::int64_t groups = call.node.integer("group", 1);
  bool simple = window.symmetric();
  for (std::size_t d = 0; d < n; ++d)
    simple &= window.before[d] >= 0 && extra[d] < std::max(window.stride[d], window.dilation[d]);
  if (simple) return {last(transposed(x, filter, call.maybe(2), window, window.before, extra, groups))};
  const std::vector<std::int64_t> none(n, 0);
  Tensor y = transposed(x, filter, {}, window, none, none, groups);
  for (std::size_t d = 0; d < n; ++d)
    y = padded(y, static_cast<int>(d) + 1, -window.before[d], extra[d] - window.after[d], "constant", 0);
  return {last(call.has(2) ? add(y, call.x(2)) : y)};
}

}  // namespace

std::vector<Operator> conv_operators() {
  return {
      {"Conv", conv, window_refuses},
      {"karyon:Conv", fused_conv, window_refuses},
      {"ConvInteger", conv_integer, window_refuses},
      {"QLinearConv", qlinear_conv, window_refuses},
      {"ConvTranspose", conv_transpose, window_refuses},
  };
}

}  // namespace karyon::onnx
