// Whether this library has machine code, or PTX that the driver takes, for the device.
#include <karyon/cuda/backend.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/launch.cuh>

namespace karyon::cuda {
namespace {

__global__ void __launch_bounds__(32) nothing() {}

}  // namespace

void check_code() {
  cudaFuncAttributes attributes{};
  const cudaError_t status = cudaFuncGetAttributes(&attributes, nothing);
  (void)cudaGetLastError();
  const cudaDeviceProp& device = context().properties;
  check(status == cudaSuccess, device.name, " has compute capability ", device.major, ".", device.minor,
        ", this build needs ", KARYON_CUDA_OLDEST, " or later: ", cudaGetErrorString(status));
}

}  // namespace karyon::cuda
