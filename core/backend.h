#pragma once
#include <cstddef>
#include <string>
#include <vector>

#include <karyon/core/device.h>
#include <karyon/core/dtype.h>

namespace karyon {

enum class LazyKind;  // core/lazy.h

/// Bytes held by tensors now, their maximum so far, and the total held by the allocator (in use and cached).
struct MemoryStats {
  std::size_t current = 0, peak = 0, reserved = 0;
};

/// A device with the name of its model.
struct DeviceInfo {
  Device device;
  std::string name;
  std::size_t memory = 0;  ///< bytes in all
};

/// The services of a device besides its kernels: memory and copies.
class Backend {
 public:
  virtual ~Backend() = default;
  /// At least `bytes` bytes, aligned to 64. Throws Error if there is no memory left.
  virtual void* allocate(std::size_t bytes, int index) = 0;
  /// Frees a block that allocate(bytes, index) returned.
  virtual void deallocate(void* data, std::size_t bytes, int index) noexcept = 0;
  /// Copies between this device and itself or the CPU; when it returns, it is done with the CPU's memory.
  virtual void copy(void* dst, const void* src, std::size_t bytes) = 0;
  /// Waits until all work given to the device is done; throws Error if some of it failed.
  virtual void synchronize(int index) = 0;
  virtual MemoryStats memory_stats(int index) const = 0;
  virtual void reset_peak_memory_stats(int index) = 0;
  /// Returns cached, unused memory to the system.
  virtual void empty_cache() = 0;
  virtual std::vector<DeviceInfo> devices() const = 0;
  /// Whether kernels read lazy results of this kind, with this dtype and number of channels.
  virtual bool reads_lazily(LazyKind, DType, std::int64_t /*channels*/) const { return false; }
};

/// The backend for `type`. Throws Error if this build or this machine has none.
Backend& backend(DeviceType type);

/// Why there is no device of this type to run on, in one line; empty if there is one.
std::string why_unavailable(DeviceType type);
inline bool is_available(DeviceType type) { return why_unavailable(type).empty(); }

/// The CUDA kernel of that name, or nullptr; to be cast back to its own type. The CUDA backend is a shared
/// library, opened when it is first needed: see cuda_plugin.h.
void (*find_cuda_kernel(const char* name))();

/// The CPU's backend: an aligned caching allocator. Defined in core/cpu/backend.cpp.
Backend& cpu_backend();

/// Allocation counts of a device; peak since the start or the last reset.
MemoryStats memory_stats(Device device = {});
void reset_peak_memory_stats(Device device = {});
/// Waits for all work on the device, so that a clock can be read.
void synchronize(Device device = {});

}  // namespace karyon
