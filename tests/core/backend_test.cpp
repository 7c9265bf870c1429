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
