#include <karyon/layers/resize.h>

namespace karyon {

Upsample::Upsample(const Factors& factors, const Options& options) : factors_(factors), options_(options) {
  for (const std::int64_t factor : factors.of)
    check(factor >= 1, "Upsample: expects a scale_factor of 1 or more, got ", factors.of);
}

Tensor Upsample::forward(Tensor x) {
  const Shape& factors = factors_.of;
  const int dims = x.dim() - 2;
  check(dims >= 1 && (factors.dims() == 1 || factors.dims() == dims), "Upsample: expects ",
        factors.dims() == 1 ? 3 : factors.dims() + 2, " dimensions, got ", x.shape());
  Shape size;
  for (int d = 0; d < dims; ++d)
    size.push_back(checked_mul(x.size(d + 1), factors[factors.dims() == 1 ? 0 : d], "Upsample"));
  return interpolate(x, size, options_);
}

}  // namespace karyon
