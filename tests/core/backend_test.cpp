#include <array>
#include <catch2/catch.hpp>

#include <karyon/core/backend.h>
#include <karyon/core/tensor.h>

using namespace karyon;
using Catch::Contains;

TEST_CASE("backend: the CPU is always there and says what it is") {
  CHECK(is_available(DeviceType::cpu));
  CHECK(why_unavailable(DeviceType::cpu).empty());
  const auto devices = backend(DeviceType::cpu).devices();
  REQUIRE(devices.size() == 1);
  CHECK(devices[0].device == Device::cpu());
  CHECK_THAT(devices[0].name, Contains("threads"));
  CHECK(devices[0].memory > (std::size_t{1} << 20));
  synchronize();
}

TEST_CASE("backend: CUDA is there, or a tensor on it is an Error that says why not in one line") {
  const std::string why = why_unavailable(DeviceType::cuda);
  CHECK(is_available(DeviceType::cuda) == why.empty());
  if (why.empty()) {
    CHECK(zeros({2}, {.device = Device::cuda()}).device() == Device::cuda());
    return;
  }
  CHECK(why.find('\n') == std::string::npos);
  CHECK_THROWS_WITH(zeros({2}, {.device = Device::cuda()}),
                    Contains("device cuda: " + why) && Contains("use the CPU"));
  CHECK(find_cuda_kernel("fill") == nullptr);
}

TEST_CASE("backend: the CPU copies bytes, and none from nowhere") {
  std::array<int, 3> from{1, 2, 3}, to{};
  backend(DeviceType::cpu).copy(to.data(), from.data(), 2 * sizeof(int));
  CHECK(to == std::array<int, 3>{1, 2, 0});
  backend(DeviceType::cpu).copy(nullptr, nullptr, 0);
}

TEST_CASE("backend: a tensor that moves to a device that is not there says so") {
  if (is_available(DeviceType::cuda)) return;
  CHECK_THROWS_WITH(ones({2}).cuda(), Contains("device cuda: ") && Contains("use the CPU"));
}
