// The gradient of a convolution in its bias: dy summed over everything but the channels.
#include <algorithm>
#include <vector>

#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace cpu {
namespace {

// A task sums one chunk of pixels. Chunks depend on the sizes alone and are added up in order, in double. The
// result has the same bits with any number of threads. Few channels are repeated until a row of sums fills
// whole vectors.
void conv2d_backward_bias(const Tensor& dy_tensor, Tensor& db_tensor) {
  dispatch_mapped(dy_tensor.dtype(), "conv2d_backward_bias", [&]<class S>() {
    using T = Computed<S>;
    const S* dy = dy_tensor.data<S>();
    T* db = db_tensor.data<T>();
    const std::int64_t k = db_tensor.numel(), lanes = round_up<std::int64_t>(32, k);
    const std::int64_t grain = 512 * lanes, chunks = ceil_div(dy_tensor.numel(), grain);
    std::vector<T> partial(static_cast<std::size_t>(chunks * lanes), T(0));
    parallel_for(dy_tensor.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
      T* sums = partial.data() + begin / grain * lanes;
      vectorized([=] {
        T* __restrict sum = sums;
        const S* __restrict from = dy;
        const auto value = [from](std::int64_t at) { return static_cast<T>(from[at]); };
        std::int64_t i = begin;
        for (; i + 4 * lanes <= end; i += 4 * lanes)
          for (std::int64_t c = 0; c < lanes; ++c)
            sum[c] +=
                (value(i + c) + value(i + lanes + c)) + (value(i + 2 * lanes + c) + value(i + 3 * lanes + c));
        for (; i < end; i += lanes)
          for (std::int64_t c = 0; c < std::min(lanes, end - i); ++c) sum[c] += value(i + c);
      });
    });
    for (std::int64_t c = 0; c < k; ++c) {
      double sum = 0;
      for (std::int64_t i = c; i < chunks * lanes; i += k)
        sum += static_cast<double>(partial[static_cast<std::size_t>(i)]);
      db[c] = static_cast<T>(sum);
    }
  });
}

}  // namespace
}  // namespace cpu

constinit decltype(kernels::conv2d_backward_bias) kernels::conv2d_backward_bias{"conv2d_backward_bias",
                                                                                cpu::conv2d_backward_bias};

}  // namespace karyon
