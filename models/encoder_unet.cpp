#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/resize.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/models/encoder_unet.h>

namespace karyon {
namespace {

void add_conv(Sequential& layers, std::int64_t in, std::int64_t out) {
  layers.add<Conv2d>(in, out, 3, {.padding = 1, .bias = false});
  layers.add<BatchNorm2d>(out, {.relu = true});
}

}  // namespace

EncoderUNet::Block::Block(std::int64_t in, std::int64_t skip, std::int64_t out) {
  add_conv(conv1, in + skip, out);
  add_conv(conv2, out, out);
  register_module("conv1", conv1);
  register_module("conv2", conv2);
}

Tensor EncoderUNet::Block::forward(std::vector<Tensor> inputs) {
  auto& conv = static_cast<Conv2d&>(conv1[0]);
  return conv2(conv_norm_activation(conv, &conv1[1], ActivationKind::none, std::move(inputs)));
}

EncoderUNet::EncoderUNet(const Options& o)
    : options(o), encoder(make_backbone(o.encoder, {.num_classes = 0, .in_channels = o.in_channels})) {
  check(o.classes >= 1, "EncoderUNet: expects classes >= 1, got ", o.classes);
  register_module("encoder", *encoder);
  const std::array<std::int64_t, 5> channels = encoder->feature_channels();
  if (o.encoder.starts_with("vgg")) {
    for (int i = 0; i < 2; ++i) {
      auto conv = std::make_unique<Sequential>();
      add_conv(*conv, channels[4], channels[4]);
      decoder_.center.add(std::move(conv));
    }
  }
  std::int64_t in = channels[4];
  for (std::size_t i = 0; i < 5; ++i) {
    check(o.decoder_channels[i] >= 1, "EncoderUNet: expects decoder_channels >= 1, got ",
          o.decoder_channels[i]);
    decoder_.blocks.add(std::make_unique<Block>(in, i < 4 ? channels[3 - i] : 0, o.decoder_channels[i]));
    in = o.decoder_channels[i];
  }
  decoder_.name("center", decoder_.center);
  decoder_.name("blocks", decoder_.blocks);
  register_module("decoder", decoder_);
  head_.add<Conv2d>(in, o.classes, 3, {.padding = 1});
  register_module("segmentation_head", head_);
}

Tensor EncoderUNet::forward(Tensor x) {
  check(x.dim() == 4 && x.size(3) == options.in_channels, "EncoderUNet: expects [N, H, W, ",
        options.in_channels, "], got ", x.shape());
  std::vector<Tensor> features = encoder->features(x);
  // Sizes to grow to: those of the features before, and the image's. A stride without features has twice the
  // size below it.
  std::vector<Pair> sizes{{x.size(1), x.size(2)}};
  for (const Tensor& f : features)
    sizes.push_back(f.defined() ? Pair{f.size(1), f.size(2)}
                                : Pair{(sizes.back().h + 1) / 2, (sizes.back().w + 1) / 2});
  x = decoder_.center(std::move(features.back()));
  features.pop_back();
  for (std::size_t i = 0; i < 5; ++i) {
    std::vector<Tensor> inputs{interpolate(x, sizes[4 - i])};
    if (!features.empty()) {
      if (features.back().defined()) inputs.push_back(std::move(features.back()));
      features.pop_back();
    }
    x = decoder_.blocks[i].forward(std::move(inputs));
  }
  return head_(std::move(x));
}

std::unique_ptr<Module> EncoderUNet::rebuilt() const { return std::make_unique<EncoderUNet>(options); }

}  // namespace karyon
