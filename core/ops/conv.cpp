#include <algorithm>
#include <memory>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/convolution.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

using namespace convolution;

TensorOptions like(const Tensor& x) { return {.dtype = x.dtype(), .device = x.device()}; }

// Memory for the gradient of x. Where x is a lazy cat, the gradient is one, too: the kernel writes its parts.
Tensor gradient_for(const Tensor& x) {
  const auto joined = lazy_as<LazyCat>(x);
  if (!joined) return empty_like(x);
  std::vector<Tensor> parts;
  for (const SavedTensor& part : joined->parts) parts.push_back(empty_like(part.get()));
  return lazy_tensor(std::make_shared<LazyCat>(parts, /*output=*/true));
}

Tensor backward_bias(const Tensor& dy) {
  Tensor db = empty({dy.size(-1)}, {.dtype = parameter_dtype(dy.dtype()), .device = dy.device()});
  kernels::conv2d_backward_bias(dy, db);
  return db;
}

// A stride that is longer than the padded image has one position, as has one of its length. Kernels multiply
// the stride with sizes.
Pair within(Pair stride, Pair size, Pair padding) {
  return {std::min(stride.h, size.h + 2 * padding.h), std::min(stride.w, size.w + 2 * padding.w)};
}

// Checks the arguments of a convolution with values per output channel (a bias).
ConvGeometry conv2d_geometry(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const Conv2dOptions& options) {
  const auto& [stride, padding, dilation, groups] = options;
  check_arguments(op, 4, x, weight, bias, weight.defined() && weight.dim() == 4 ? weight.size(0) : 0, groups,
                  stride, padding, dilation);
  check_channels(op, x, weight, groups);
  const std::int64_t k = weight.size(0), kh = weight.size(1), kw = weight.size(2);
  const SlidingWindow window{{kh, kw}, stride, padding, dilation};
  const Pair out = window_positions(op, {x.size(1), x.size(2)}, window);
  check(out.h >= 1 && out.w >= 1, op, ": x ", x.shape(), " with padding ", padding,
        " is smaller than the kernel of weight ", weight.shape(), " with dilation ", dilation);
  return {.n = x.size(0),
          .h = x.size(1),
          .w = x.size(2),
          .c = x.size(3),
          .h_out = out.h,
          .w_out = out.w,
          .k = k,
          .kernel = window.kernel,
          .stride = within(stride, {x.size(1), x.size(2)}, padding),
          .padding = padding,
          .dilation = dilation,
          .groups = groups};
}

// The hints of a convolution of x. One that trains without a bias most likely feeds a batch norm, whose shift
// replaces the bias: the norm then needs the moments of y. Without gradients nothing trains, so later calls
// use the same filters.
ConvHints hints_for(const Tensor& x, bool norm_may_follow) {
  const bool f32_or_bf16 = x.dtype() == f32 || x.dtype() == bf16;
  return {.moments = norm_may_follow && grad_enabled() && f32_or_bf16,
          .keep_filters = !grad_enabled() && f32_or_bf16};
}

Tensor record_conv(const char* name, const ConvGeometry& g, bool transposed, const Tensor& x,
                   const Tensor& weight, const Tensor& bias, const Tensor& y);

// The convolution g of x, its transpose of dy, and the gradient of the weight: all recorded. Each is linear in
// both arguments, and the others are its gradients.
Tensor convolved(const ConvGeometry& g, const Tensor& x, const Tensor& weight) {
  Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, like(x));
  if (g.n > 0) kernels::conv2d(g, {}, x, weight, {}, y);
  return record_conv("conv2d", g, false, x, weight, {}, y);
}
Tensor transpose_convolved(const ConvGeometry& g, const Tensor& dy, const Tensor& weight) {
  Tensor dx = empty({g.n, g.h, g.w, g.c}, like(dy));
  if (g.n > 0) kernels::conv2d_backward_data(g, {}, dy, weight, {}, dx);
  return record_conv("conv_transpose2d", g, true, dy, weight, {}, dx);
}
Tensor weight_gradient(const ConvGeometry& g, const Tensor& x, const Tensor& dy) {
  Tensor dw = zeros({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}, like(x));
  if (g.n > 0) kernels::conv2d_backward_weight(g, x, dy, dw);
  return record("conv2d", dw, {x, dy}, twice_differentiable,
                [g, need_x = x.requires_grad(), need_dy = dy.requires_grad(), x = SavedTensor(x),
                 dy = SavedTensor(dy)](const Tensor& ddw) {
                  return std::vector{need_x ? transpose_convolved(g, dy.get(), ddw) : Tensor(),
                                     need_dy ? convolved(g, x.get(), ddw) : Tensor()};
                });
}

// Records y, the convolution g of x or, if `transposed`, its transpose. The gradient in x is the other of the
// two.
Tensor record_conv(const char* name, const ConvGeometry& g, bool transposed, const Tensor& x,
                   const Tensor& weight, const Tensor& bias, const Tensor& y) {
  return record(name, y, {x, weight, bias}, twice_differentiable,
                [g, transposed, need_x = x.requires_grad(), need_w = weight.requires_grad(),
                 need_b = bias.defined() && bias.requires_grad(), x = SavedTensor(x),
                 weight = SavedTensor(weight)](const Tensor& dy) {
                  Tensor dx, dw, db;
                  const Tensor from = need_x || need_w ? x.get() : Tensor();
                  if (grad_enabled()) {
                    const Tensor &in = transposed ? dy : from, &out = transposed ? from : dy;
                    if (need_x)
                      dx = transposed ? convolved(g, dy, weight.get())
                                      : transpose_convolved(g, dy, weight.get());
                    if (need_w) dw = weight_gradient(g, in, out);
                    if (need_b) db = sum(dy, {0, 1, 2});  // f32 for bf16
                    return std::vector{dx, dw, db};
                  }
                  if (g.n == 0)
                    return std::vector{need_x ? empty_like(from) : Tensor(),
                                       need_w ? zeros_like(weight.get()) : Tensor(),
                                       need_b ? backward_bias(dy) : Tensor()};
                  if (need_x && transposed) {
                    dx = empty_like(from);
                    kernels::conv2d(g, {}, dy, weight.get(), {}, dx);
                  } else if (need_x) {
                    dx = gradient_for(from);
                    kernels::conv2d_backward_data(g, {}, dy, weight.get(), {}, dx);
                  }
                  if (need_w) {
                    dw = empty_like(weight.get());
                    kernels::conv2d_backward_weight(g, transposed ? dy : from, transposed ? from : dy, dw);
                  }
                  if (need_b) db = backward_bias(dy);
                  return std::vector{dx, dw, db};
                });
}

TraceOptions options_of(const ConvGeometry& g, Pair output_padding = 0) {
  return {{"stride", std::vector{g.stride.h, g.stride.w}},
          {"padding", std::vector{g.padding.h, g.padding.w}},
          {"output_padding", std::vector{output_padding.h, output_padding.w}},
          {"dilation", std::vector{g.dilation.h, g.dilation.w}},
          {"groups", g.groups}};
}

}  // namespace

Tensor conv2d(const Tensor& input, const Tensor& filters, const Tensor& any_bias,
              const Conv2dOptions& options) {
  const Tensor x = autocast(input), weight = autocast_weight(filters), bias = beside(x, any_bias);
  const ConvGeometry g = conv2d_geometry("conv2d", x, weight, bias, options);
  Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, like(x));
  // Kernels take their time by the size of an image, even where there is none.
  if (g.n > 0) kernels::conv2d(g, hints_for(x, !bias.defined()), x, weight, bias, y);
  return traced(record_conv("conv2d", g, false, x, weight, bias, y), [&] { return options_of(g); });
}

// Two ways save the pass of a norm over memory. While operations are recorded, backward needs the output of
// the convolution itself. The norm after it is then lazy, and the next kernel computes it as it reads.
// Without recording nothing needs that output, so conv2d_affine applies the norm before it writes. Both read
// parts of an input by LazyCat.
Tensor conv2d_affine(const Tensor& input, const Tensor& filters, const Tensor& any_scale,
                     const Tensor& any_shift, const Conv2dAffineOptions& options) {
  for (const Tensor* t : {&input, &filters, &any_scale, &any_shift, &options.residual})
    check(!grad_enabled() || !t->defined() || !t->requires_grad(),
          "conv2d_affine: has no gradient; use it under NoGradGuard");
  const Tensor x = autocast(input), weight = autocast_weight(filters), scale = beside(x, any_scale),
               shift = beside(x, any_shift);
  const ConvGeometry g = conv2d_geometry("conv2d_affine", x, weight, shift, options.conv);
  check_per_channel("conv2d_affine", "scale", scale, g.k, x.dtype());
  Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, like(x));
  const Tensor& residual = options.residual;
  check(!residual.defined() || (residual.shape() == y.shape() && residual.dtype() == y.dtype() &&
                                residual.device() == y.device()),
        "conv2d_affine: expects a residual ", y.dtype(), " ", y.shape(), " on ", y.device(), ", got ",
        residual.defined() ? residual.dtype() : f32, " ", residual.defined() ? residual.shape() : Shape{});
  kernels::conv2d_affine(g, hints_for(x, false), x, weight, scale, shift, {options.activation, residual}, y);
  return y;
}

Tensor conv2d_affine(const std::vector<Tensor>& inputs, const Tensor& filters, const Tensor& scale,
                     const Tensor& shift, const Conv2dAffineOptions& options) {
  check(!inputs.empty() && inputs[0].dim() == 4, "conv2d_affine: expects images [N, H, W, C]");
  if (inputs.size() == 1) return conv2d_affine(inputs[0], filters, scale, shift, options);
  const Tensor& first = inputs[0];
  const auto fits = [&](const Tensor& x) {
    return x.dim() == 4 && x.size(0) == first.size(0) && x.size(1) == first.size(1) &&
           x.size(2) == first.size(2) && x.dtype() == first.dtype() && !x.requires_grad() &&
           reads_lazily(LazyKind::cat, x);
  };
  // cat throws the error for parts that do not fit.
  const Tensor x =
      std::ranges::all_of(inputs, fits) ? lazy_tensor(std::make_shared<LazyCat>(inputs)) : cat(inputs, -1);
  return conv2d_affine(x, filters, scale, shift, options);
}

Tensor conv_transpose2d(const Tensor& input, const Tensor& filters, const Tensor& any_bias,
                        const ConvTranspose2dOptions& options) {
  const Tensor x = autocast(input), weight = autocast_weight(filters), bias = beside(x, any_bias);
  const auto& [stride, padding, output_padding, dilation, groups] = options;
  const char* const op = "conv_transpose2d";
  const std::int64_t k = transposed_channels(op, 4, weight, groups);
  check_arguments(op, 4, x, weight, bias, k, groups, stride, padding, dilation);
  check_transposed_channels(op, x, weight, k, groups);
  check(output_padding_fits(output_padding.h, stride.h, dilation.h) &&
            output_padding_fits(output_padding.w, stride.w, dilation.w),
        op, ": output_padding ", output_padding, " must be below the stride ", stride, " or the dilation ",
        dilation);
  const std::int64_t kh = weight.size(1), kw = weight.size(2);
  const std::int64_t h_out =
      transposed_size(op, x.size(1), stride.h, kh, dilation.h, output_padding.h, padding.h);
  const std::int64_t w_out =
      transposed_size(op, x.size(2), stride.w, kw, dilation.w, output_padding.w, padding.w);
  check(x.size(1) >= 1 && x.size(2) >= 1 && h_out >= 1 && w_out >= 1, op, ": x ", x.shape(), " with padding ",
        padding, " gives an empty output");
  // The convolution that this one transposes: its input is our output.
  const ConvGeometry g{.n = x.size(0),
                       .h = h_out,
                       .w = w_out,
                       .c = k,
                       .h_out = x.size(1),
                       .w_out = x.size(2),
                       .k = x.size(3),
                       .kernel = {kh, kw},
                       .stride = within(stride, {h_out, w_out}, padding),
                       .padding = padding,
                       .dilation = dilation,
                       .groups = groups};
  Tensor y = empty({g.n, h_out, w_out, k}, like(x));
  if (g.n > 0) kernels::conv2d_backward_data(g, hints_for(x, false), x, weight, bias, y);
  return traced(record_conv(op, g, true, x, weight, bias, y), [&] { return options_of(g, output_padding); });
}

}  // namespace karyon
