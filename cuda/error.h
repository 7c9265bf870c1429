#pragma once
#include <cuda_runtime_api.h>

#include <karyon/core/check.h>

// The only place that turns a status of the CUDA runtime into an exception.
namespace karyon::cuda {

inline void check_cuda(cudaError_t status, const char* call, const char* file, int line) {
  if (status == cudaSuccess) [[likely]]
    return;
  (void)cudaGetLastError();  // clears the error for the next call
  check(false, "cuda: ", call, ": ", cudaGetErrorString(status), " (", file, ":", line, ")");
}

}  // namespace karyon::cuda

/// Throws Error with the call, the place and CUDA's own words unless the call returns cudaSuccess.
#define KARYON_CUDA_CHECK(call) ::karyon::cuda::check_cuda((call), #call, __FILE__, __LINE__)
