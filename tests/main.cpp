// Catch's main. Before the tests it says which device they use, if KARYON_TEST_DEVICE asks for one, and where
// there is none it ends with the code for "skipped".
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <iostream>

#include <karyon/core/backend.h>

#include "test_device.h"

int main(int argc, char** argv) {
  using karyon::test::device;
  constexpr int skipped = 77;
  if (const std::string why = karyon::why_unavailable(device().type); !why.empty()) {
    std::cout << "skipped, no device of type " << device().type << ": " << why << std::endl;
    return skipped;
  }
  if (device() != karyon::Device::cpu())
    std::cout << device() << ": " << karyon::backend(device().type).devices().front().name << std::endl;
  return Catch::Session().run(argc, argv) == 0 ? 0 : 1;
}
