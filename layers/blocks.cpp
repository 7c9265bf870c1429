#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/pool.h>
#include <karyon/layers/blocks.h>

namespace karyon {

ConvNormActivation::ConvNormActivation(std::int64_t in_channels, std::int64_t out_channels, Pair kernel_size,
                                       const Options& o)
    : in_(in_channels), out_(out_channels), kernel_(kernel_size), options_(o) {
  const Pair same{o.dilation.h * ((kernel_size.h - 1) / 2), o.dilation.w * ((kernel_size.w - 1) / 2)};
  const bool relu = o.activation == ActivationKind::relu;
  add<Conv2d>(in_channels, out_channels, kernel_size,
              {.stride = o.stride,
               .padding = o.padding.value_or(same),
               .dilation = o.dilation,
               .groups = o.groups,
               .bias = false});
  add<BatchNorm2d>(out_channels, {.eps = o.eps, .momentum = o.momentum, .relu = relu});
  if (!relu && o.activation != ActivationKind::none) add(make_activation(o.activation));
}

std::unique_ptr<Module> ConvNormActivation::rebuilt() const {
  return std::make_unique<ConvNormActivation>(in_, out_, kernel_, options_);
}

SqueezeExcitation::SqueezeExcitation(std::int64_t input_channels, std::int64_t squeeze_channels,
                                     const Options& o)
    : options(o), fc1(input_channels, squeeze_channels, 1), fc2(squeeze_channels, input_channels, 1) {
  register_module("fc1", fc1);
  register_module("fc2", fc2);
}

Tensor SqueezeExcitation::forward(Tensor x) {
  Tensor gate = conv_norm_activation(fc1, nullptr, options.activation, adaptive_avg_pool2d(x, 1));
  gate = fc2(std::move(gate));
  return x * (options.hardsigmoid ? hardsigmoid(gate) : sigmoid(gate));
}

std::unique_ptr<Module> SqueezeExcitation::rebuilt() const {
  return std::make_unique<SqueezeExcitation>(fc1.weight.size(3), fc1.weight.size(0), options);
}

StochasticDepth::StochasticDepth(double p, Generator* generator) : p_(p), generator_(generator) {
  check(p >= 0 && p <= 1, "StochasticDepth: expects a probability in [0, 1], got ", p);
}

Tensor StochasticDepth::forward(Tensor x) {
  if (!is_training() || p_ == 0) return x;
  check(x.dim() >= 1, "StochasticDepth: expects a batch, got a scalar");
  Shape shape{x.size(0)};
  for (int d = 1; d < x.dim(); ++d) shape.push_back(1);
  const Tensor kept = lt(rand(shape, generator_or_default(generator_)).to(x.device()), 1 - p_).to(x.dtype());
  return x * (p_ < 1 ? kept * (1 / (1 - p_)) : kept);
}

std::unique_ptr<Module> StochasticDepth::rebuilt() const {
  return std::make_unique<StochasticDepth>(p_, generator_);
}

}  // namespace karyon
