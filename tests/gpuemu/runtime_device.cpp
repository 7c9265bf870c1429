// The pretended device, and errors.
#include <cstdio>
#include <cstdlib>

#include "runtime.h"

namespace gpuemu {
namespace {

constexpr Profile profiles[] = {
    {"a100", 8, 0, 108, std::size_t{40} << 30, 49152, 166912, 167936, 2048, 32, 41943040, 5120, 1215000,
     1410000},
    {"h100", 9, 0, 132, std::size_t{80} << 30, 49152, 232448, 233472, 2048, 32, 52428800, 5120, 2619000,
     1980000},
    {"t4", 7, 5, 40, std::size_t{15} << 30, 49152, 65536, 65536, 1024, 16, 4194304, 256, 5001000, 1590000},
};

cudaError_t sticky = cudaSuccess;
thread_local cudaError_t last = cudaSuccess;

/// Every process says at once that no device computes here.
[[gnu::constructor]] void announce() {
  fail_process_on_reports();
  if (profile() == nullptr)
    std::fprintf(stderr, "gpuemu: emulated: no device\n");
  else
    std::fprintf(stderr, "gpuemu: emulated: kernels run on the CPU, as on a device like %s\n",
                 profile()->name);
}

}  // namespace

const Profile* profile() {
  static const Profile* const chosen = []() -> const Profile* {
    const char* name = std::getenv("GPUEMU_DEVICE");
    if (name == nullptr || *name == '\0') return &profiles[0];
    for (const Profile& p : profiles)
      if (std::strcmp(p.name, name) == 0) return &p;
    if (std::strcmp(name, "none") == 0) return nullptr;
    stop("GPUEMU_DEVICE: expected a100, h100, t4 or none, got " + std::string(name));
  }();
  return chosen;
}

Calls& calls() {
  static Calls counted{};
  return counted;
}

cudaError_t result(cudaError_t error) {
  if (error != cudaSuccess) last = error;
  return error;
}

cudaError_t sticky_error() { return sticky; }

void set_sticky_error(cudaError_t error) {
  if (sticky == cudaSuccess) sticky = error;
}

}  // namespace gpuemu

using gpuemu::profile;
using gpuemu::result;

extern "C" {

/// Not of CUDA: counts for tests, which look the function up by name.
void cudaEmulatedCalls(gpuemu::Calls* out) {
  const std::lock_guard lock(gpuemu::queue().mutex);
  *out = gpuemu::calls();
}

cudaError_t cudaGetDeviceCount(int* count) {
  if (profile() == nullptr) return result(cudaErrorNoDevice);
  *count = 1;
  return cudaSuccess;
}

cudaError_t cudaGetDevice(int* device) {
  if (profile() == nullptr) return result(cudaErrorNoDevice);
  *device = 0;
  return cudaSuccess;
}

cudaError_t cudaSetDevice(int device) {
  if (profile() == nullptr) return result(cudaErrorNoDevice);
  return device == 0 ? cudaSuccess : result(cudaErrorInvalidDevice);
}

cudaError_t cudaSetDeviceFlags(unsigned) { return cudaSuccess; }
cudaError_t cudaInitDevice(int device, unsigned, unsigned) { return cudaSetDevice(device); }

cudaError_t cudaGetDeviceProperties(cudaDeviceProp* out, int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  const gpuemu::Profile& p = *profile();
  *out = {};
  std::snprintf(out->name, sizeof out->name, "emulated device like %s", p.name);
  out->totalGlobalMem = p.memory;
  out->sharedMemPerBlock = p.shared_per_block;
  out->sharedMemPerBlockOptin = p.shared_per_block_optin;
  out->sharedMemPerMultiprocessor = p.shared_per_multiprocessor;
  out->reservedSharedMemPerBlock = 1024;
  out->regsPerBlock = out->regsPerMultiprocessor = 65536;
  out->warpSize = 32;
  out->memPitch = 2147483647;
  out->maxThreadsPerBlock = 1024;
  out->maxThreadsDim[0] = out->maxThreadsDim[1] = 1024;
  out->maxThreadsDim[2] = 64;
  out->maxGridSize[0] = 2147483647;
  out->maxGridSize[1] = out->maxGridSize[2] = 65535;
  out->totalConstMem = 65536;
  out->major = p.major;
  out->minor = p.minor;
  out->multiProcessorCount = p.multiprocessors;
  out->maxThreadsPerMultiProcessor = p.threads_per_multiprocessor;
  out->maxBlocksPerMultiProcessor = p.blocks_per_multiprocessor;
  out->l2CacheSize = p.l2_bytes;
  out->memoryBusWidth = p.bus_bits;
  out->textureAlignment = 512;
  out->unifiedAddressing = out->managedMemory = out->concurrentKernels = 1;
  out->canMapHostMemory = out->streamPrioritiesSupported = out->memoryPoolsSupported = 1;
  out->asyncEngineCount = 3;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetAttribute(int* value, cudaDeviceAttr attribute, int device) {
  if (const cudaError_t error = cudaSetDevice(device); error != cudaSuccess) return error;
  const gpuemu::Profile& p = *profile();
  switch (attribute) {
    case cudaDevAttrMaxThreadsPerBlock:
    case cudaDevAttrMaxBlockDimX:
    case cudaDevAttrMaxBlockDimY: *value = 1024; break;
    case cudaDevAttrMaxBlockDimZ: *value = 64; break;
    case cudaDevAttrMaxGridDimX: *value = 2147483647; break;
    case cudaDevAttrMaxGridDimY:
    case cudaDevAttrMaxGridDimZ: *value = 65535; break;
    case cudaDevAttrMaxSharedMemoryPerBlock: *value = static_cast<int>(p.shared_per_block); break;
    case cudaDevAttrMaxSharedMemoryPerBlockOptin: *value = static_cast<int>(p.shared_per_block_optin); break;
    case cudaDevAttrMaxSharedMemoryPerMultiprocessor:
      *value = static_cast<int>(p.shared_per_multiprocessor);
      break;
    case cudaDevAttrReservedSharedMemoryPerBlock: *value = 1024; break;
    case cudaDevAttrTotalConstantMemory: *value = 65536; break;
    case cudaDevAttrWarpSize: *value = 32; break;
    case cudaDevAttrMaxRegistersPerBlock:
    case cudaDevAttrMaxRegistersPerMultiprocessor: *value = 65536; break;
    case cudaDevAttrClockRate: *value = p.clock_khz; break;
    case cudaDevAttrMemoryClockRate: *value = p.memory_khz; break;
    case cudaDevAttrGlobalMemoryBusWidth: *value = p.bus_bits; break;
    case cudaDevAttrL2CacheSize: *value = p.l2_bytes; break;
    case cudaDevAttrMultiProcessorCount: *value = p.multiprocessors; break;
    case cudaDevAttrMaxThreadsPerMultiProcessor: *value = p.threads_per_multiprocessor; break;
    case cudaDevAttrMaxBlocksPerMultiprocessor: *value = p.blocks_per_multiprocessor; break;
    case cudaDevAttrComputeCapabilityMajor: *value = p.major; break;
    case cudaDevAttrComputeCapabilityMinor: *value = p.minor; break;
    case cudaDevAttrUnifiedAddressing:
    case cudaDevAttrManagedMemory:
    case cudaDevAttrConcurrentKernels:
    case cudaDevAttrMemoryPoolsSupported:
    case cudaDevAttrStreamPrioritiesSupported:
    case cudaDevAttrCanMapHostMemory: *value = 1; break;
    case cudaDevAttrCooperativeLaunch:
    case cudaDevAttrComputeMode:
    case cudaDevAttrEccEnabled: *value = 0; break;
    case cudaDevAttrAsyncEngineCount: *value = 3; break;
    default:
      gpuemu::stop("cudaDeviceGetAttribute: attribute " + std::to_string(static_cast<int>(attribute)) +
                   " is not known");
  }
  return cudaSuccess;
}

cudaError_t cudaDeviceSynchronize() {
  KARYON_GPUEMU_CALL();
  ++gpuemu::calls().synchronizations;
  gpuemu::queue().synchronize();
  return gpuemu::sticky_error();
}

cudaError_t cudaDeviceReset() { return cudaDeviceSynchronize(); }

cudaError_t cudaDriverGetVersion(int* version) {
  *version = profile() == nullptr ? 0 : 13000;
  return cudaSuccess;
}

cudaError_t cudaRuntimeGetVersion(int* version) {
  *version = 13000;
  return cudaSuccess;
}

cudaError_t cudaDeviceGetStreamPriorityRange(int* least, int* greatest) {
  *least = 0;
  *greatest = -5;
  return cudaSuccess;
}

cudaError_t cudaDeviceCanAccessPeer(int* can, int, int) {
  *can = 0;
  return cudaSuccess;
}

cudaError_t cudaGetLastError() {
  const std::lock_guard lock(gpuemu::queue().mutex);
  const cudaError_t error = gpuemu::sticky != cudaSuccess ? gpuemu::sticky : gpuemu::last;
  gpuemu::last = cudaSuccess;
  return error;
}

cudaError_t cudaPeekAtLastError() {
  const std::lock_guard lock(gpuemu::queue().mutex);
  return gpuemu::sticky != cudaSuccess ? gpuemu::sticky : gpuemu::last;
}

const char* cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "cudaSuccess";
    case cudaErrorInvalidValue: return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation: return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration: return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDeviceFunction: return "cudaErrorInvalidDeviceFunction";
    case cudaErrorNoDevice: return "cudaErrorNoDevice";
    case cudaErrorInvalidDevice: return "cudaErrorInvalidDevice";
    case cudaErrorInvalidResourceHandle: return "cudaErrorInvalidResourceHandle";
    case cudaErrorNotReady: return "cudaErrorNotReady";
    case cudaErrorIllegalAddress: return "cudaErrorIllegalAddress";
    case cudaErrorLaunchOutOfResources: return "cudaErrorLaunchOutOfResources";
    case cudaErrorMisalignedAddress: return "cudaErrorMisalignedAddress";
    case cudaErrorLaunchFailure: return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported: return "cudaErrorNotSupported";
    default: return "cudaErrorUnknown";
  }
}

const char* cudaGetErrorString(cudaError_t error) {
  switch (error) {
    case cudaSuccess: return "no error";
    case cudaErrorInvalidValue: return "invalid argument (emulated)";
    case cudaErrorMemoryAllocation: return "out of memory (emulated)";
    case cudaErrorInvalidConfiguration: return "invalid configuration argument (emulated)";
    case cudaErrorInvalidDeviceFunction: return "invalid device function (emulated)";
    case cudaErrorNoDevice: return "no CUDA-capable device is detected (emulated)";
    case cudaErrorInvalidDevice: return "invalid device ordinal (emulated)";
    case cudaErrorInvalidResourceHandle: return "invalid resource handle (emulated)";
    case cudaErrorNotReady: return "device not ready (emulated)";
    case cudaErrorIllegalAddress: return "an illegal memory access was encountered (emulated)";
    case cudaErrorLaunchOutOfResources: return "too many resources requested for launch (emulated)";
    case cudaErrorMisalignedAddress: return "misaligned address (emulated)";
    case cudaErrorLaunchFailure: return "unspecified launch failure (emulated)";
    case cudaErrorNotSupported: return "operation not supported (emulated)";
    default: return "unknown error (emulated)";
  }
}

}  // extern "C"
