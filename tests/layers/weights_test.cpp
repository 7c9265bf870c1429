#include <catch2/catch.hpp>
#include <cstring>

#include <karyon/core/io/numpy.h>
#include <karyon/core/io/tensor_file.h>
#include <karyon/core/ops/layout.h>
#include <karyon/layers/conv1d.h>
#include <karyon/layers/conv3d.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/sequential.h>
#include <karyon/layers/weights.h>

#include "pickle_bytes.h"
#include "temp_folder.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

using Floats = std::vector<float>;
namespace p = karyon::test::pickle;

std::string floats(std::size_t count) {
  std::string bytes;
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = static_cast<float>(i);
    bytes.append(reinterpret_cast<const char*>(&value), sizeof value);
  }
  return bytes;
}
/// What Python writes of {"state_dict": {"module.weight": 2 x 3, "module.bias": 2, "extra": 1}, "epoch": 3}.
std::string checkpoint() {
  return p::torch_save(
      p::dict({{"state_dict",
                p::ordered_dict({{"module.weight", p::tensor("FloatStorage", "0", 0, {2, 3}, {3, 1})},
                                 {"module.bias", p::tensor("FloatStorage", "0", 6, {2}, {1})},
                                 {"extra", p::tensor("FloatStorage", "0", 0, {1}, {1})}})},
               {"epoch", p::whole(3)}}),
      {floats(8)});
}
std::string without_module(const std::string& name) {
  return name == "extra" ? "" : name.starts_with("module.") ? name.substr(7) : name;
}

}  // namespace

TEST_CASE("weights: a checkpoint of PyTorch's by a prefix and new names") {
  const TempFolder folder;
  write_file(folder / "x.pth", checkpoint());
  Linear net(3, 2);
  load_weights(net, folder / "x.pth", {.prefix = "state_dict", .rename = without_module});
  CHECK(net.weight.to_vector<float>() == Floats{0, 1, 2, 3, 4, 5});
  CHECK(net.bias.to_vector<float>() == Floats{6, 7});
  CHECK(load_weights(net, folder / "x.pth", WeightsOptions{.strict = false}).at("epoch") == "3");

  const Tensor before = net.weight.detach().clone();
  CHECK_THROWS_WITH(load_weights(net, folder / "x.pth", WeightsOptions{.prefix = "state_dict"}),
                    Contains("load_weights: ") && Contains("x.pth: ") && Contains("2 missing"));
  CHECK_THROWS_WITH(load_weights(net, folder / "x.pth"), Contains("state_dict.module.bias"));
  CHECK_THROWS_WITH(load_weights(net, folder / "x.pth", WeightsOptions{.prefix = "model"}),
                    Contains("below 'model'"));
  CHECK_THROWS_WITH(
      load_weights(net, folder / "x.pth", {.rename = [](const std::string&) { return "weight"; }}),
      Contains("x.pth: two tensors are renamed to 'weight'"));
  CHECK(net.weight.to_vector<float>() == before.to_vector<float>());
}

TEST_CASE("weights: from .npz files") {
  const TempFolder folder;
  Linear net(3, 2);
  save_npz(folder / "x.npz", {{"weight", full({2, 3}, 2, {.dtype = f64})}, {"bias", ones({2})}});
  load_weights(net, folder / "x.npz");
  CHECK(net.weight.to_vector<float>() == Floats(6, 2));
}

TEST_CASE("weights: filters of PyTorch's files come into the layout of the library") {
  const TempFolder folder;
  struct Filter : Module {
    Filter() { register_parameter("weight", weight); }
    Tensor weight = zeros({1, 2, 2, 3});
  } net;
  write_file(
      folder / "x.pt",
      p::torch_save(p::dict({{"weight", p::tensor("FloatStorage", "0", 0, {1, 3, 2, 2}, {12, 4, 2, 1})}}),
                    {floats(12)}));
  load_weights(net, folder / "x.pt");
  CHECK(net.weight.to_vector<float>() == Floats{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
}

TEST_CASE("weights: filters of 1 and 3 dimensions have PyTorch's layout in files") {
  const TempFolder folder;
  Sequential net, copy;
  for (Sequential* each : {&net, &copy}) {
    each->add<Conv1d>(2, 3, 4);
    each->add<ConvTranspose1d>(3, 2, 5);
    each->add<Conv3d>(2, 3, Triple(2, 3, 4));
    each->add<ConvTranspose3d>(4, 3, Triple(1, 2, 3));
  }
  save_weights(net, folder / "x.safetensors");
  const TensorFile file = load_tensors(folder / "x.safetensors");
  CHECK(file.tensors.at("0.weight").shape() == Shape{3, 2, 4});
  CHECK(file.tensors.at("1.weight").shape() == Shape{3, 2, 5});
  CHECK(file.tensors.at("2.weight").shape() == Shape{3, 2, 2, 3, 4});
  CHECK(file.tensors.at("3.weight").shape() == Shape{4, 3, 1, 2, 3});
  load_weights(copy, folder / "x.safetensors");
  for (const auto& [name, x] : net.state_dict())
    CHECK(x.to_vector<float>() == copy.state_dict().at(name).to_vector<float>());

  struct Positions : Module {
    Positions() { register_parameter("weight", weight); }
    Tensor weight = zeros({1, 2, 3});
  } positions;
  save_weights(positions, folder / "y.safetensors");
  CHECK(load_tensors(folder / "y.safetensors").tensors.at("weight").shape() == Shape{1, 2, 3});
}

TEST_CASE("weights: a file of f16 goes into parameters of f32") {
  const TempFolder folder;
  Linear net(3, 2);
  const TensorFile file{
      .tensors = {{"weight", arange(6).reshape({2, 3}).to(f16)}, {"bias", tensor({0.1, -2}, {.dtype = f16})}},
      .metadata = {}};
  save_safetensors(folder / "x.safetensors", file);
  load_weights(net, folder / "x.safetensors");
  CHECK(net.weight.dtype() == f32);
  CHECK(net.weight.to_vector<float>() == Floats{0, 1, 2, 3, 4, 5});
  CHECK(net.bias.to_vector<float>() == Floats{static_cast<float>(Float16(0.1f)), -2});
  save_npz(folder / "x.npz", file.tensors);
  load_weights(net, folder / "x.npz");
  CHECK(net.weight.dtype() == f32);

  TensorFile odd = file;
  odd.tensors["bias"] = tensor({INFINITY, 0}, {.dtype = f16});
  save_safetensors(folder / "odd.safetensors", odd);
  CHECK_THROWS_WITH(load_weights(net, folder / "odd.safetensors"), Contains("tensor 'bias' holds a NaN"));
}
