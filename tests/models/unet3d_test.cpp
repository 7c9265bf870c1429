#include <catch2/catch.hpp>

#include <karyon/karyon.h>

#include "models/gradients.h"

using namespace karyon;
using Catch::Contains;

TEST_CASE("unet3d: sizes, names and gradients") {
  const Norm norm = GENERATE(Norm::none, Norm::batch, Norm::group);
  const std::int64_t flat = GENERATE(0, 1, 2);
  Generator generator(1);
  const GeneratorGuard guard(generator);
  UNet3d net(
      {.in_channels = 2, .out_channels = 3, .base_width = 4, .depth = 2, .flat_levels = flat, .norm = norm});
  const StateDict state = net.state_dict();
  CHECK(state.at("down.0.conv1.weight").shape() == Shape{4, 3, 3, 3, 2});
  CHECK(state.at("up.0.up.weight").shape() == Shape{16, flat == 2 ? 1 : 2, 2, 2, 8});
  CHECK(state.at("up.1.up.weight").shape() == Shape{8, flat >= 1 ? 1 : 2, 2, 2, 4});
  CHECK(state.contains("bottom.norm2.weight") == (norm != Norm::none));
  CHECK(state.contains("head.bias"));
  test::check_gradients(net, randn({2, 4, 8, 12, 2}, generator));
  net.eval();
  const NoGradGuard no_grad;
  for (const Shape& shape : {Shape{1, 8, 8, 8, 2}, Shape{2, 5, 9, 6, 2}, Shape{1, 1, 1, 1, 2}})
    CHECK(net(zeros(shape)).shape() == Shape{shape[0], shape[1], shape[2], shape[3], 3});
  const auto copy = clone(net);
  const Tensor x = randn({1, 4, 4, 4, 2}, generator);
  CHECK((*copy)(x).to_vector<float>() == net(x).to_vector<float>());
}

TEST_CASE("unet3d: over one slice it is the U-Net of images") {
  Generator generator(2);
  const GeneratorGuard guard(generator);
  UNet flat({.in_channels = 1, .out_channels = 2, .base_width = 4, .depth = 2});
  UNet3d net({.in_channels = 1, .out_channels = 2, .base_width = 4, .depth = 2, .flat_levels = 2});
  // The middle slice of each filter; the others see the border.
  StateDict state = net.state_dict();
  const NoGradGuard no_grad;
  for (const auto& [name, values] : flat.state_dict()) {
    Tensor& to = state.at(name);
    if (values.dim() == 4) {
      Tensor wide = zeros(to.shape());
      const std::int64_t middle = to.size(1) / 2;
      wide.index_put_({Slice(), middle}, values);
      to = wide;
    } else {
      to = values;
    }
  }
  net.load_state_dict(state);
  flat.eval();
  net.eval();
  const Tensor x = randn({2, 12, 8, 1}, generator);
  const Tensor y = net(x.reshape({2, 1, 12, 8, 1}));
  CHECK((y.reshape({2, 12, 8, 2}) - flat(x)).abs().max().item() < 1e-5);
}

TEST_CASE("unet3d: what cannot be built is an error that says so") {
  CHECK_THROWS_WITH(UNet3d({.depth = 0}), Contains("UNet3d: expects a depth"));
  CHECK_THROWS_WITH(UNet3d({.depth = 2, .flat_levels = 3}), Contains("flat_levels of 0 to 2"));
  CHECK_THROWS_WITH(UNet3d({.base_width = 0}), Contains("at least 1 channel"));
  UNet3d net({.base_width = 2, .depth = 1});
  CHECK_THROWS_WITH(net(zeros({1, 4, 4, 4, 2})), Contains("UNet3d: expects [N, D, H, W, 1]"));
}
