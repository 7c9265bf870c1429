// Sums of weighted rows. A thread writes one element and adds its terms in order.
#include <karyon/core/kernels/mix.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

constexpr int threads = 256;

__global__ void __launch_bounds__(threads)
    mix_rows_kernel(const float* x, const std::int64_t* starts, const std::int64_t* rows,
                    const float* weights, float* y, std::int64_t count, std::int64_t size, std::int64_t n,
                    std::int64_t inner) {
  const std::int64_t i = std::int64_t{blockIdx.x} * threads + threadIdx.x;
  if (i >= count) return;
  std::int64_t k, j;
  const std::int64_t o = divide(divide(i, inner, k), n, j);
  const float* from = x + o * size * inner + k;
  const std::int64_t begin = starts[j], end = starts[j + 1];
  float sum = 0;
#pragma unroll 1
  for (std::int64_t t = begin; t < end; ++t) {
    const float term = weights[t] * from[rows[t] * inner];
    sum = t == begin ? term : sum + term;
  }
  y[i] = sum;
}

void mix_rows(const Tensor& x, const Tensor& starts, const Tensor& rows, const Tensor& weights, Tensor& y) {
  check_f32("mix_rows", x);
  launch(mix_rows_kernel, grid_for(y.numel(), threads), threads, 0, x.data<float>(),
         starts.data<std::int64_t>(), rows.data<std::int64_t>(), weights.data<float>(), y.data<float>(),
         y.numel(), x.size(1), y.size(1), y.size(2));
}

}  // namespace

void register_mix_kernels(KernelTable& table) {
  table.add<decltype(kernels::mix_rows), mix_rows>("mix_rows");
}

}  // namespace karyon::cuda
