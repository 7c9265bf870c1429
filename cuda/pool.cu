#include <karyon/core/ops/pool.h>
#include <karyon/cuda/backend.h>

namespace karyon::cuda {

void register_pool_kernels(KernelTable&) {}

}  // namespace karyon::cuda
