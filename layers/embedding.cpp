#include <karyon/layers/embedding.h>

namespace karyon {

Embedding::Embedding(std::int64_t rows, std::int64_t size, const Options& options)
    : padding_idx(options.padding_idx) {
  check(rows >= 1 && size >= 1, "Embedding: expects at least 1 row and 1 column, got ", rows, " and ", size);
  const std::int64_t padding = padding_idx.value_or(0);
  check(padding >= -rows && padding < rows, "Embedding: expects padding_idx inside the ", rows, " rows, got ",
        padding);
  weight = randn({rows, size}, generator_or_default(options.generator));
  if (padding_idx) view(weight, {size}, (padding < 0 ? padding + rows : padding) * size).zero_();
  register_parameter("weight", weight);
}

Tensor Embedding::forward(Tensor indices) { return embedding(indices, weight, {.padding_idx = padding_idx}); }

std::unique_ptr<Module> Embedding::rebuilt() const {
  return std::make_unique<Embedding>(weight.size(0), weight.size(1), Options{.padding_idx = padding_idx});
}

}  // namespace karyon
