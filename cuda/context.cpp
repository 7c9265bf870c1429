#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>

namespace karyon::cuda {
namespace {

// The device all tensors live on.
constexpr int device = 0;

const Context* make_context() {
  KARYON_CUDA_CHECK(cudaSetDevice(device));
  auto* properties = new cudaDeviceProp{};
  KARYON_CUDA_CHECK(cudaGetDeviceProperties(properties, device));
  cudaStream_t stream = nullptr;
  KARYON_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return new Context{.stream = stream, .device = device, .properties = *properties};
}

}  // namespace

const Context& context() {
  // Never destroyed: tensors may die after the thread's and the program's own objects.
  static const Context* const shared = make_context();
  thread_local bool chosen = false;
  if (!chosen) {
    KARYON_CUDA_CHECK(cudaSetDevice(device));
    chosen = true;
  }
  return *shared;
}

}  // namespace karyon::cuda
