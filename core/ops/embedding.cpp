#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/rows.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/embedding.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/trace.h>

namespace karyon {

Tensor embedding(const Tensor& indices, const Tensor& weight, const EmbeddingOptions& options) {
  check(weight.dim() == 2, "embedding: expects a weight of [V, D], got ", weight.shape());
  const std::int64_t rows = weight.size(0), size = weight.size(1);
  std::int64_t padding = options.padding_idx.value_or(rows);
  check(padding >= -rows && (padding < rows || !options.padding_idx),
        "embedding: expects padding_idx inside the ", rows, " rows, got ", padding);
  if (padding < 0) padding += rows;
  Shape result = indices.shape();
  result.push_back(size);
  const Tensor base = zeros({}, {.dtype = i64, .device = indices.device()});
  const Rows taken{.size = rows,
                   .inner = size,
                   .at = locate("embedding", indices, base, {.size = rows}, indices.shape()),
                   .result = result};
  const Tensor y =
      record("embedding", taken.taken(weight), {weight}, twice_differentiable,
             [taken, padding, shape = weight.shape()](const Tensor& dy) {
               const Tensor wide = widen(dy.detach());
               Tensor dw = zeros(shape, {.dtype = wide.dtype(), .device = dy.device()});
               taken.put(true, wide, dw);
               if (padding < shape[0]) view(dw, {shape[1]}, padding * shape[1]).zero_();
               const auto again = [taken, padding](const Tensor& ddw) {
                 const Tensor numbers = arange(ddw.size(0), {.dtype = i64, .device = ddw.device()});
                 const Tensor counts = unsqueeze(ne(numbers, static_cast<double>(padding)), 1);
                 return std::vector{taken.of("embedding", where(counts, ddw, number_for(ddw, 0)))};
               };
               return std::vector{record("embedding", dw.to(dy.dtype()), {dy}, twice_differentiable, again)};
             });
  return traced(y, [&] { return TraceOptions{{"indices", indices}}; });
}

Tensor one_hot(const Tensor& numbers, std::int64_t num_classes) {
  check(is_index(numbers.dtype()), "one_hot: expects i64 or i32, got ", numbers.dtype());
  const Tensor x = as_i64(numbers);
  check(num_classes >= -1, "one_hot: expects num_classes of at least -1, got ", num_classes);
  check(x.numel() > 0 || num_classes > 0, "one_hot: expects num_classes for nothing");
  if (x.numel() > 0) {
    const auto least = min(x).item<std::int64_t>(), largest = max(x).item<std::int64_t>();
    check(least >= 0, "one_hot: expects numbers of at least 0, got ", least);
    check(num_classes == -1 || largest < num_classes, "one_hot: expects numbers below ", num_classes,
          ", got ", largest);
    if (num_classes == -1) num_classes = largest + 1;
  }
  return eq(unsqueeze(x, -1), arange(num_classes, {.dtype = i64, .device = x.device()})).to(i64);
}

}  // namespace karyon
