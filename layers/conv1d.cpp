#include <karyon/layers/channels.h>
#include <karyon/layers/conv1d.h>
#include <karyon/layers/init.h>

namespace karyon {

Conv1d::Conv1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
               const Options& o)
    : options{.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups} {
  check_channels("Conv1d", in_channels, out_channels, {kernel_size}, o.groups);
  weight = empty({out_channels, kernel_size, in_channels / o.groups});
  if (o.bias) bias = empty({out_channels});
  default_init_(weight, bias, generator_or_default(o.generator));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor Conv1d::forward(Tensor x) { return conv1d(x, weight, bias, options); }

std::int64_t Conv1d::multiply_adds(const Shape&, const Shape& output) const {
  return output.numel() * (weight.numel() / weight.size(0));
}

std::unique_ptr<Module> Conv1d::rebuilt() const {
  return std::make_unique<Conv1d>(weight.size(-1) * options.groups, weight.size(0), weight.size(1),
                                  Options{.stride = options.stride,
                                          .padding = options.padding,
                                          .dilation = options.dilation,
                                          .groups = options.groups,
                                          .bias = bias.defined()});
}

ConvTranspose1d::ConvTranspose1d(std::int64_t in_channels, std::int64_t out_channels,
                                 std::int64_t kernel_size, const Options& o)
    : options{.stride = o.stride,
              .padding = o.padding,
              .output_padding = o.output_padding,
              .dilation = o.dilation,
              .groups = o.groups} {
  check_channels("ConvTranspose1d", in_channels, out_channels, {kernel_size}, o.groups);
  weight = empty({in_channels, kernel_size, out_channels / o.groups});
  if (o.bias) bias = empty({out_channels});
  default_init_(weight, bias, generator_or_default(o.generator));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor ConvTranspose1d::forward(Tensor x) { return conv_transpose1d(x, weight, bias, options); }

std::int64_t ConvTranspose1d::multiply_adds(const Shape& input, const Shape&) const {
  return input.numel() * (weight.numel() / weight.size(0));
}

std::unique_ptr<Module> ConvTranspose1d::rebuilt() const {
  return std::make_unique<ConvTranspose1d>(weight.size(0), weight.size(-1) * options.groups, weight.size(1),
                                           Options{.stride = options.stride,
                                                   .padding = options.padding,
                                                   .output_padding = options.output_padding,
                                                   .dilation = options.dilation,
                                                   .groups = options.groups,
                                                   .bias = bias.defined()});
}

}  // namespace karyon
