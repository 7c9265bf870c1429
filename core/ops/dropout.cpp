#include <karyon/core/autograd.h>
#include <karyon/core/kernels/dropout.h>
#include <karyon/core/ops/dropout.h>
#include <karyon/core/ops/dtypes.h>

namespace karyon {

namespace {

// x without what chance drops. The gradient drops the same.
Tensor dropped(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first) {
  Tensor y = empty_like(x);
  kernels::dropout(x, p, seed, first, y);
  return record("dropout", y, {x}, twice_differentiable,
                [p, seed, first](const Tensor& dy) { return std::vector{dropped(dy, p, seed, first)}; });
}

}  // namespace

Tensor dropout(const Tensor& x, double p, bool training, Generator& generator) {
  check_computed("dropout", x);
  check(p >= 0 && p <= 1, "dropout: expects p in [0, 1], got ", p);
  if (!training || p == 0) return x;
  const std::uint64_t seed = generator.seed();
  const std::uint64_t first = generator.reserve(static_cast<std::uint64_t>((x.numel() + 3) / 4));
  return dropped(x, p, seed, first);
}

}  // namespace karyon
