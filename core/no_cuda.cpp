// The seam when there is no CUDA backend in this build.
#include <karyon/core/backend.h>

namespace karyon {
Backend* make_cuda_backend() { return nullptr; }
}  // namespace karyon
