#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>

namespace karyon::cuda {
namespace {

// The device all tensors live on.
struct Device0 {
  cudaDeviceProp properties{};
  cudaStream_t stream = nullptr;

  Device0() {
    KARYON_CUDA_CHECK(cudaSetDevice(0));
    KARYON_CUDA_CHECK(cudaGetDeviceProperties(&properties, 0));
    KARYON_CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  }
};

}  // namespace

Context& context() {
  // Neither is ever destroyed: tensors may die after the thread's and the program's own objects.
  static const Device0* device = new Device0;
  thread_local Context* mine = nullptr;
  if (!mine) {
    KARYON_CUDA_CHECK(cudaSetDevice(0));
    mine = new Context{.stream = device->stream, .device = 0, .properties = device->properties};
  }
  return *mine;
}

StreamGuard::StreamGuard(cudaStream_t stream) : before_(context().stream) { context().stream = stream; }
StreamGuard::~StreamGuard() { context().stream = before_; }

}  // namespace karyon::cuda
