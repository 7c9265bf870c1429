#include <karyon/layers/channels.h>
#include <karyon/layers/conv3d.h>
#include <karyon/layers/init.h>

namespace karyon {

Conv3d::Conv3d(std::int64_t in_channels, std::int64_t out_channels, const Triple& kernel_size,
               const Options& o)
    : options{.stride = o.stride, .padding = o.padding, .dilation = o.dilation, .groups = o.groups} {
  check_channels("Conv3d", in_channels, out_channels, {kernel_size.d, kernel_size.h, kernel_size.w},
                 o.groups);
  weight = empty({out_channels, kernel_size.d, kernel_size.h, kernel_size.w, in_channels / o.groups});
  if (o.bias) bias = empty({out_channels});
  default_init_(weight, bias, generator_or_default(o.generator));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor Conv3d::forward(Tensor x) { return conv3d(x, weight, bias, options); }

std::int64_t Conv3d::multiply_adds(const Shape&, const Shape& output) const {
  return output.numel() * (weight.numel() / weight.size(0));
}

std::unique_ptr<Module> Conv3d::rebuilt() const {
  return std::make_unique<Conv3d>(weight.size(-1) * options.groups, weight.size(0),
                                  Triple{weight.size(1), weight.size(2), weight.size(3)},
                                  Options{.stride = options.stride,
                                          .padding = options.padding,
                                          .dilation = options.dilation,
                                          .groups = options.groups,
                                          .bias = bias.defined()});
}

ConvTranspose3d::ConvTranspose3d(std::int64_t in_channels, std::int64_t out_channels,
                                 const Triple& kernel_size, const Options& o)
    : options{.stride = o.stride,
              .padding = o.padding,
              .output_padding = o.output_padding,
              .dilation = o.dilation,
              .groups = o.groups} {
  check_channels("ConvTranspose3d", in_channels, out_channels, {kernel_size.d, kernel_size.h, kernel_size.w},
                 o.groups);
  weight = empty({in_channels, kernel_size.d, kernel_size.h, kernel_size.w, out_channels / o.groups});
  if (o.bias) bias = empty({out_channels});
  default_init_(weight, bias, generator_or_default(o.generator));
  register_parameter("weight", weight);
  register_parameter("bias", bias);
}

Tensor ConvTranspose3d::forward(Tensor x) { return conv_transpose3d(x, weight, bias, options); }

std::int64_t ConvTranspose3d::multiply_adds(const Shape& input, const Shape&) const {
  return input.numel() * (weight.numel() / weight.size(0));
}

std::unique_ptr<Module> ConvTranspose3d::rebuilt() const {
  return std::make_unique<ConvTranspose3d>(weight.size(0), weight.size(-1) * options.groups,
                                           Triple{weight.size(1), weight.size(2), weight.size(3)},
                                           Options{.stride = options.stride,
                                                   .padding = options.padding,
                                                   .output_padding = options.output_padding,
                                                   .dilation = options.dilation,
                                                   .groups = options.groups,
                                                   .bias = bias.defined()});
}

}  // namespace karyon
