// Dropout: one group of four Philox words per thread, for the four elements of one vector. The words are
// computed again in backward, so no mask is ever stored.
#include <cmath>

#include <karyon/core/kernels/dropout.h>
#include <karyon/core/random.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/scalar.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;

// Kept where the upper 24 bits of the word are at least `least`.
template <class T>
__global__ void __launch_bounds__(threads)
    dropout_kernel(const T* x, T* y, std::int64_t n, bool vectors, std::uint64_t seed, std::uint64_t first,
                   std::uint32_t least, float scale) {
  const std::int64_t group = std::int64_t{blockIdx.x} * threads + threadIdx.x, i = 4 * group;
  if (i >= n) return;
  const auto words = philox(seed, first + static_cast<std::uint64_t>(group));
  const bool whole = vectors && i + 4 <= n;
  float values[4] = {};
  if (whole) {
    load_vector<T, 4>(x + i, values);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (i + k < n) values[k] = to_float(x[i + k]);
  }
#pragma unroll
  for (int k = 0; k < 4; ++k)
    values[k] = words[static_cast<std::size_t>(k)] >> 8 >= least ? values[k] * scale : 0.0f;
  if (whole) {
    store_vector<T, 4>(y + i, values);
  } else {
#pragma unroll
    for (int k = 0; k < 4; ++k)
      if (i + k < n) y[i + k] = from_float<T>(values[k]);
  }
}

void dropout(const Tensor& x, double p, std::uint64_t seed, std::uint64_t first, Tensor& y) {
  check(x.dtype() == f32 || x.dtype() == bf16, "dropout: expects f32 or bf16 on cuda, got ", x.dtype());
  const auto least = static_cast<std::uint32_t>(std::ceil(p * 0x1p24));
  const float scale = p < 1 ? static_cast<float>(1 / (1 - p)) : 0.0f;
  auto run = [&]<class T>(const T* from, T* to) {
    launch(dropout_kernel<T>, grid_for(x.numel(), 4 * threads), threads, 0, from, to, x.numel(),
           aligned(4 * sizeof(T), from, to), seed, first, least, scale);
  };
  x.dtype() == f32 ? run(x.data<float>(), y.data<float>()) : run(x.data<BFloat16>(), y.data<BFloat16>());
}

}  // namespace

void register_dropout_kernels(KernelTable& table) {
  table.add<decltype(kernels::dropout), dropout>("dropout");
}

}  // namespace karyon::cuda
