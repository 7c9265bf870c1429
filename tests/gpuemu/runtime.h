#pragma once
#include <cuda_runtime_api.h>

#include <map>
#include <memory>
#include <mutex>
#include <string>

#include "decoder.h"
#include "machine.h"
#include "queue.h"

/// What the parts of the stand-in runtime share.
namespace gpuemu {

struct Profile {
  const char* name;
  int major, minor, multiprocessors;
  std::size_t memory, shared_per_block, shared_per_block_optin, shared_per_multiprocessor;
  int threads_per_multiprocessor, blocks_per_multiprocessor, l2_bytes, bus_bits, memory_khz, clock_khz;
};

/// The device that is pretended: GPUEMU_DEVICE=a100 (default), h100, t4; nullptr for "none".
const Profile* profile();

/// A module as registered; parsed when it is first needed.
class Module {
 public:
  explicit Module(const void* fat_binary);

  const PtxModule& ptx();
  /// Device addresses of the variables.
  const SymbolTable& symbols();

 private:
  std::string text_;
  std::unique_ptr<PtxModule> ptx_;
  SymbolTable symbols_;
};

struct Kernel {
  Module* module;
  std::string name;
  std::unique_ptr<Program> decoded;
  int dynamic_shared_limit = -1;  // set by cudaFuncSetAttribute

  const Program& program();
};

/// The kernel of a host function, or of a handle that __cudaGetKernel gave; nullptr if unknown.
Kernel* find_kernel(const void* function);
/// The address and size of a __device__ or __constant__ variable by its host shadow.
bool find_symbol(const void* host, std::uint64_t& address, std::size_t& bytes);

/// What happened is kept for cudaGetLastError, as the real runtime does. A sticky error stays.
cudaError_t result(cudaError_t error);
cudaError_t sticky_error();
void set_sticky_error(cudaError_t error);

/// The stream of a handle: default, legacy and per thread included; nullptr if unknown.
Stream* stream_of(cudaStream_t handle);

/// Ends the process: what the emulator does not know.
[[noreturn]] void stop(const std::string& why);

/// Accesses of copies and fills: checked like those of kernels. `what` names the call in reports.
std::byte* device_range(const void* address, std::size_t bytes, AccessKind kind, const Moment& moment,
                        const char* what);
bool is_device_range(const void* address, std::size_t bytes);

/// What the program has asked of the device so far.
struct Calls {
  std::uint64_t launches, synchronizations, bytes_to_device, bytes_to_host;
};
Calls& calls();

/// One call into the runtime: the lock, and the answer where there is no device or where an error sticks.
#define KARYON_GPUEMU_CALL()                                                      \
  const std::lock_guard gpuemu_lock(::gpuemu::queue().mutex);                     \
  if (::gpuemu::profile() == nullptr) return ::gpuemu::result(cudaErrorNoDevice); \
  if (::gpuemu::sticky_error() != cudaSuccess) return ::gpuemu::sticky_error()

}  // namespace gpuemu
