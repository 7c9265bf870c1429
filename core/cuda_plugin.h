#pragma once
#include <cstddef>
#include <string>

#include <karyon/core/backend.h>

// The interface between core and the CUDA backend. The backend is a separate shared library. One build thus
// runs on machines with and without a GPU, a driver or the CUDA libraries. The library exports two C
// functions.
namespace karyon::cuda_plugin {

/// karyon_cuda_open: the backend, or nullptr and in `why` the reason in one line. `abi` is what core was
/// built with (KARYON_CUDA_ABI); the plugin refuses any other.
using Open = Backend*(const char* abi, char* why, std::size_t size);
/// karyon_cuda_kernel: a kernel by its name, or nullptr.
using FindKernel = void (*(const char* name))();

}  // namespace karyon::cuda_plugin
