// Must not compile: short is not an element type.
#include <karyon/core/tensor.h>

std::vector<short> values(const karyon::Tensor& x) { return x.to_vector<short>(); }
