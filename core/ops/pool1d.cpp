#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/pool1d.h>
#include <karyon/core/ops/pooling.h>

namespace karyon {
namespace {

// [N, L, C] as [N, 1, L, C], and back.
Tensor with_height(const Tensor& x) { return x.reshape({x.size(0), 1, x.size(1), x.size(2)}); }
Tensor without_height(const Tensor& x) { return x.reshape({x.size(0), x.size(2), x.size(3)}); }

}  // namespace

Tensor max_pool1d(const Tensor& x, const MaxPool1dOptions& o) {
  const std::int64_t stride = o.stride.value_or(o.kernel_size);
  pooling::check_windows("max_pool1d", x, {{o.kernel_size, stride, o.padding, o.dilation}}, o.ceil_mode);
  return without_height(max_pool2d(with_height(x), {.kernel_size = {1, o.kernel_size},
                                                    .stride = Pair(1, stride),
                                                    .padding = {0, o.padding},
                                                    .dilation = {1, o.dilation},
                                                    .ceil_mode = o.ceil_mode}));
}

Tensor avg_pool1d(const Tensor& x, const AvgPool1dOptions& o) {
  const std::int64_t stride = o.stride.value_or(o.kernel_size);
  pooling::check_windows("avg_pool1d", x, {{o.kernel_size, stride, o.padding}}, o.ceil_mode);
  return without_height(avg_pool2d(with_height(x), {.kernel_size = {1, o.kernel_size},
                                                    .stride = Pair(1, stride),
                                                    .padding = {0, o.padding},
                                                    .count_include_pad = o.count_include_pad,
                                                    .ceil_mode = o.ceil_mode}));
}

Tensor adaptive_avg_pool1d(const Tensor& x, std::int64_t output_size) {
  check(x.dim() == 3, "adaptive_avg_pool1d: expects x [N, L, C], got ", x.shape());
  check(output_size >= 1 && x.size(1) >= 1,
        "adaptive_avg_pool1d: expects at least one element in and out, got ", x.shape(), " and ",
        output_size);
  return without_height(adaptive_avg_pool2d(with_height(x), {1, output_size}));
}

}  // namespace karyon
