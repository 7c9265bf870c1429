#include <catch2/catch.hpp>

#include <karyon/karyon.h>
#include <karyon/models/onnx/onnx.h>

#include "temp_folder.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

double distance(const Tensor& a, const Tensor& b) {
  REQUIRE(a.shape() == b.shape());
  return abs(a.detach() - b.detach()).max().item<double>() / abs(b.detach()).max().item<double>();
}

/// Out and in again: the difference on another input.
double round_trip(Module& net, const Tensor& example, const Tensor& other) {
  const TempFolder folder;
  net.eval();
  export_onnx(net, example, folder / "net.onnx");
  CHECK(folder.entry_count() == 1);
  const auto back = load_onnx(folder / "net.onnx");
  const NoGradGuard guard;
  const auto images = [](const Tensor& x) { return x.dim() == 4 || x.dim() == 5; };
  const Tensor y = (*back)(images(other) ? movedim(other, -1, 1) : other);
  return distance(images(y) ? movedim(y, 1, -1) : y, net(other));
}

}  // namespace

TEST_CASE("export_onnx: a U-Net out and in again, for another batch and size") {
  Generator generator(1);
  for (const Norm norm : {Norm::batch, Norm::group, Norm::none})
    for (const UpMode up : {UpMode::transposed, UpMode::bilinear}) {
      UNet net(
          {.in_channels = 2, .base_width = 8, .depth = 2, .norm = norm, .up = up, .generator = &generator});
      for (int i = 0; i < 2; ++i) net(randn({2, 16, 16, 2}, generator));  // statistics
      CHECK(round_trip(net, randn({1, 16, 16, 2}, generator), randn({3, 8, 24, 2}, generator)) < 1e-5);
    }
}

TEST_CASE("export_onnx: the names of parameters stay, so that state dicts fit") {
  const TempFolder folder;
  UNet net({.base_width = 4, .depth = 1});
  net.eval();
  export_onnx(net, randn({1, 8, 8, 3}), folder / "net.onnx");
  const auto back = load_onnx(folder / "net.onnx");
  for (const auto& [name, x] : net.named_parameters()) {
    INFO(name);
    REQUIRE(back->state_dict().count(name) == 1);
    CHECK(back->state_dict().at(name).shape() == x.shape());
  }
}

TEST_CASE("export_onnx: a classifier of vectors") {
  Sequential net;
  net.add<Linear>(6, 8);
  net.add<LayerNorm>(Shape{8});
  net.add<ReLU>();
  net.add<Linear>(8, 3);
  CHECK(round_trip(net, randn({2, 6}), randn({5, 6})) < 1e-5);
}

namespace {

/// A network of one function, behind a convolution or a linear layer with 6 outputs.
std::unique_ptr<Sequential> behind_conv(const std::function<Tensor(const Tensor&)>& function) {
  auto net = std::make_unique<Sequential>();
  net->add<Conv2d>(2, 6, 3, Conv2d::Options{.padding = 1});
  net->add(function);
  return net;
}
double of_images(const std::function<Tensor(const Tensor&)>& function) {
  const auto net = behind_conv(function);
  return round_trip(*net, randn({1, 8, 12, 2}), randn({3, 8, 12, 2}));
}
double of_rows(const std::function<Tensor(const Tensor&)>& function) {
  Sequential net;
  net.add<Linear>(4, 6);
  net.add(function);
  return round_trip(net, randn({1, 5, 4}), randn({4, 5, 4}));
}

}  // namespace

TEST_CASE("export_onnx: pools with any windows, and resizing") {
  for (const bool ceil_mode : {false, true}) {
    CHECK(of_images([=](const Tensor& x) {
            return max_pool2d(
                x, {.kernel_size = {5, 3}, .stride = Pair{2, 3}, .padding = {2, 1}, .ceil_mode = ceil_mode});
          }) < 1e-5);
    CHECK(of_images([=](const Tensor& x) {
            return avg_pool2d(x, {.kernel_size = 3,
                                  .stride = Pair(2),
                                  .padding = 1,
                                  .count_include_pad = false,
                                  .ceil_mode = ceil_mode});
          }) < 1e-5);
  }
  CHECK(of_images([](const Tensor& x) { return max_pool2d(x, {.kernel_size = 2, .dilation = 2}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return avg_pool2d(x, {.kernel_size = 3, .padding = 1}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return adaptive_avg_pool2d(x, {2, 3}); }) < 1e-5);
  using enum InterpolateMode;
  for (const InterpolateOptions& options :
       {InterpolateOptions{.mode = nearest}, InterpolateOptions{.mode = bilinear},
        InterpolateOptions{.mode = bilinear, .align_corners = true}})
    CHECK(of_images([=](const Tensor& x) { return interpolate(x, Pair(16, 36), options); }) < 1e-5);
}

TEST_CASE("export_onnx: numbers, activations and reductions") {
  CHECK(of_images([](const Tensor& x) { return 1 - x * 2.5 + 0.5; }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return pow(abs(x), 1.5) / (square(x) + 1); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return clamp(x, -0.5, 0.25); }) < 1e-5);
  for (const auto& function : {relu6, hardsigmoid, hardswish, silu, selu, mish, softsign, logsigmoid})
    CHECK(of_images(function) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return elu(leaky_relu(x, 0.2), 0.7); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return celu(hardtanh(x, -0.5, 2), 0.7); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return gelu(gelu(x), {GeluApproximate::tanh}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return softmax(x, -1) + softmax(x, 1); }) < 1e-5);
  CHECK(of_rows([](const Tensor& x) { return log_softmax(x, 1); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return x * sigmoid(mean(x, {1, 2}, true)); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return mean(x, {1, 2}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return max(x, {3}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return sum(min(x, {2}, true), {3}); }) < 1e-5);
}

TEST_CASE("export_onnx: shapes and places") {
  const Tensor scale = randn({6});
  CHECK(of_images([=](const Tensor& x) { return x * scale; }) < 1e-5);
  CHECK(of_images([=](const Tensor& x) { return x * scale.reshape({1, 1, 1, 6}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return permute(x, {0, 3, 2, 1}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return flatten(x, 1, 2); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return pixel_shuffle(cat({x, x}, 3), 2); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return pad(x, {1, 2, 3, 0}, PadMode::reflect); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return pad(x, {1, 2, 3, 0}, PadMode::zeros, 0.5); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return pad(x, {0, 2, 0, 1}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return crop(x, 1, 2, {3, 4}); }) < 1e-5);
  CHECK(of_images([](const Tensor& x) {
          return x.index({Slice(), Slice(1, 7, 2), indexing::ellipsis, Slice(std::nullopt, 3)});
        }) < 1e-5);
  CHECK(of_images([](const Tensor& x) { return x.index({Slice(), 2}) + select(x, 1, -1); }) < 1e-5);
  CHECK(of_rows([](const Tensor& x) {
          const std::vector<Tensor> part = chunk(x, 3, 2);
          return cat({part[2], part[0] * part[1]}, 1);
        }) < 1e-5);
  CHECK(of_rows([](const Tensor& x) {
          return cat({expand(x.index({Slice(0, 1)}) * 0.0, x.shape()), x}, 1);
        }) < 1e-5);
}

TEST_CASE("export_onnx: volumes of other sizes") {
  for (const bool largest : {true, false}) {
    Sequential net;
    net.add<Conv3d>(2, 4, 3, Conv3d::Options{.stride = {1, 2, 1}, .padding = 1});
    net.add([=](const Tensor& x) {
      return largest ? max_pool3d(x, {.kernel_size = {1, 3, 2}, .stride = Triple(2), .padding = {0, 1, 1}})
                     : avg_pool3d(x, {.kernel_size = 2});
    });
    net.add<ConvTranspose3d>(
        4, 3, 3, ConvTranspose3d::Options{.stride = 2, .padding = 1, .output_padding = {1, 0, 1}});
    net.add([](const Tensor& x) {
      const Shape twice{2 * x.size(1), 2 * x.size(2), 2 * x.size(3)};
      return interpolate(x, twice, {.mode = InterpolateMode::trilinear});
    });
    CHECK(round_trip(net, randn({1, 4, 8, 6, 2}), randn({3, 6, 4, 8, 2})) < 1e-5);
  }
}

TEST_CASE("export_onnx: channels shuffled, for other sizes") {
  const auto net = behind_conv([](const Tensor& x) {
    return pixel_shuffle(pad(channel_shuffle(cat({x, x}, 3), 3), {1, 2, 0, 1}, PadMode::replicate), 2);
  });
  CHECK(round_trip(*net, randn({1, 8, 12, 2}), randn({3, 6, 4, 2})) < 1e-5);
}

TEST_CASE("export_onnx: attention, with and without a mask") {
  const Tensor mask = randn({5, 5}), seen = tril(ones({5, 5}, {.dtype = boolean}));
  for (const AttentionOptions& options :
       {AttentionOptions{}, AttentionOptions{.is_causal = true}, AttentionOptions{.attn_mask = mask},
        AttentionOptions{.attn_mask = seen, .scale = 0.3}}) {
    CHECK(of_rows([=](const Tensor& x) { return scaled_dot_product_attention(x, x, x, options); }) < 1e-5);
    CHECK(of_rows([=](const Tensor& x) {
            const Tensor heads = permute(x.reshape({x.size(0), 5, 2, 3}), {0, 2, 1, 3});
            const Tensor y = scaled_dot_product_attention(heads, heads, heads, options);
            return permute(y, {0, 2, 1, 3}).reshape(x.shape());
          }) < 1e-5);
  }
  TransformerEncoderLayer layer(8, 2, {.dim_feedforward = 12, .batch_first = true});
  CHECK(round_trip(layer, randn({1, 5, 8}), randn({3, 5, 8})) < 1e-5);
}

TEST_CASE("export_onnx: networks out and in again, for another batch") {
  const auto check_round_trip = [](Module& net, const Shape& one, const Shape& three) {
    CHECK(round_trip(net, randn(one), randn(three)) < 1e-4);
  };
  const auto awake = [](Tensor x) {  // not zeros, as at first
    const NoGradGuard guard;
    x.copy_(randn_like(x));
  };
  ViT vit({.image_size = 16,
           .patch_size = 8,
           .num_layers = 2,
           .num_heads = 2,
           .hidden_dim = 8,
           .mlp_dim = 16,
           .num_classes = 5});
  for (auto& [name, x] : vit.named_parameters()) awake(x);
  check_round_trip(vit, {1, 16, 16, 3}, {3, 16, 16, 3});
  ConvNeXt convnext({.num_classes = 5, .channels = {8, 8, 16, 16}, .blocks = {1, 1, 1, 1}, .layer_scale = 1});
  check_round_trip(convnext, {1, 32, 32, 3}, {3, 64, 32, 3});
  UNet3d volumes({.base_width = 4, .depth = 2});
  check_round_trip(volumes, {1, 4, 8, 8, 1}, {3, 8, 4, 12, 1});
  MobileNetV3 mobile(mobilenet_v3_small());
  check_round_trip(mobile, {1, 32, 32, 3}, {3, 64, 32, 3});
}

TEST_CASE("export_onnx refuses what it cannot write, and leaves no file") {
  const TempFolder folder;
  Sequential net;
  net.add<Linear>(4, 4);
  net.add([](const Tensor& x) { return cumsum(x, 1); });
  CHECK_THROWS_WITH(export_onnx(net, randn({2, 4}), folder / "net.onnx"), Contains("call eval()"));
  net.eval();
  CHECK_THROWS_WITH(export_onnx(net, randn({2, 4}), folder / "net.onnx"),
                    Contains("no operator for cumsum is known"));
  CHECK(folder.entry_count() == 0);
  // The number of images is a number here, not the size of the batch.
  Sequential fixed;
  fixed.add<Linear>(4, 4);
  fixed.add([](const Tensor& x) { return x * static_cast<double>(x.size(0)); });
  fixed.eval();
  CHECK_THROWS_WITH(export_onnx(fixed, randn({2, 4}), folder / "net.onnx"),
                    Contains("differs from the module"));
  Sequential uneven;
  uneven.add<AdaptiveAvgPool2d>(3);
  uneven.eval();
  CHECK_THROWS_WITH(export_onnx(uneven, randn({1, 8, 8, 2}), folder / "net.onnx"),
                    Contains("windows of several sizes"));
  CHECK_THROWS_WITH(export_onnx(uneven, randn({8}), folder / "net.onnx"),
                    Contains("expects an example [N, ...]"));
  CHECK(folder.entry_count() == 0);
}
