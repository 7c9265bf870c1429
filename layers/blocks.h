#pragma once
#include <optional>

#include <karyon/layers/conv_norm_activation.h>
#include <karyon/layers/sequential.h>

// What the networks of models/ are built from, with the names of torchvision.ops.
namespace karyon {

struct ConvNormActivationOptions {
  Pair stride = 1;
  std::optional<Pair> padding = {};  ///< dilation (kernel - 1) / 2 if not given: sizes stay, or are divided
  Pair dilation = 1;
  std::int64_t groups = 1;
  ActivationKind activation = ActivationKind::relu;
  double eps = 1e-5, momentum = 0.1;  ///< of the norm
};

/// A convolution without bias ("0"), a batch norm ("1") and an activation: [N, H, W, in] -> [N, H_out, W_out,
/// out]. ReLU is an option of the norm.
struct ConvNormActivation : Sequential {
  using Options = ConvNormActivationOptions;

  ConvNormActivation(std::int64_t in_channels, std::int64_t out_channels, Pair kernel_size,
                     const Options& options = {});
  std::unique_ptr<Module> rebuilt() const override;

 private:
  const std::int64_t in_, out_;
  const Pair kernel_;
  const Options options_;
};

struct SqueezeExcitationOptions {
  ActivationKind activation = ActivationKind::relu;
  bool hardsigmoid = false;  ///< gates by hardsigmoid, not by sigmoid
};

/// Scales each channel of an image by a gate between 0 and 1, which follows from the means of all channels
/// (Hu et al., 2018): x sigmoid(fc2(activation(fc1(mean(x))))). [N, H, W, C] -> [N, H, W, C].
struct SqueezeExcitation : Module {
  using Options = SqueezeExcitationOptions;

  SqueezeExcitation(std::int64_t input_channels, std::int64_t squeeze_channels, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  Conv2d fc1, fc2;
};

/// Leaves out whole images of a batch while training, each with probability p, and divides the others by 1 -
/// p (Huang et al., 2016): torchvision's StochasticDepth(p, "row"). [N, ...] -> [N, ...]. The generator, or
/// default_generator() if that is null, must outlive the module and its clones. Throws Error unless p is in
/// [0, 1].
struct StochasticDepth : Module {
  explicit StochasticDepth(double p, Generator* generator = nullptr);
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

 private:
  double p_;
  Generator* generator_;
};

}  // namespace karyon
