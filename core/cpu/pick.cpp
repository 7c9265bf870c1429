#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/pick.h>
#include <karyon/core/parallel.h>

#include <algorithm>

namespace karyon {
namespace {

constexpr std::int64_t grain = 4096;  // elements that are worth a thread

void pick_cpu(const Tensor& x, const Tensor& index, Tensor& y) {
  const std::int64_t n = x.size(1), inner = x.size(2), k = index.size(1);
  const auto* at = index.data<std::int64_t>();
  dispatch_all(x.dtype(), [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    parallel_for(index.size(0) * k, std::max<std::int64_t>(grain / std::max<std::int64_t>(inner, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     const T* from = in + row / k * n * inner;
                     for (std::int64_t i = 0; i < inner; ++i)
                       out[row * inner + i] = from[at[row * inner + i] * inner + i];
                   }
                 });
  });
}

void put_cpu(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const std::int64_t n = dx.size(1), inner = dx.size(2), k = index.size(1);
  const auto* at = index.data<std::int64_t>();
  dispatch_all(dy.dtype(), [&]<class T>() {
    const T* in = dy.data<T>();
    T* out = dx.data<T>();
    parallel_for(dx.numel(), cpu::map_grain,
                 [&](std::int64_t begin, std::int64_t end) { std::fill(out + begin, out + end, T{}); });
    parallel_for(index.size(0) * k, std::max<std::int64_t>(grain / std::max<std::int64_t>(inner, 1), 1),
                 [&](std::int64_t begin, std::int64_t end) {
                   for (std::int64_t row = begin; row < end; ++row) {
                     T* to = out + row / k * n * inner;
                     for (std::int64_t i = 0; i < inner; ++i)
                       to[at[row * inner + i] * inner + i] = in[row * inner + i];
                   }
                 });
  });
}

}  // namespace

constinit decltype(kernels::pick) kernels::pick{"pick", pick_cpu};
constinit decltype(kernels::put) kernels::put{"put", put_cpu};

}  // namespace karyon
