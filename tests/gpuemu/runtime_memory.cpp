// Memory: allocation, copies and fills, in the order of their streams.
#include <sys/mman.h>

#include <cstdlib>
#include <vector>

#include "runtime.h"

namespace gpuemu {
namespace {

void report_copy(const std::string& what, const char* call) { report(what + call, what + " by " + call); }

/// Conflicts of a copy or fill with other work.
void check_range(Allocation& a, std::size_t offset, std::size_t bytes, AccessKind kind, const Moment& moment,
                 const char* call) {
  if (a.shadow == nullptr) return;
  Shadow& shadow = *a.shadow;
  shadow.refine(offset, bytes);
  Conflict worst = Conflict::none;
  for (std::size_t g = offset >> shadow.shift(); g < (offset + bytes) >> shadow.shift(); ++g) {
    const Conflict c = kind == AccessKind::read ? note_read(shadow.cell(g), moment, 0)
                                                : note_write(shadow.cell(g), moment, 0, 0);
    worst = std::max(worst, c);
  }
  if (worst == Conflict::unwritten)
    report_copy("read of device memory that nothing has written", call);
  else if (worst != Conflict::none)
    report_copy("race in global memory with work of another stream, no synchronization between,", call);
}

cudaError_t allocate(void** out, std::size_t bytes) {
  if (bytes == 0) {
    *out = nullptr;
    return cudaSuccess;
  }
  Allocation* a = device_memory().allocate(bytes);
  if (a == nullptr) return result(cudaErrorMemoryAllocation);
  *out = reinterpret_cast<void*>(a->address);
  return cudaSuccess;
}

Allocation* allocation_of(const void* address) {
  Allocation* a = device_memory().find(reinterpret_cast<std::uint64_t>(address));
  const bool inside =
      a != nullptr && !a->freed &&
      reinterpret_cast<std::uint64_t>(address) - a->address < std::max<std::size_t>(a->bytes, 1);
  return inside ? a : nullptr;
}

bool is_device(const void* address) {
  const Allocation* a = allocation_of(address);
  return a != nullptr && !a->host_memory;
}

/// A side of a copy: device memory (checked), or the host's.
std::byte* side(const void* p, std::size_t bytes, AccessKind kind, const Moment& moment, const char* call) {
  return is_device(p) ? device_range(p, bytes, kind, moment, call)
                      : static_cast<std::byte*>(const_cast<void*>(p));
}

/// Rows of `width` bytes; a plain copy is one row.
struct Copy {
  void* to;
  std::size_t to_pitch;
  const void* from;
  std::size_t from_pitch;
  std::size_t width, height;
};

/// Between device memories what is unwritten stays so, and is no error yet.
void copy_cells(const void* to, const void* from, std::size_t bytes, const Moment& moment, const char* call) {
  Allocation &a = *allocation_of(to), &b = *allocation_of(from);
  const std::size_t to_offset = reinterpret_cast<std::uint64_t>(to) - a.address;
  const std::size_t from_offset = reinterpret_cast<std::uint64_t>(from) - b.address;
  a.shadow->refine(to_offset, bytes);
  b.shadow->refine(from_offset, bytes);
  const int finer = std::min(a.shadow->shift(), b.shadow->shift());
  a.shadow->refine(to_offset, std::size_t{1} << finer);
  b.shadow->refine(from_offset, std::size_t{1} << finer);
  Conflict worst = Conflict::none;
  for (std::size_t i = 0; i < bytes >> finer; ++i) {
    Cell& source = b.shadow->cell((from_offset >> finer) + i);
    Cell& target = a.shadow->cell((to_offset >> finer) + i);
    const bool written = source.write.interval != 0;
    Conflict c = note_read(source, moment, 0);
    worst = std::max(worst, c == Conflict::unwritten ? Conflict::none : c);
    worst = std::max(worst, note_write(target, moment, 0, 0));
    if (!written) target.write = {};
  }
  if (worst != Conflict::none)
    report_copy("race in global memory with work of another stream, no synchronization between,", call);
}

void run_copy(const Copy& c, const Moment& moment, const char* call) {
  if (sticky_error() != cudaSuccess) return;
  try {
    for (std::size_t row = 0; row < c.height; ++row) {
      auto* to = static_cast<std::byte*>(c.to) + row * c.to_pitch;
      const auto* from = static_cast<const std::byte*>(c.from) + row * c.from_pitch;
      if (is_device(to) && is_device(from)) {
        copy_cells(to, from, c.width, moment, call);
        const Allocation &a = *allocation_of(to), &b = *allocation_of(from);
        std::memmove(a.host + (reinterpret_cast<std::uint64_t>(to) - a.address),
                     b.host + (reinterpret_cast<std::uint64_t>(from) - b.address), c.width);
      } else {
        const std::byte* source = side(from, c.width, AccessKind::read, moment, call);
        std::memmove(side(to, c.width, AccessKind::write, moment, call), source, c.width);
      }
    }
  } catch (const KernelFault& fault) {
    set_sticky_error(static_cast<cudaError_t>(fault.code));
  }
}

/// Device addresses that no allocation holds are never the host's to touch.
bool known_side(const void* p, std::size_t bytes, bool device) {
  return device ? is_device_range(p, bytes) : !is_device(p);
}

cudaError_t copy(const Copy& c, cudaMemcpyKind kind, Stream* stream, bool asynchronous, const char* call) {
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (c.width == 0 || c.height == 0) return cudaSuccess;
  if (kind == cudaMemcpyDefault)
    kind = is_device(c.to)     ? is_device(c.from) ? cudaMemcpyDeviceToDevice : cudaMemcpyHostToDevice
           : is_device(c.from) ? cudaMemcpyDeviceToHost
                               : cudaMemcpyHostToHost;
  const bool to_device = kind == cudaMemcpyHostToDevice || kind == cudaMemcpyDeviceToDevice;
  const bool from_device = kind == cudaMemcpyDeviceToHost || kind == cudaMemcpyDeviceToDevice;
  for (const std::size_t row : {std::size_t{0}, c.height - 1}) {
    const bool pinned_to = allocation_of(c.to) != nullptr && !is_device(c.to);
    const bool pinned_from = allocation_of(c.from) != nullptr && !is_device(c.from);
    if ((!known_side(static_cast<std::byte*>(c.to) + row * c.to_pitch, c.width, to_device) && !pinned_to) ||
        (!known_side(static_cast<const std::byte*>(c.from) + row * c.from_pitch, c.width, from_device) &&
         !pinned_from)) {
      report_copy("copy that leaves its memory, or whose direction is wrong,", call);
      return result(cudaErrorInvalidValue);
    }
  }
  if (kind == cudaMemcpyHostToDevice) calls().bytes_to_device += c.width * c.height;
  if (kind == cudaMemcpyDeviceToHost) calls().bytes_to_host += c.width * c.height;
  const bool pageable_from = !from_device && allocation_of(c.from) == nullptr;
  const bool pageable_to = !to_device && allocation_of(c.to) == nullptr;
  if (asynchronous && pageable_from) {
    // Memory that is not pinned is staged before the call returns.
    auto staged = std::make_shared<std::vector<std::byte>>(c.width * c.height);
    for (std::size_t row = 0; row < c.height; ++row)
      std::memcpy(staged->data() + row * c.width, static_cast<const std::byte*>(c.from) + row * c.from_pitch,
                  c.width);
    Copy from_stage = c;
    from_stage.from = staged->data();
    from_stage.from_pitch = c.width;
    queue().add(*stream, [from_stage, staged, call](Moment m) { run_copy(from_stage, m, call); });
  } else {
    queue().add(*stream, [c, call](Moment m) { run_copy(c, m, call); });
  }
  // Copies to memory that is not pinned return when they are done, as do the synchronous ones unless within
  // the device.
  if (pageable_to || (!asynchronous && kind != cudaMemcpyDeviceToDevice)) {
    ++calls().synchronizations;
    queue().synchronize(*stream);
  }
  return sticky_error();
}

cudaError_t fill(void* to, int value, std::size_t bytes, Stream* stream, const char* call) {
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  if (bytes == 0) return cudaSuccess;
  if (!is_device_range(to, bytes)) {
    report_copy("fill that leaves its memory", call);
    return result(cudaErrorInvalidValue);
  }
  queue().add(*stream, [=](Moment moment) {
    try {
      if (sticky_error() == cudaSuccess)
        std::memset(device_range(to, bytes, AccessKind::write, moment, call), value, bytes);
    } catch (const KernelFault& fault) {
      set_sticky_error(static_cast<cudaError_t>(fault.code));
    }
  });
  return sticky_error();
}

cudaError_t free_device(void* p, Stream* stream) {
  if (p == nullptr) return cudaSuccess;
  Allocation* a = allocation_of(p);
  if (a == nullptr || a->address != reinterpret_cast<std::uint64_t>(p) || a->host_memory) {
    report_copy("free of memory that is not allocated", "cudaFree");
    return result(cudaErrorInvalidValue);
  }
  if (stream == nullptr) {
    queue().synchronize();
    device_memory().free(*a);
  } else {
    queue().add(*stream, [a](Moment) { device_memory().free(*a); });
  }
  return sticky_error();
}

cudaError_t allocate_host(void** out, std::size_t bytes) {
  *out = std::aligned_alloc(4096, (std::max<std::size_t>(bytes, 1) + 4095) / 4096 * 4096);
  if (*out == nullptr) return result(cudaErrorMemoryAllocation);
  device_memory().adopt(*out, bytes);
  return cudaSuccess;
}

}  // namespace

std::byte* device_range(const void* address, std::size_t bytes, AccessKind kind, const Moment& moment,
                        const char* call) {
  Allocation* a = device_memory().find(reinterpret_cast<std::uint64_t>(address));
  const std::size_t offset = a == nullptr ? 0 : reinterpret_cast<std::uint64_t>(address) - a->address;
  if (a == nullptr || a->freed || offset + bytes > a->bytes) {
    const std::string what =
        a != nullptr && a->freed ? "use of freed device memory" : "device memory out of bounds";
    report_copy(what, call);
    throw KernelFault(cudaErrorIllegalAddress, what);
  }
  check_range(*a, offset, bytes, kind, moment, call);
  return a->host + offset;
}

bool is_device_range(const void* address, std::size_t bytes) {
  const Allocation* a = allocation_of(address);
  return a != nullptr && reinterpret_cast<std::uint64_t>(address) - a->address + bytes <= a->bytes;
}

}  // namespace gpuemu

using gpuemu::queue;
using gpuemu::result;
using gpuemu::stream_of;

extern "C" {

cudaError_t cudaMalloc(void** out, std::size_t bytes) {
  KARYON_GPUEMU_CALL();
  return gpuemu::allocate(out, bytes);
}

cudaError_t cudaFree(void* p) {
  KARYON_GPUEMU_CALL();
  return gpuemu::free_device(p, nullptr);
}

cudaError_t cudaMallocAsync(void** out, std::size_t bytes, cudaStream_t stream) {
  KARYON_GPUEMU_CALL();
  return stream_of(stream) == nullptr ? result(cudaErrorInvalidResourceHandle) : gpuemu::allocate(out, bytes);
}

cudaError_t cudaFreeAsync(void* p, cudaStream_t stream) {
  KARYON_GPUEMU_CALL();
  return stream_of(stream) == nullptr ? result(cudaErrorInvalidResourceHandle)
                                      : gpuemu::free_device(p, stream_of(stream));
}

cudaError_t cudaMallocHost(void** out, std::size_t bytes) {
  KARYON_GPUEMU_CALL();
  return gpuemu::allocate_host(out, bytes);
}

cudaError_t cudaHostAlloc(void** out, std::size_t bytes, unsigned) {
  KARYON_GPUEMU_CALL();
  return gpuemu::allocate_host(out, bytes);
}

cudaError_t cudaMallocManaged(void** out, std::size_t bytes, unsigned) {
  KARYON_GPUEMU_CALL();
  return gpuemu::allocate_host(out, bytes);
}

cudaError_t cudaFreeHost(void* p) {
  KARYON_GPUEMU_CALL();
  if (p == nullptr) return cudaSuccess;
  gpuemu::Allocation* a = gpuemu::allocation_of(p);
  if (a == nullptr || !a->host_memory || a->host != p) return result(cudaErrorInvalidValue);
  queue().synchronize();
  gpuemu::device_memory().free(*a);
  std::free(p);
  return gpuemu::sticky_error();
}

cudaError_t cudaHostRegister(void* p, std::size_t bytes, unsigned) {
  KARYON_GPUEMU_CALL();
  gpuemu::device_memory().adopt(p, bytes);
  return cudaSuccess;
}

cudaError_t cudaHostUnregister(void* p) {
  KARYON_GPUEMU_CALL();
  gpuemu::Allocation* a = gpuemu::allocation_of(p);
  if (a == nullptr || !a->host_memory || a->host != p) return result(cudaErrorInvalidValue);
  queue().synchronize();
  gpuemu::device_memory().free(*a);
  return gpuemu::sticky_error();
}

cudaError_t cudaHostGetDevicePointer(void** out, void* p, unsigned) {
  KARYON_GPUEMU_CALL();
  if (gpuemu::allocation_of(p) == nullptr) return result(cudaErrorInvalidValue);
  *out = p;
  return cudaSuccess;
}

cudaError_t cudaMemGetInfo(std::size_t* free, std::size_t* total) {
  KARYON_GPUEMU_CALL();
  *total = gpuemu::device_memory().limit();
  *free = *total - gpuemu::device_memory().used();
  return cudaSuccess;
}

cudaError_t cudaPointerGetAttributes(cudaPointerAttributes* out, const void* p) {
  KARYON_GPUEMU_CALL();
  const gpuemu::Allocation* a = gpuemu::allocation_of(p);
  *out = {};
  out->type = a == nullptr     ? cudaMemoryTypeUnregistered
              : a->host_memory ? cudaMemoryTypeHost
                               : cudaMemoryTypeDevice;
  out->devicePointer = a == nullptr ? nullptr : const_cast<void*>(p);
  out->hostPointer = a != nullptr && !a->host_memory ? nullptr : const_cast<void*>(p);
  return cudaSuccess;
}

cudaError_t cudaMemcpy(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind) {
  KARYON_GPUEMU_CALL();
  return gpuemu::copy({to, bytes, from, bytes, bytes, 1}, kind, &queue().default_stream(), false,
                      "cudaMemcpy");
}

cudaError_t cudaMemcpyAsync(void* to, const void* from, std::size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream) {
  KARYON_GPUEMU_CALL();
  return gpuemu::copy({to, bytes, from, bytes, bytes, 1}, kind, stream_of(stream), true, "cudaMemcpyAsync");
}

cudaError_t cudaMemcpy2D(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                         std::size_t width, std::size_t height, cudaMemcpyKind kind) {
  KARYON_GPUEMU_CALL();
  return gpuemu::copy({to, to_pitch, from, from_pitch, width, height}, kind, &queue().default_stream(), false,
                      "cudaMemcpy2D");
}

cudaError_t cudaMemcpy2DAsync(void* to, std::size_t to_pitch, const void* from, std::size_t from_pitch,
                              std::size_t width, std::size_t height, cudaMemcpyKind kind,
                              cudaStream_t stream) {
  KARYON_GPUEMU_CALL();
  return gpuemu::copy({to, to_pitch, from, from_pitch, width, height}, kind, stream_of(stream), true,
                      "cudaMemcpy2DAsync");
}

cudaError_t cudaMemset(void* to, int value, std::size_t bytes) {
  KARYON_GPUEMU_CALL();
  return gpuemu::fill(to, value, bytes, &queue().default_stream(), "cudaMemset");
}

cudaError_t cudaMemsetAsync(void* to, int value, std::size_t bytes, cudaStream_t stream) {
  KARYON_GPUEMU_CALL();
  return gpuemu::fill(to, value, bytes, stream_of(stream), "cudaMemsetAsync");
}

cudaError_t cudaGetSymbolAddress(void** out, const void* symbol) {
  KARYON_GPUEMU_CALL();
  std::uint64_t address = 0;
  std::size_t bytes = 0;
  if (!gpuemu::find_symbol(symbol, address, bytes)) return result(cudaErrorInvalidSymbol);
  *out = reinterpret_cast<void*>(address);
  return cudaSuccess;
}

cudaError_t cudaGetSymbolSize(std::size_t* out, const void* symbol) {
  KARYON_GPUEMU_CALL();
  std::uint64_t address = 0;
  return gpuemu::find_symbol(symbol, address, *out) ? cudaSuccess : result(cudaErrorInvalidSymbol);
}

cudaError_t cudaMemcpyToSymbol(const void* symbol, const void* from, std::size_t bytes, std::size_t offset,
                               cudaMemcpyKind kind) {
  void* to = nullptr;
  if (const cudaError_t error = cudaGetSymbolAddress(&to, symbol); error != cudaSuccess) return error;
  return cudaMemcpy(static_cast<std::byte*>(to) + offset, from, bytes, kind);
}

cudaError_t cudaMemcpyFromSymbol(void* to, const void* symbol, std::size_t bytes, std::size_t offset,
                                 cudaMemcpyKind kind) {
  void* from = nullptr;
  if (const cudaError_t error = cudaGetSymbolAddress(&from, symbol); error != cudaSuccess) return error;
  return cudaMemcpy(to, static_cast<std::byte*>(from) + offset, bytes, kind);
}

cudaError_t cudaMemcpyToSymbolAsync(const void* symbol, const void* from, std::size_t bytes,
                                    std::size_t offset, cudaMemcpyKind kind, cudaStream_t stream) {
  void* to = nullptr;
  if (const cudaError_t error = cudaGetSymbolAddress(&to, symbol); error != cudaSuccess) return error;
  return cudaMemcpyAsync(static_cast<std::byte*>(to) + offset, from, bytes, kind, stream);
}

}  // extern "C"
