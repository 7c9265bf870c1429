#pragma once
#include <karyon/layers/sequential.h>
#include <karyon/models/resnet.h>

namespace karyon {

struct SegmentationOptions {
  std::string backbone = "resnet50";  ///< or "resnet101"
  std::int64_t num_classes = 21;
  std::int64_t in_channels = 3;
  bool aux = false;  ///< has a second classifier, of the features before the last ones
};

/// torchvision's networks for segmentation: a dilated ResNet, whose features have stride 8, and a classifier.
///
///   backbone          a ResNet without fc
///   classifier        logits of stride 8, which are resized to the image (bilinear)
///   aux_classifier    the same of layer3, if options.aux
struct SegmentationModel : Module {
  using Options = SegmentationOptions;

  ///   x        [N, H, W, in_channels]
  ///   returns  [N, H, W, num_classes]: logits
  Tensor forward(Tensor x) override;
  /// Those logits, and those of the auxiliary classifier for a second loss in training. Throws Error without
  /// one.
  std::pair<Tensor, Tensor> forward_with_aux(Tensor x);

  const Options options;
  ResNet backbone;
  Sequential classifier, aux_classifier;

 protected:
  /// `type` is for messages.
  SegmentationModel(const char* type, const Options& options);
  /// Registers the modules, when classifier is built.
  void finish();
};

/// FCN (Long et al., 2015).
struct FCN : SegmentationModel {
  explicit FCN(const Options& options = {});
  std::unique_ptr<Module> rebuilt() const override;
};

/// DeepLabV3 (Chen et al., 2017): convolutions of several dilations side by side.
struct DeepLabV3 : SegmentationModel {
  explicit DeepLabV3(const Options& options = {});
  std::unique_ptr<Module> rebuilt() const override;
};

}  // namespace karyon
