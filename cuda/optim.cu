#include <karyon/core/optim/adam.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/cuda/backend.h>

namespace karyon::cuda {

void register_optim_kernels(KernelTable&) {}

}  // namespace karyon::cuda
