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
  const bool images = other.dim() == 4;
  const Tensor y = (*back)(images ? permute(other, {0, 3, 1, 2}) : other);
  return distance(y.dim() == 4 ? permute(y, {0, 2, 3, 1}) : y, net(other));
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
  Sequential number;
  number.add<Linear>(4, 4);
  number.add([](const Tensor& x) { return x * 2.0; });
  number.eval();
  CHECK_THROWS_WITH(export_onnx(number, randn({2, 4}), folder / "net.onnx"), Contains("mul with a number"));
  // Sizes do not tell how such windows overlap, and the file is compared.
  Sequential overlap;
  overlap.add<MaxPool2d>(MaxPool2d::Options{.kernel_size = 5, .stride = 2, .padding = 2});
  overlap.eval();
  CHECK_THROWS_WITH(export_onnx(overlap, randn({1, 8, 8, 2}), folder / "net.onnx"),
                    Contains("differs from the module"));
  CHECK(folder.entry_count() == 0);
}
