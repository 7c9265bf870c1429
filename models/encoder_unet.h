#pragma once
#include <karyon/layers/conv.h>
#include <karyon/layers/module_list.h>
#include <karyon/layers/sequential.h>
#include <karyon/models/backbones.h>
#include <karyon/models/parts.h>

namespace karyon {

struct EncoderUNetOptions {
  std::string encoder = "resnet34";  ///< of backbone_names()
  std::int64_t in_channels = 3;
  std::int64_t classes = 1;
  std::array<std::int64_t, 5> decoder_channels{256, 128, 64, 32, 16};  ///< from the smallest features on
};

/// A U-Net whose way down is a backbone. Its layers and names are those of segmentation_models_pytorch's
/// Unet, so that load_weights() reads its checkpoints where the backbone's names are torchvision's, too:
/// ResNet, ResNeXt, MobileNetV2, VGG and DenseNet.
///
///     EncoderUNet net({.encoder = "resnet34", .classes = 2});
///     load_weights(net, "unet_resnet34.pth");
///
///   encoder                  the backbone without its last layers
///   decoder.center.0, .1     two 3x3 convolutions with norm and ReLU, with VGG
///   decoder.blocks.0 ... 4   twice the size (nearest), joined with the encoder's features of that size:
///                            conv1, conv2, each with .0 (3x3), .1 (norm) and a ReLU
///   segmentation_head.0      3x3 convolution: logits
struct EncoderUNet : Module {
  using Options = EncoderUNetOptions;

  explicit EncoderUNet(const Options& options = {});
  ///   x        [N, H, W, in_channels], any H, W that the backbone takes
  ///   returns  [N, H, W, classes]
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  std::unique_ptr<Backbone> encoder;

 private:
  struct Block : Module {
    Block(std::int64_t in, std::int64_t skip, std::int64_t out);
    using Module::forward;
    Tensor forward(std::vector<Tensor> inputs);
    Sequential conv1, conv2;
  };
  struct Decoder : ModuleNames {
    Sequential center;  // empty without one
    ModuleList<Block> blocks;
  };

  Decoder decoder_;
  Sequential head_;
};

}  // namespace karyon
