#pragma once
#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <karyon/layers/module.h>

namespace karyon {

/// A network that classifies images: ResNet, MobileNetV2 and others. Its initial values are drawn from
/// default_generator(), or from that of a GeneratorGuard. It has torchvision's names of parameters,
/// so that load_weights() reads torchvision's state dicts. Its features at five sizes make it an encoder, see
/// EncoderUNet.
struct Backbone : Module {
  ///   x        [N, H, W, in_channels]
  ///   returns  [N, num_classes]: logits
  /// Throws Error if the network was built with num_classes = 0.
  Tensor forward(Tensor x) override;
  /// The features at strides 2, 4, 8, 16 and 32: [N, H / stride, W / stride, feature_channels()[i]], sizes
  /// rounded as the network's layers do. Where feature_channels() is 0 the tensor is undefined.
  std::vector<Tensor> features(Tensor x);
  /// The channels of features(). ConvNeXt begins with stride 4: it has 0 for stride 2.
  virtual std::array<std::int64_t, 5> feature_channels() const = 0;

 protected:
  /// The last features. Appends those at five strides to `pyramid` if that is not null.
  virtual Tensor extract(Tensor x, std::vector<Tensor>* pyramid) = 0;
  /// Logits of the last features.
  virtual Tensor classify(Tensor x) = 0;
  /// Throws Error unless num_classes >= 0 and in_channels >= 1.
  static void check_options(const char* type, std::int64_t num_classes, std::int64_t in_channels);
};

/// The mean of each channel: [N, H, W, C] -> [N, C].
Tensor global_mean(const Tensor& x);
/// channels rounded to a multiple of `divisor`, but not below 0.9 of them.
std::int64_t make_divisible(double channels, std::int64_t divisor = 8);

/// The initial values of torchvision's networks, which are normal.
struct NetworkInit {
  double conv_std = 0;    ///< of the weights of convolutions; 0: sqrt(2 / fan_out). Their biases are 0.
  double linear_std = 0;  ///< of the weights of linear layers, with biases of 0; 0: these stay as they are
};
void init_network_(Module& network, const NetworkInit& init = {});

}  // namespace karyon
