// Must not compile: int is not an element type.
#include <karyon/core/tensor.h>

std::vector<int> values(const karyon::Tensor& x) { return x.to_vector<int>(); }
