#include <catch2/catch.hpp>

#include <karyon/karyon.h>

#include "models/gradients.h"

using namespace karyon;
using Catch::Contains;

TEST_CASE("encoder_unet: names, sizes and gradients") {
  const auto encoder =
      GENERATE(values<std::string>({"resnet18", "mobilenet_v2", "vgg11_bn", "convnext_tiny"}));
  INFO(encoder);
  EncoderUNet net(
      {.encoder = encoder, .in_channels = 1, .classes = 2, .decoder_channels = {32, 16, 16, 8, 8}});
  const StateDict state = net.state_dict();
  CHECK(state.contains("decoder.blocks.0.conv1.0.weight"));
  CHECK(state.contains("decoder.blocks.4.conv2.1.running_var"));
  CHECK(state.contains("segmentation_head.0.bias"));
  CHECK(state.contains("decoder.center.1.0.weight") == encoder.starts_with("vgg"));
  CHECK_FALSE(state.contains("encoder.fc.weight"));
  net.eval();
  {
    const NoGradGuard no_grad;
    CHECK(net(zeros({1, 64, 96, 1})).shape() == Shape{1, 64, 96, 2});
    CHECK(net(zeros({1, 77, 65, 1})).shape() == Shape{1, 77, 65, 2});
    const auto copy = clone(net);
    const Tensor x = randn({1, 64, 64, 1});
    CHECK((*copy)(x).to_vector<float>() == net(x).to_vector<float>());
  }
  CHECK_THROWS_WITH(net(zeros({1, 64, 64, 3})), Contains("EncoderUNet: expects [N, H, W, 1]"));
  net.train();
  if (encoder == "resnet18") test::check_gradients(net, randn({2, 64, 64, 1}));
}
