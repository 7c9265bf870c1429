// Launches: what a device would refuse is refused, and reported, since no program means it.
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "runtime.h"

namespace gpuemu {
namespace {

struct Configuration {
  dim3 grid, block;
  std::size_t shared;
  cudaStream_t stream;
};
thread_local std::vector<Configuration> configurations;  // between <<<...>>> and the launch

Machine& machine() {
  static auto* m = new Machine;
  return *m;
}

cudaError_t refuse(const Program& program, cudaError_t error, const std::string& why) {
  report(program.name + why, "launch of " + program.demangled() + " is refused: " + why);
  return result(error);
}

cudaError_t check_launch(const Program& p, const Kernel& kernel, const LaunchConfig& c) {
  const auto& [grid, block] = std::pair(c.grid, c.block);
  if (grid.count() == 0 || block.count() == 0)
    return refuse(p, cudaErrorInvalidConfiguration, "an empty grid or block");
  if (block.count() > 1024 || block.x > 1024 || block.y > 1024 || block.z > 64)
    return refuse(p, cudaErrorInvalidConfiguration, "a block of more than 1024 threads");
  if (grid.x > 0x7fffffffu || grid.y > 65535 || grid.z > 65535)
    return refuse(p, cudaErrorInvalidConfiguration, "a grid of more than 2^31-1 x 65535 x 65535 blocks");
  if (p.max_threads != 0 && block.count() > p.max_threads)
    return refuse(p, cudaErrorLaunchOutOfResources, "a block of more threads than its __launch_bounds__");
  const std::size_t total = p.shared_bytes + c.dynamic_shared;
  const std::size_t limit = kernel.dynamic_shared_limit < 0
                                ? profile()->shared_per_block
                                : p.shared_bytes + static_cast<std::size_t>(kernel.dynamic_shared_limit);
  if (total > std::max(limit, p.shared_bytes) || total > profile()->shared_per_block_optin)
    return refuse(p, cudaErrorInvalidValue,
                  "more shared memory than allowed (cudaFuncSetAttribute raises the limit)");
  return cudaSuccess;
}

struct Totals {
  std::uint64_t instructions = 0;
  double seconds = 0;
};
Totals totals;

double processor_seconds() {
  timespec t{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return static_cast<double>(t.tv_sec) + 1e-9 * static_cast<double>(t.tv_nsec);
}

void print_totals() {
  std::fprintf(stderr, "gpuemu: %llu warp instructions in %.3f s of one core: %.1f million per second\n",
               static_cast<unsigned long long>(totals.instructions), totals.seconds,
               static_cast<double>(totals.instructions) / totals.seconds / 1e6);
}

void run(const Program& program, const LaunchConfig& config, Moment moment) {
  if (sticky_error() != cudaSuccess) return;
  static const bool timing = std::getenv("GPUEMU_TIME") != nullptr && std::atexit(print_totals) == 0;
  const double begin = processor_seconds();
  try {
    machine().launch(program, config, moment);
  } catch (const KernelFault& fault) {
    set_sticky_error(static_cast<cudaError_t>(fault.code));
  }
  queue().last_interval = machine().next_interval();
  if (timing) {
    totals.instructions += machine().executed();
    totals.seconds += processor_seconds() - begin;
  }
}

cudaError_t launch(const void* function, dim3 grid, dim3 block, void** arguments, std::size_t shared,
                   cudaStream_t handle) {
  KARYON_GPUEMU_CALL();
  Kernel* kernel = find_kernel(function);
  Stream* stream = stream_of(handle);
  if (kernel == nullptr) return result(cudaErrorInvalidDeviceFunction);
  if (stream == nullptr) return result(cudaErrorInvalidResourceHandle);
  try {
    const Program& program = kernel->program();
    LaunchConfig config;
    config.grid = {grid.x, grid.y, grid.z};
    config.block = {block.x, block.y, block.z};
    config.dynamic_shared = shared;
    if (const cudaError_t error = check_launch(program, *kernel, config); error != cudaSuccess) return error;
    config.parameters.resize(program.parameter_bytes);
    for (std::size_t i = 0; i < program.parameters.size(); ++i)
      std::memcpy(config.parameters.data() + program.parameters[i].offset, arguments[i],
                  program.parameters[i].bytes);
    ++calls().launches;
    queue().add(*stream,
                [&program, config = std::move(config)](Moment moment) { run(program, config, moment); });
  } catch (const PtxError& error) {
    stop(error.what());
  }
  return sticky_error();
}

}  // namespace
}  // namespace gpuemu

using gpuemu::configurations;

extern "C" {

unsigned __cudaPushCallConfiguration(dim3 grid, dim3 block, std::size_t shared, CUstream_st* stream) {
  configurations.push_back({grid, block, shared, stream});
  return 0;
}

cudaError_t __cudaPopCallConfiguration(dim3* grid, dim3* block, std::size_t* shared, void* stream) {
  if (configurations.empty()) return gpuemu::result(cudaErrorMissingConfiguration);
  const auto c = configurations.back();
  configurations.pop_back();
  *grid = c.grid;
  *block = c.block;
  *shared = c.shared;
  *static_cast<cudaStream_t*>(stream) = c.stream;
  return cudaSuccess;
}

cudaError_t __cudaLaunchKernel(cudaKernel_t kernel, dim3 grid, dim3 block, void** arguments,
                               std::size_t shared, cudaStream_t stream) {
  return gpuemu::launch(kernel, grid, block, arguments, shared, stream);
}

cudaError_t cudaLaunchKernel(const void* function, dim3 grid, dim3 block, void** arguments,
                             std::size_t shared, cudaStream_t stream) {
  return gpuemu::launch(function, grid, block, arguments, shared, stream);
}

cudaError_t cudaLaunchKernelExC(const cudaLaunchConfig_t* c, const void* function, void** arguments) {
  if (c->numAttrs != 0) gpuemu::stop("cudaLaunchKernelExC: launch attributes are not supported");
  return gpuemu::launch(function, c->gridDim, c->blockDim, arguments, c->dynamicSmemBytes, c->stream);
}

cudaError_t cudaFuncSetAttribute(const void* function, cudaFuncAttribute attribute, int value) {
  KARYON_GPUEMU_CALL();
  gpuemu::Kernel* kernel = gpuemu::find_kernel(function);
  if (kernel == nullptr) return gpuemu::result(cudaErrorInvalidDeviceFunction);
  if (attribute == cudaFuncAttributePreferredSharedMemoryCarveout) return cudaSuccess;
  if (attribute != cudaFuncAttributeMaxDynamicSharedMemorySize) return gpuemu::result(cudaErrorNotSupported);
  const std::size_t total = kernel->program().shared_bytes + static_cast<std::size_t>(std::max(value, 0));
  if (value < 0 || total > gpuemu::profile()->shared_per_block_optin)
    return gpuemu::result(cudaErrorInvalidValue);
  kernel->dynamic_shared_limit = value;
  return cudaSuccess;
}

cudaError_t cudaFuncGetAttributes(cudaFuncAttributes* attributes, const void* function) {
  KARYON_GPUEMU_CALL();
  gpuemu::Kernel* kernel = gpuemu::find_kernel(function);
  if (kernel == nullptr) return gpuemu::result(cudaErrorInvalidDeviceFunction);
  const gpuemu::Program& p = kernel->program();
  *attributes = {};
  attributes->sharedSizeBytes = p.shared_bytes;
  attributes->localSizeBytes = p.local_bytes;
  attributes->maxThreadsPerBlock = p.max_threads != 0 ? static_cast<int>(p.max_threads) : 1024;
  attributes->numRegs = 32;  // only ptxas knows
  attributes->ptxVersion = attributes->binaryVersion =
      gpuemu::profile()->major * 10 + gpuemu::profile()->minor;
  attributes->maxDynamicSharedSizeBytes =
      kernel->dynamic_shared_limit >= 0
          ? kernel->dynamic_shared_limit
          : static_cast<int>(gpuemu::profile()->shared_per_block - p.shared_bytes);
  return cudaSuccess;
}

cudaError_t cudaFuncSetCacheConfig(const void*, cudaFuncCache) { return cudaSuccess; }

/// By threads and shared memory; registers are not known here.
cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(int* blocks, const void* function,
                                                                   int threads, std::size_t shared,
                                                                   unsigned) {
  KARYON_GPUEMU_CALL();
  gpuemu::Kernel* kernel = gpuemu::find_kernel(function);
  if (kernel == nullptr) return gpuemu::result(cudaErrorInvalidDeviceFunction);
  const auto& p = *gpuemu::profile();
  if (threads <= 0 || threads > 1024) {
    *blocks = 0;
    return cudaSuccess;
  }
  const std::size_t bytes =
      kernel->program().shared_bytes + shared + 1024;  // 1 KiB of each block is the system's
  *blocks = std::min({p.threads_per_multiprocessor / ((threads + 31) / 32 * 32), p.blocks_per_multiprocessor,
                      static_cast<int>(p.shared_per_multiprocessor / bytes)});
  return cudaSuccess;
}

cudaError_t cudaOccupancyMaxActiveBlocksPerMultiprocessor(int* blocks, const void* function, int threads,
                                                          std::size_t shared) {
  return cudaOccupancyMaxActiveBlocksPerMultiprocessorWithFlags(blocks, function, threads, shared, 0);
}

}  // extern "C"
