#include <catch2/catch.hpp>
#include <string>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/serialize.h>
#include <karyon/layers/weights.h>
#include <karyon/models/vit.h>

#include "op_check.h"

using namespace karyon;
using Catch::Contains;

namespace {

const ViTOptions small{.image_size = 16,
                       .patch_size = 8,
                       .num_layers = 2,
                       .num_heads = 2,
                       .hidden_dim = 12,
                       .mlp_dim = 20,
                       .num_classes = 5,
                       .representation_size = 7};

// Against torchvision's values, from tests/golden/vit.py.
void check_golden(DType dtype, double tolerance) {
  INFO(dtype);
  const Device device = dtype == f32 ? test::device() : Device::cpu();
  const auto golden = load_safetensors(std::string(KARYON_TEST_DATA) + "/vit.safetensors").tensors;
  ViT net(small);
  StateDict state;
  for (const auto& [name, x] : golden)
    if (name.starts_with("state.")) state.emplace(name.substr(6), from_pytorch_layout(x));
  net.to(dtype);
  net.to(device);
  net.load_state_dict(state);
  const auto close = [&](const std::string& what, const Tensor& x) {
    INFO(what);
    const Tensor expected = from_pytorch_layout(golden.at(what)).to(f64);
    const double scale = 1 / max(abs(expected)).item<double>();
    CHECK(test::difference(x.detach().to(Device::cpu()).to(f64) * scale, expected * scale) <= tolerance);
  };
  const Tensor output = net(from_pytorch_layout(golden.at("input")).to(dtype).to(device));
  close("output", output);
  sum(square(output)).backward();
  for (const auto& [name, p] : net.named_parameters()) close("grad." + name, p.grad());
}

}  // namespace

TEST_CASE("ViT computes what torchvision's does") {
  check_golden(f64, 1e-6);
  check_golden(f32, 1e-4);
}

TEST_CASE("ViT: sizes by torchvision's names, older names of its files, clones") {
  CHECK(ViT(vit_b_32()).parameters().size() == 152);
  CHECK(from_torchvision_vit("encoder.layers.encoder_layer_3.mlp.linear_1.weight") ==
        "encoder.layers.encoder_layer_3.mlp.0.weight");
  CHECK(from_torchvision_vit("encoder.layers.encoder_layer_3.mlp.linear_2.bias") ==
        "encoder.layers.encoder_layer_3.mlp.3.bias");
  CHECK(from_torchvision_vit("heads.head.weight") == "heads.head.weight");
  Generator generator(1);
  ViT net(small);
  net.eval();
  const Tensor x = randn({2, 16, 16, 3}, generator);
  CHECK(test::difference((*clone(net))(x), net(x)) == 0);
}

TEST_CASE("ViT refuses what does not fit") {
  CHECK_THROWS_WITH(ViT({.image_size = 20, .patch_size = 16}),
                    Contains("divisible by patch_size 16, got 20"));
  CHECK_THROWS_WITH(ViT({.num_layers = 0}), Contains("at least 1 layer"));
  CHECK_THROWS_WITH(ViT(small)(zeros({1, 16, 8, 3})), Contains("expects [N, 16, 16, 3], got [1, 16, 8, 3]"));
}
