#include <catch2/catch.hpp>
#include <cmath>
#include <thread>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/parallel.h>
#include <karyon/core/serialize.h>
#include <karyon/karyon.h>

#include "temp_folder.h"

using namespace karyon;
using Catch::Contains;

namespace {
const UNetOptions small{.in_channels = 2, .out_channels = 3, .base_width = 4, .depth = 2};
}

TEST_CASE("unet: any size in, the same size out, in every variant") {
  for (const Norm norm : {Norm::none, Norm::batch, Norm::group})
    for (const UpMode up : {UpMode::transposed, UpMode::bilinear}) {
      UNetOptions options = small;
      options.norm = norm;
      options.up = up;
      UNet net(options);
      net.eval();
      const NoGradGuard no_grad;
      for (const Pair size : {Pair{1, 1}, Pair{1, 9}, Pair{2, 3}, Pair{8, 12}, Pair{17, 6}}) {
        INFO(size);
        const Tensor y = net(randn({1, size.h, size.w, 2}));
        CHECK(y.shape() == Shape{1, size.h, size.w, 3});
        for (const float v : y.to_vector<float>()) CHECK(std::isfinite(v));
      }
    }
}

TEST_CASE("unet: padding inside equals padding outside") {
  UNet net(small);
  net.eval();
  const NoGradGuard no_grad;
  const Tensor x = randn({1, 10, 7, 2}), tiny = randn({1, 2, 4, 2});
  const Tensor whole = net(pad(x, {.bottom = 2, .right = 1}, PadMode::reflect));
  CHECK(net(x).to_vector<float>() == crop(whole, 0, 0, {10, 7}).to_vector<float>());
  const Tensor zeros_below = net(pad(tiny, {.bottom = 2}));
  CHECK(net(tiny).to_vector<float>() == crop(zeros_below, 0, 0, {2, 4}).to_vector<float>());
}

TEST_CASE("unet: inference, which folds the norms into the convolutions, gives what the layers give") {
  for (const Norm norm : {Norm::none, Norm::batch, Norm::group}) {
    manual_seed(3);
    UNet net({.in_channels = 3, .out_channels = 2, .base_width = 16, .depth = 2, .norm = norm});
    const Tensor x = randn({2, 40, 36, 3});
    for (int i = 0; i < 3; ++i) net(x);  // running statistics that are not 0 and 1
    net.eval();
    const Tensor layer_by_layer = net(x);
    REQUIRE(layer_by_layer.requires_grad());
    const NoGradGuard no_grad;
    const auto folded = net(x).to_vector<float>(), expected = layer_by_layer.to_vector<float>();
    for (std::size_t i = 0; i < folded.size(); ++i) REQUIRE(folded[i] == Approx(expected[i]).margin(2e-5));
  }
}

TEST_CASE("unet: gradients in f32, with the fast convolutions, agree with f64, with the plain ones") {
  manual_seed(4);
  UNet net({.in_channels = 3, .out_channels = 1, .base_width = 16, .depth = 2});
  const Tensor x = randn({2, 45, 38, 3}), target = gt(randn({2, 45, 38, 1}), 0.0).to(f32);
  std::vector<std::vector<double>> grads;
  for (const DType dtype : {f32, f64}) {
    net.to(dtype);
    net.zero_grad();
    bce_with_logits(net(x.to(dtype)), target.to(dtype)).backward();
    grads.emplace_back();
    for (const Tensor& p : net.parameters())
      for (const double g : p.grad().to_vector<double>()) grads.back().push_back(g);
  }
  double error = 0, size = 0;
  for (std::size_t i = 0; i < grads[0].size(); ++i) {
    error += (grads[0][i] - grads[1][i]) * (grads[0][i] - grads[1][i]);
    size += grads[1][i] * grads[1][i];
  }
  CHECK(std::sqrt(error / size) < 1e-4);
}

TEST_CASE("unet: every parameter gets a gradient, with the same bits for any number of threads") {
  const int before = num_threads();
  std::vector<std::vector<float>> results;
  for (const int threads : {1, 3}) {
    set_num_threads(threads);
    manual_seed(2);
    UNet net(small);
    const Tensor x = randn({2, 24, 20, 2});
    bce_with_logits(net(x), ones({2, 24, 20, 3})).backward();
    for (const auto& [name, p] : net.named_parameters()) {
      INFO(name);
      REQUIRE(p.grad().defined());
      results.push_back(p.grad().to_vector<float>());
    }
  }
  set_num_threads(before);
  const std::size_t half = results.size() / 2;
  for (std::size_t i = 0; i < half; ++i) CHECK(results[i] == results[half + i]);
}

TEST_CASE("unet: dropout acts at the bottom while training, from the default generator") {
  UNetOptions options = small;
  options.norm = Norm::group;
  options.dropout = 0.5;
  UNet net(options);
  const Tensor x = randn({1, 16, 16, 2});
  manual_seed(1);
  const auto a = net(x).to_vector<float>();
  CHECK(net(x).to_vector<float>() != a);
  manual_seed(1);
  CHECK(net(x).to_vector<float>() == a);
  net.eval();
  CHECK(net(x).to_vector<float>() == net(x).to_vector<float>());
}

TEST_CASE("unet: threads build networks from generators of their own") {
  const auto weights = [](const UNet& net) {
    std::vector<std::vector<float>> out;
    for (const auto& [name, x] : net.state_dict()) out.push_back(x.to_vector<float>());
    return out;
  };
  manual_seed(3);
  const UNet expected({.in_channels = 1, .base_width = 4, .depth = 2, .up = UpMode::bilinear});
  const std::uint64_t position = default_generator().position();
  std::vector<std::unique_ptr<UNet>> nets(3);
  std::vector<std::thread> threads;
  for (auto& net : nets)
    threads.emplace_back([&net] {
      Generator generator(3);
      const UNetOptions options{
          .in_channels = 1, .base_width = 4, .depth = 2, .up = UpMode::bilinear, .generator = &generator};
      net = std::make_unique<UNet>(options);
    });
  for (std::thread& thread : threads) thread.join();
  for (const auto& net : nets) {
    CHECK(weights(*net) == weights(expected));
    CHECK(net->options == expected.options);
    CHECK(weights(*clone(*net)) == weights(expected));
  }
  CHECK(default_generator().position() == position);
}

TEST_CASE("unet: inference holds no more than the joined level and its parts") {
  UNet net({.in_channels = 1, .base_width = 16, .depth = 3});
  net.eval();
  const NoGradGuard no_grad;
  const int before = num_threads();
  set_num_threads(1);
  const Tensor x = randn({1, 256, 256, 1});
  for (int i = 0; i < 2; ++i) net(x);  // the second call keeps packed filters
  backend(DeviceType::cpu).empty_cache();
  reset_peak_memory_stats();
  const std::size_t start = memory_stats().current;
  net(x);
  set_num_threads(before);
  // At the top: the skip connection (16 channels), what came up (16), both joined (32); 64 in all.
  const std::size_t channel = 256 * 256 * 4;
  CHECK(memory_stats().peak - start <= 66 * channel);
}

TEST_CASE("unet: a saved model is rebuilt from its file") {
  const test::TempFolder folder;
  UNetOptions options = small;
  options.norm = Norm::group;
  options.up = UpMode::bilinear;
  options.dropout = 0.1;
  UNet net(options);
  save_unet(net, folder / "m", {{"classes", "nucleus"}});
  std::map<std::string, std::string> metadata;
  const auto loaded = load_unet(folder / "m", &metadata);
  CHECK(loaded->options == options);
  CHECK(metadata.at("classes") == "nucleus");
  net.eval();
  loaded->eval();
  const Tensor x = randn({1, 9, 9, 2});
  CHECK((*loaded)(x).to_vector<float>() == net(x).to_vector<float>());
  CHECK_THROWS_WITH(save_unet(net, folder / "m", {{"karyon.model", "x"}}), Contains("karyon.model"));
}

TEST_CASE("unet: files of something else, or damaged, are Errors that say so") {
  const test::TempFolder folder;
  const UNet net(small);
  save_unet(net, folder / "good");
  const TensorFile good = load_safetensors(folder / "good");
  const auto path = folder / "bad";
  TensorFile bad = good;
  std::string expected;
  SECTION("no metadata") {
    bad.metadata.clear();
    expected = "without a karyon.model entry";
  }
  SECTION("another model") {
    bad.metadata["karyon.model"] = "resnet";
    expected = "kind unet, got resnet";
  }
  SECTION("an option is missing") {
    bad.metadata.erase("karyon.unet.depth");
    expected = "karyon.unet.depth";
  }
  SECTION("an option is no number") {
    bad.metadata["karyon.unet.depth"] = "2x";
    expected = "expects a number, got '2x'";
  }
  SECTION("an option is unknown") {
    bad.metadata["karyon.unet.norm"] = "instance";
    expected = "unknown: 'instance'";
  }
  SECTION("an option is absurd") {
    bad.metadata["karyon.unet.depth"] = "60";
    expected = "depth";
  }
  SECTION("an option asks for more than there is") {
    bad.metadata["karyon.unet.base_width"] = "4096";
    expected = "down.0.conv1.weight of shape [4096, 2, 3, 3], got [4, 2, 3, 3]";
  }
  SECTION("a width is odd") {
    bad.metadata["karyon.unet.norm"] = "none";
    expected = "unexpected";
  }
  SECTION("a tensor is missing") {
    bad.tensors.erase("up.0.up.bias");
    expected = "1 missing: up.0.up.bias";
  }
  SECTION("a weight is NaN") {
    bad.tensors.at("bottom.norm1.bias").fill_(NAN);
    expected = "'bottom.norm1.bias' holds a NaN";
  }
  save_safetensors(path, bad);
  CHECK_THROWS_WITH(load_unet(path), Contains(expected) && Contains("bad"));
}

TEST_CASE("unet: a truncated file is an Error") {
  const test::TempFolder folder;
  save_unet(UNet(small), folder / "m");
  const std::string bytes = test::read_file(folder / "m");
  for (std::size_t n = 0; n < bytes.size(); n += bytes.size() / 60) {
    test::write_file(folder / "cut", bytes.substr(0, n));
    CHECK_THROWS_AS(load_unet(folder / "cut"), Error);
  }
}

TEST_CASE("unet: bad options and inputs are Errors") {
  CHECK_THROWS_WITH(UNet({.in_channels = 0}), Contains("in_channels 0"));
  CHECK_THROWS_AS(UNet({.depth = 0}), Error);
  CHECK_THROWS_AS(UNet({.base_width = 1 << 19}), Error);
  CHECK_THROWS_AS(UNet({.dropout = 1}), Error);
  UNet net(small);
  CHECK_THROWS_WITH(net(zeros({1, 8, 8, 3})), Contains("expects [N, H, W, 2], got [1, 8, 8, 3]"));
  CHECK_THROWS_AS(net(zeros({8, 8, 2})), Error);
}

TEST_CASE("unet: the summary adds up") {
  UNet net(UNetOptions{});
  const Summary s = summary(net, {1, 64, 64, 3});
  std::int64_t parameters = 0;
  for (const Summary::Row& row : s.rows) parameters += row.parameters;
  CHECK(parameters == s.parameters);
  CHECK(s.parameters == 7763041);
  CHECK(s.multiply_adds > 0);
  CHECK(s.rows.back().name == "head");
}
