#pragma once
#include <cstdlib>
#include <string>

#include <karyon/core/device.h>

namespace karyon::test {

/// Where f32 runs: KARYON_TEST_DEVICE=cuda asks for a GPU.
inline Device device() {
  static const Device chosen = [] {
    const char* name = std::getenv("KARYON_TEST_DEVICE");
    return name && std::string(name) == "cuda" ? Device::cuda() : Device::cpu();
  }();
  return chosen;
}

}  // namespace karyon::test
