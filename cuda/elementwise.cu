#include <karyon/core/ops/elementwise.h>
#include <karyon/cuda/backend.h>

namespace karyon::cuda {

void register_elementwise_kernels(KernelTable&) {}

}  // namespace karyon::cuda
