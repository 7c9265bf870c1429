#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/resize.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/pool.h>
#include <karyon/models/parts.h>
#include <karyon/models/segmentation.h>

namespace karyon {
namespace {

constexpr std::int64_t last_channels = 2048, aux_channels = 1024;  // of the backbone
constexpr std::int64_t aspp_channels = 256;

ResNetOptions backbone_options(const char* type, const SegmentationOptions& o) {
  check(o.backbone == "resnet50" || o.backbone == "resnet101", type,
        ": expects the backbone resnet50 or resnet101, got '", o.backbone, "'");
  check(o.num_classes >= 1, type, ": expects num_classes >= 1, got ", o.num_classes);
  ResNetOptions options = o.backbone == "resnet50" ? resnet50() : resnet101();
  options.num_classes = 0;
  options.in_channels = o.in_channels;
  options.replace_stride_with_dilation = {false, true, true};
  return options;
}

void add_conv(Sequential& layers, std::int64_t in, std::int64_t out, std::int64_t kernel,
              std::int64_t dilation = 1) {
  layers.add<Conv2d>(
      in, out, kernel,
      Conv2d::Options{.padding = dilation * (kernel / 2), .dilation = dilation, .bias = false});
  layers.add<BatchNorm2d>(out);
  layers.add<ReLU>();
}

void add_fcn_head(Sequential& layers, std::int64_t in, std::int64_t classes) {
  add_conv(layers, in, in / 4, 3);
  layers.add<Dropout>(0.1);
  layers.add<Conv2d>(in / 4, classes, 1);
}

Tensor resized(const Tensor& x, Pair size) {
  return interpolate(x, size, {.mode = InterpolateMode::bilinear});
}

// Atrous spatial pyramid pooling: a 1x1, three dilated 3x3 and the mean of the image, joined by a 1x1.
struct ASPP : Module {
  explicit ASPP(std::int64_t in_channels) : in(in_channels) {
    for (const std::int64_t dilation : {0, 12, 24, 36}) {
      auto branch = std::make_unique<Sequential>();
      add_conv(*branch, in, aspp_channels, dilation == 0 ? 1 : 3, std::max<std::int64_t>(dilation, 1));
      convs.add(std::move(branch));
    }
    auto pooling = std::make_unique<Sequential>();
    pooling->add<AdaptiveAvgPool2d>(Pair(1));
    add_conv(*pooling, in, aspp_channels, 1);
    convs.add(std::move(pooling));
    add_conv(project, 5 * aspp_channels, aspp_channels, 1);
    project.add<Dropout>(0.5);
    register_module("convs", convs);
    register_module("project", project);
  }
  Tensor forward(Tensor x) override {
    std::vector<Tensor> branches;
    for (Sequential& branch : convs) branches.push_back(branch(x));
    branches.back() = resized(branches.back(), {x.size(1), x.size(2)});
    auto& conv = static_cast<Conv2d&>(project[0]);
    return project[3](conv_norm_activation(conv, &project[1], ActivationKind::relu, std::move(branches)));
  }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ASPP>(in); }

  std::int64_t in;
  ModuleList<Sequential> convs;
  Sequential project;
};

}  // namespace

SegmentationModel::SegmentationModel(const char* type, const Options& o)
    : options(o), backbone(backbone_options(type, o)) {}

void SegmentationModel::finish() {
  register_module("backbone", backbone);
  register_module("classifier", classifier);
  if (!options.aux) return;
  add_fcn_head(aux_classifier, aux_channels, options.num_classes);
  register_module("aux_classifier", aux_classifier);
}

Tensor SegmentationModel::forward(Tensor x) {
  const Pair size{x.size(1), x.size(2)};
  return resized(classifier(backbone.features(std::move(x)).back()), size);
}

std::pair<Tensor, Tensor> SegmentationModel::forward_with_aux(Tensor x) {
  check(options.aux, type(), ": was built without an auxiliary classifier");
  const Pair size{x.size(1), x.size(2)};
  const std::vector<Tensor> features = backbone.features(std::move(x));
  return {resized(classifier(features[4]), size), resized(aux_classifier(features[3]), size)};
}

FCN::FCN(const Options& o) : SegmentationModel("FCN", o) {
  add_fcn_head(classifier, last_channels, o.num_classes);
  finish();
}

std::unique_ptr<Module> FCN::rebuilt() const { return std::make_unique<FCN>(options); }

DeepLabV3::DeepLabV3(const Options& o) : SegmentationModel("DeepLabV3", o) {
  classifier.add(std::make_unique<ASPP>(last_channels));
  add_conv(classifier, aspp_channels, aspp_channels, 3);
  classifier.add<Conv2d>(aspp_channels, o.num_classes, 1);
  finish();
}

std::unique_ptr<Module> DeepLabV3::rebuilt() const { return std::make_unique<DeepLabV3>(options); }

}  // namespace karyon
