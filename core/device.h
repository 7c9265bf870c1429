#pragma once
#include <ostream>

namespace karyon {

enum class DeviceType { cpu, cuda };

inline std::ostream& operator<<(std::ostream& os, DeviceType type) {
  return os << (type == DeviceType::cpu ? "cpu" : "cuda");
}

/// Where a tensor lives: a kind of device and its index.
struct Device {
  DeviceType type = DeviceType::cpu;
  int index = 0;

  static Device cpu() { return {}; }
  static Device cuda(int index = 0) { return {DeviceType::cuda, index}; }
  friend bool operator==(const Device&, const Device&) = default;
};

inline std::ostream& operator<<(std::ostream& os, Device device) {
  return os << device.type << ':' << device.index;
}

/// A folder in which libkaryon_cuda.so may lie besides those of the program and of the library; `folder` is
/// kept as it is. A static library does not know where it was installed, but its CMake package does.
///   returns  true
bool set_cuda_folder(const char* folder);
#ifdef KARYON_CUDA_FOLDER
inline const bool knows_cuda_folder = set_cuda_folder(KARYON_CUDA_FOLDER);
#endif

}  // namespace karyon
