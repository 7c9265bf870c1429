#pragma once
#include <cuda_runtime_api.h>

#include <karyon/core/check.h>
#include <karyon/cuda/operation.h>

// The only place that turns a status of the CUDA runtime into an exception.
namespace karyon::cuda {

/// Whether the status tells of a kernel that failed while it ran: perhaps of an earlier one than the last.
constexpr bool is_fault(cudaError_t status) {
  switch (status) {
    case cudaErrorIllegalAddress:
    case cudaErrorMisalignedAddress:
    case cudaErrorInvalidAddressSpace:
    case cudaErrorInvalidPc:
    case cudaErrorIllegalInstruction:
    case cudaErrorHardwareStackError:
    case cudaErrorECCUncorrectable:
    case cudaErrorLaunchTimeout:
    case cudaErrorLaunchFailure: return true;
    default: return false;
  }
}

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // clears the error for the next call
  const char* const operation = Operation::current();
  check(false, "cuda: ", operation ? operation : "", operation ? ": " : "", call, ": ",
        cudaGetErrorString(status), " (", file, ":", line, ")",
        is_fault(status)
            ? "; an earlier operation may have failed: CUDA_LAUNCH_BLOCKING=1 in the environment "
              "shows which"
            : "");
}

}  // namespace karyon::cuda

/// Throws Error with the operation, the call, the place and CUDA's own words unless the call returns
/// cudaSuccess.
#define KARYON_CUDA_CHECK(call) ::karyon::cuda::check_cuda((call), #call, __FILE__, __LINE__)
