#include <catch2/catch.hpp>
#include <string>

#include <karyon/core/serialize.h>
#include <karyon/karyon.h>

#include "op_check.h"

// The U-Net against PyTorch: values computed by tests/golden/unet.py.
using namespace karyon;

namespace {

// f32 runs on the device of the tests.
void check_golden(const std::string& file, const UNetOptions& options, DType dtype, double tolerance) {
  INFO(file << " in " << dtype);
  const Device device = dtype == f32 ? test::device() : Device::cpu();
  const auto golden = load_safetensors(std::string(KARYON_TEST_DATA) + "/" + file).tensors;
  auto close = [&](const std::string& what, const Tensor& x) {
    INFO(what);
    const Tensor expected = from_pytorch_layout(golden.at(what)).to(f64);
    REQUIRE(x.shape() == expected.shape());
    double largest = 0;  // relative to the tensor's own scale, however small
    for (const double v : expected.to_vector<double>()) largest = std::max(largest, std::abs(v));
    REQUIRE(largest > 0);
    CHECK(test::difference(x.detach().to(Device::cpu()).to(f64) * (1 / largest), expected * (1 / largest)) <=
          tolerance);
  };

  UNet net(options);
  StateDict state;
  for (const auto& [name, x] : golden)
    if (name.starts_with("state.")) state.emplace(name.substr(6), from_pytorch_layout(x));
  net.to(dtype);
  net.to(device);
  net.load_state_dict(state);
  Tensor x = from_pytorch_layout(golden.at("input")).to(dtype).to(device).requires_grad_();
  const Tensor target = from_pytorch_layout(golden.at("target")).to(dtype).to(device);

  const Tensor output = net(x);
  close("output", output);
  bce_with_logits(output, target).backward();
  close("grad_input", x.grad());
  for (const auto& [name, p] : net.named_parameters()) close("grad." + name, p.grad());

  net.load_state_dict(state);
  net.zero_grad();
  Adam adam(net.parameters(), {.lr = 1e-2});
  const auto losses = golden.at("losses").to_vector<double>();
  REQUIRE(losses.size() == 10);
  for (std::size_t i = 0; i < losses.size(); ++i) {
    INFO("step " << i);
    adam.zero_grad();
    const Tensor loss = bce_with_logits(net(x.detach()), target);
    loss.backward();
    adam.step();
    CHECK(loss.item<double>() == Approx(losses[i]).epsilon(tolerance));
  }
  net.eval();
  const NoGradGuard no_grad;
  Tensor expected = from_pytorch_layout(golden.at("eval_output")).to(f64);
  CHECK(test::difference(net(x.detach()).to(Device::cpu()).to(f64), expected) <= 10 * tolerance);
}

const UNetOptions batch{.in_channels = 3, .out_channels = 1, .base_width = 4, .depth = 2};
const UNetOptions group{.in_channels = 2,
                        .out_channels = 2,
                        .base_width = 4,
                        .depth = 2,
                        .norm = Norm::group,
                        .up = UpMode::bilinear};

}  // namespace

TEST_CASE("unet golden: batch norm and transposed convolutions") {
  check_golden("unet_batch.safetensors", batch, f64, 1e-6);
  check_golden("unet_batch.safetensors", batch, f32, 1e-4);
}

TEST_CASE("unet golden: group norm and bilinear resampling") {
  check_golden("unet_group.safetensors", group, f64, 1e-6);
  check_golden("unet_group.safetensors", group, f32, 1e-4);
}
