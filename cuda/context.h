#pragma once
#include <cuda_runtime_api.h>

namespace karyon::cuda {

/// The stream for all work. All threads share it, so a tensor of one thread can be read by another without
/// further steps, and a block of memory that is freed can be handed out again at once.
struct Context {
  const cudaStream_t stream;
  const int device;
  const cudaDeviceProp& properties;
};

/// The context, with its device made the calling thread's. Throws Error if the device refuses.
const Context& context();

/// Whether products of f32 may round their inputs to TF32: set_float32_matmul_precision("high").
bool tf32_allowed();

}  // namespace karyon::cuda
