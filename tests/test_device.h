#pragma once
#include <cstdlib>
#include <string>

#include <karyon/core/backend.h>

namespace karyon::test {

/// Where f32 runs: KARYON_TEST_DEVICE=cuda asks for a GPU.
inline Device device() {
  static const Device chosen = [] {
    const char* name = std::getenv("KARYON_TEST_DEVICE");
    return name && std::string(name) == "cuda" ? Device::cuda() : Device::cpu();
  }();
  return chosen;
}

/// Whether it computes in bf16: GPUs do from compute capability 8.0 on.
inline bool device_has_bf16() {
  static const bool has = [] {
    if (device().type == DeviceType::cpu) return true;
    const std::string name = backend(device().type).devices().front().name, before = "compute capability ";
    const std::size_t at = name.find(before);
    return at == std::string::npos || std::stoi(name.substr(at + before.size())) >= 8;
  }();
  return has;
}

}  // namespace karyon::test
