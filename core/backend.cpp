#include <karyon/core/backend.h>
#include <karyon/core/check.h>

namespace karyon {

Backend& backend(DeviceType type) {
  if (type == DeviceType::cpu) return cpu_backend();
  static Backend* cuda = make_cuda_backend();
  check(cuda != nullptr, "device cuda: this build has no CUDA backend; use the CPU");
  return *cuda;
}

MemoryStats memory_stats(Device device) { return backend(device.type).memory_stats(device.index); }

void reset_peak_memory_stats(Device device) { backend(device.type).reset_peak_memory_stats(device.index); }

}  // namespace karyon
