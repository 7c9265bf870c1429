#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/conv1d.h>
#include <karyon/core/ops/convolution.h>

namespace karyon {
namespace {

using namespace convolution;

// [A, L, B] as [A, 1, L, B], and back.
Tensor with_height(const Tensor& x) { return x.reshape({x.size(0), 1, x.size(1), x.size(2)}); }
Tensor without_height(const Tensor& x) { return x.reshape({x.size(0), x.size(2), x.size(3)}); }

}  // namespace

Tensor conv1d(const Tensor& input, const Tensor& filters, const Tensor& any_bias,
              const Conv1dOptions& options) {
  const char* const op = "conv1d";
  const Tensor x = autocast(input), weight = autocast_weight(filters), bias = beside(x, any_bias);
  const auto& [stride, padding, dilation, groups] = options;
  check_arguments(op, 3, x, weight, bias, weight.dim() == 3 ? weight.size(0) : 0, groups, stride, padding,
                  dilation);
  check_channels(op, x, weight, groups);
  const Pair out = window_positions(op, {1, x.size(1)},
                                    {.kernel = {1, weight.size(1)},
                                     .stride = {1, stride},
                                     .padding = {0, padding},
                                     .dilation = {1, dilation}});
  check(out.w >= 1, op, ": x ", x.shape(), " with padding ", padding,
        " is shorter than the kernel of weight ", weight.shape(), " with dilation ", dilation);
  return without_height(
      conv2d(with_height(x), with_height(weight), bias,
             {.stride = {1, stride}, .padding = {0, padding}, .dilation = {1, dilation}, .groups = groups}));
}

Tensor conv_transpose1d(const Tensor& input, const Tensor& filters, const Tensor& any_bias,
                        const ConvTranspose1dOptions& options) {
  const char* const op = "conv_transpose1d";
  const Tensor x = autocast(input), weight = autocast_weight(filters), bias = beside(x, any_bias);
  const auto& [stride, padding, output_padding, dilation, groups] = options;
  const std::int64_t k = transposed_channels(op, 3, weight, groups);
  check_arguments(op, 3, x, weight, bias, k, groups, stride, padding, dilation);
  check_transposed_channels(op, x, weight, k, groups);
  check(output_padding_fits(output_padding, stride, dilation), op, ": output_padding ", output_padding,
        " must be below the stride ", stride, " or the dilation ", dilation);
  const std::int64_t out =
      transposed_size(op, x.size(1), stride, weight.size(1), dilation, output_padding, padding);
  check(x.size(1) >= 1 && out >= 1, op, ": x ", x.shape(), " with padding ", padding,
        " gives an empty output");
  return without_height(conv_transpose2d(with_height(x), with_height(weight), bias,
                                         {.stride = {1, stride},
                                          .padding = {0, padding},
                                          .output_padding = {0, output_padding},
                                          .dilation = {1, dilation},
                                          .groups = groups}));
}

}  // namespace karyon
