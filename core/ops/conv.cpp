#include <algorithm>
#include <memory>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/layout.h>

namespace karyon {
namespace {

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

void check_dtypes(const char* op, const Tensor& x, const Tensor& weight) {
  check(is_floating(x.dtype()), op, ": expects f32, f64 or bf16, got ", x.dtype());
  check(x.dtype() == weight.dtype(), op, ": x is ", x.dtype(), " but weight is ", weight.dtype(),
        mixed(x, weight) ? "; cast one of them, or both by AutocastGuard(bf16)" : "");
}

// A bias or scale [channels].
void check_per_channel(const char* op, const char* what, const Tensor& p, std::int64_t channels, DType x) {
  if (!p.defined()) return;
  const DType dtype = parameter_dtype(x);
  check(p.shape() == Shape{channels} && p.dtype() == dtype, op, ": expects ", what, " ", dtype, " [",
        channels, "]", dtype == x ? "" : " beside bf16", ", got ", p.dtype(), " ", p.shape());
}

// Checks that both directions share.
void check_arguments(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                     std::int64_t out_channels, std::int64_t groups, Pair stride, Pair padding,
                     Pair dilation) {
  check(x.dim() == 4, op, ": expects x [N, H, W, C], got ", x.shape());
  check(weight.dim() == 4, op, ": expects a weight of 4 dimensions, got ", weight.shape());
  check(weight.size(1) >= 1 && weight.size(2) >= 1, op, ": the kernel of weight ", weight.shape(),
        " is empty");
  check_dtypes(op, x, weight);
  check(groups >= 1, op, ": expects groups >= 1, got ", groups);
  check(stride.h >= 1 && stride.w >= 1, op, ": expects stride >= 1, got ", stride);
  check(dilation.h >= 1 && dilation.w >= 1, op, ": expects dilation >= 1, got ", dilation);
  check(padding.h >= 0 && padding.w >= 0, op, ": expects padding >= 0, got ", padding);
  check_per_channel(op, "bias", bias, out_channels, x.dtype());
}

// Checks the arguments of a convolution with values per output channel (a bias).
ConvGeometry conv2d_geometry(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const Conv2dOptions& options) {
  const auto& [stride, padding, dilation, groups] = options;
  check_arguments(op, x, weight, bias, weight.defined() && weight.dim() == 4 ? weight.size(0) : 0, groups,
                  stride, padding, dilation);
  const std::int64_t k = weight.size(0), kh = weight.size(1), kw = weight.size(2);
  check(weight.size(3) * groups == x.size(3) && x.size(3) >= 1, op, ": weight ", weight.shape(),
        " with groups ", groups, " expects ", weight.size(3) * groups, " input channels, x ", x.shape(),
        " has ", x.size(3));
  check(k >= 1 && k % groups == 0, op, ": ", k, " output channels do not divide into ", groups, " groups");
  const std::int64_t h_span = x.size(1) + 2 * padding.h - dilation.h * (kh - 1) - 1;
  const std::int64_t w_span = x.size(2) + 2 * padding.w - dilation.w * (kw - 1) - 1;
  check(h_span >= 0 && w_span >= 0, op, ": x ", x.shape(), " with padding ", padding,
        " is smaller than the kernel of weight ", weight.shape(), " with dilation ", dilation);
  return {.n = x.size(0),
          .h = x.size(1),
          .w = x.size(2),
          .c = x.size(3),
          .h_out = h_span / stride.h + 1,
          .w_out = w_span / stride.w + 1,
          .k = k,
          .kernel = {kh, kw},
          .stride = stride,
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
          .keep_filters = !grad_enabled() && x.dtype() == f32};
}

// Records y, the convolution g of x or, if `transposed`, its transpose. The gradient in x is the other of the
// two.
Tensor record_conv(const char* name, const ConvGeometry& g, bool transposed, const Tensor& x,
                   const Tensor& weight, const Tensor& bias, const Tensor& y) {
  return record(name, y, {x, weight, bias},
                [g, transposed, need_x = x.requires_grad(), need_w = weight.requires_grad(),
                 need_b = bias.defined() && bias.requires_grad(), x = SavedTensor(x),
                 weight = SavedTensor(weight)](const Tensor& dy) {
                  Tensor dx, dw, db;
                  const Tensor from = need_x || need_w ? x.get() : Tensor();
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

}  // namespace

Tensor conv2d(const Tensor& input, const Tensor& filters, const Tensor& bias, const Conv2dOptions& options) {
  const Tensor x = autocast(input), weight = autocast(filters);
  const ConvGeometry g = conv2d_geometry("conv2d", x, weight, bias, options);
  Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, like(x));
  kernels::conv2d(g, hints_for(x, !bias.defined()), x, weight, bias, y);
  return record_conv("conv2d", g, false, x, weight, bias, y);
}

// Two ways save the pass of a norm over memory. While operations are recorded, backward needs the output of
// the convolution itself. The norm after it is then lazy, and the next kernel computes it as it reads.
// Without recording nothing needs that output, so conv2d_affine applies the norm before it writes. Both read
// parts of an input by LazyCat.
Tensor conv2d_affine(const Tensor& input, const Tensor& filters, const Tensor& scale, const Tensor& shift,
                     const Conv2dAffineOptions& options) {
  for (const Tensor* t : {&input, &filters, &scale, &shift})
    check(!grad_enabled() || !t->defined() || !t->requires_grad(),
          "conv2d_affine: has no gradient; use it under NoGradGuard");
  const Tensor x = autocast(input), weight = autocast(filters);
  const ConvGeometry g = conv2d_geometry("conv2d_affine", x, weight, shift, options.conv);
  check_per_channel("conv2d_affine", "scale", scale, g.k, x.dtype());
  Tensor y = empty({g.n, g.h_out, g.w_out, g.k}, like(x));
  kernels::conv2d_affine(g, hints_for(x, false), x, weight, scale, shift, options.relu, y);
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

Tensor conv_transpose2d(const Tensor& input, const Tensor& filters, const Tensor& bias,
                        const ConvTranspose2dOptions& options) {
  const Tensor x = autocast(input), weight = autocast(filters);
  const auto& [stride, padding, output_padding, dilation, groups] = options;
  const std::int64_t k = weight.defined() && weight.dim() == 4 ? weight.size(3) * groups : 0;
  check_arguments("conv_transpose2d", x, weight, bias, k, groups, stride, padding, dilation);
  check(weight.size(0) == x.size(3) && x.size(3) >= 1, "conv_transpose2d: weight ", weight.shape(),
        " expects ", weight.size(0), " input channels, x ", x.shape(), " has ", x.size(3));
  check(k >= 1 && x.size(3) % groups == 0, "conv_transpose2d: ", x.size(3),
        " input channels do not divide into ", groups, " groups");
  check(output_padding.h >= 0 && output_padding.w >= 0 &&
            (output_padding.h < stride.h || output_padding.h < dilation.h) &&
            (output_padding.w < stride.w || output_padding.w < dilation.w),
        "conv_transpose2d: output_padding ", output_padding, " must be below the stride ", stride,
        " or the dilation ", dilation);
  const std::int64_t kh = weight.size(1), kw = weight.size(2);
  const std::int64_t h_out =
      (x.size(1) - 1) * stride.h - 2 * padding.h + dilation.h * (kh - 1) + output_padding.h + 1;
  const std::int64_t w_out =
      (x.size(2) - 1) * stride.w - 2 * padding.w + dilation.w * (kw - 1) + output_padding.w + 1;
  check(x.size(1) >= 1 && x.size(2) >= 1 && h_out >= 1 && w_out >= 1, "conv_transpose2d: x ", x.shape(),
        " with padding ", padding, " gives an empty output");
  // The convolution that this one transposes: its input is our output.
  const ConvGeometry g{.n = x.size(0),
                       .h = h_out,
                       .w = w_out,
                       .c = k,
                       .h_out = x.size(1),
                       .w_out = x.size(2),
                       .k = x.size(3),
                       .kernel = {kh, kw},
                       .stride = stride,
                       .padding = padding,
                       .dilation = dilation,
                       .groups = groups};
  Tensor y = empty({g.n, h_out, w_out, k}, like(x));
  kernels::conv2d_backward_data(g, hints_for(x, false), x, weight, bias, y);
  return record_conv("conv_transpose2d", g, true, x, weight, bias, y);
}

}  // namespace karyon
