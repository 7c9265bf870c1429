// What core does with a plugin, whatever that computes on: tests/CMakeLists.txt gives it a fake one.
#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/ops/elementwise.h>

using namespace karyon;
using Catch::Contains;

TEST_CASE("plugin: tensors move to its device and back, and so do gradients", "[.][fake_cuda]") {
  REQUIRE(why_unavailable(DeviceType::cuda).empty());
  CHECK(backend(DeviceType::cuda).devices().front().name == "fake");
  const Tensor x = tensor({1, 2, 3}).requires_grad_(), there = x.cuda(), back = there.cpu();
  CHECK(there.device() == Device::cuda());
  CHECK(memory_stats(Device::cuda()).current == 3 * sizeof(float));
  CHECK(back.device() == Device::cpu());
  CHECK(back.to_vector<float>() == std::vector<float>{1, 2, 3});
  back.backward(tensor({5, 6, 7}));
  CHECK(x.grad().device() == Device::cpu());
  CHECK(x.grad().to_vector<float>() == std::vector<float>{5, 6, 7});
}

TEST_CASE("plugin: kernels are found by their names, and one that is not there is an Error",
          "[.][fake_cuda]") {
  CHECK(find_cuda_kernel("fill") != nullptr);
  CHECK(find_cuda_kernel("neg") == nullptr);
  for (const float value : {7.0f, 8.0f})
    CHECK(full({3}, value, {.device = Device::cuda()}).to_vector<float>() == std::vector<float>(3, value));
  const Tensor here = ones({2}), there = here.cuda();
  CHECK_THROWS_WITH(exp(there), Contains(": no cuda kernel"));
  CHECK_THROWS_WITH(add(here, there), Contains("cpu:0") && Contains("cuda:0"));
}

TEST_CASE("plugin: what it says of a missing device is what users read", "[.][fake_cuda_refuses]") {
  const std::string why = why_unavailable(DeviceType::cuda);
  CHECK_THAT(why, Catch::StartsWith("no GPU today, for ") && Catch::EndsWith(" bytes of an ABI"));
  CHECK_THROWS_WITH(zeros({2}, {.device = Device::cuda()}),
                    Contains("device cuda: " + why + "; use the CPU"));
  CHECK(find_cuda_kernel("fill") == nullptr);
}
