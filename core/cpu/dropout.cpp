#include <cmath>

#include <karyon/core/ops/dropout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

template <class T>
void dropout_typed(const T* x, double p, std::uint64_t seed, std::uint64_t first, T* y, std::int64_t n) {
  // to_uniform(word) >= p, in integers: its 24 bits are a whole number of 2^-24.
  const auto least = static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
  const T scale = p < 1 ? static_cast<T>(1 / (1 - p)) : T(0);
  parallel_for((n + 3) / 4, 4096, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t g = b; g < e; ++g) {
      const auto words = philox(seed, first + static_cast<std::uint64_t>(g));
      const std::int64_t end = std::min<std::int64_t>(4, n - 4 * g);
      for (std::int64_t k = 0; k < end; ++k)
        y[4 * g + k] = (words[static_cast<std::size_t>(k)] >> 8) >= least ? x[4 * g + k] * scale : T(0);
    }
  });
}

void dropout_cpu(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first, Tensor& y) {
  dispatch_floating(x.dtype(), "dropout",
                    [&]<class T>() { dropout_typed(x.data<T>(), p, seed, first, y.data<T>(), x.numel()); });
}

}  // namespace

constinit Kernel<void(const Tensor&, double, std::uint64_t, std::uint64_t, Tensor&)> kernels::dropout{
    "dropout", dropout_cpu};

}  // namespace karyon
