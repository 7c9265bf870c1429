#include <karyon/core/ops/resize.h>
#include <karyon/cuda/backend.h>

namespace karyon::cuda {

void register_resize_kernels(KernelTable&) {}

}  // namespace karyon::cuda
