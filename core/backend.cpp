#include <karyon/core/backend.h>

namespace karyon {

MemoryStats memory_stats(Device device) { return backend(device.type).memory_stats(device.index); }

void reset_peak_memory_stats(Device device) { backend(device.type).reset_peak_memory_stats(device.index); }

void synchronize(Device device) { backend(device.type).synchronize(device.index); }

}  // namespace karyon
