#include <karyon/core/ops/layout.h>
#include <karyon/cuda/backend.h>

namespace karyon::cuda {

void register_layout_kernels(KernelTable&) {}

}  // namespace karyon::cuda
