#pragma once
#include <atomic>
#include <cstddef>
#include <string>

#include <karyon/core/backend.h>

// The interface between core and the CUDA backend. The backend is a separate shared library. One build thus
// runs on machines with and without a GPU, a driver or the CUDA libraries. The library exports two C
// functions.
namespace karyon::cuda_plugin {

/// What core tells the backend. The program may change it at any time.
struct Settings {
  const std::atomic<bool>& tf32;  ///< whether products of f32 may round their inputs to TF32
};
/// karyon_cuda_open: the backend, or nullptr and in `why` the reason in one line. `abi` is what core was
/// built with (KARYON_CUDA_ABI); the plugin refuses any other.
using Open = Backend*(const char* abi, const Settings& settings, char* why, std::size_t size);
/// karyon_cuda_kernel: a kernel by its name, or nullptr.
using FindKernel = void (*(const char* name))();

/// Settings::tf32: what set_float32_matmul_precision has set.
const std::atomic<bool>& tf32_allowed();

}  // namespace karyon::cuda_plugin
