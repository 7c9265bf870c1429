#pragma once
#include <optional>

#include <karyon/core/ops/embedding.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct EmbeddingLayerOptions {
  /// A row that is 0 at first and has no gradient; a negative one counts from the end.
  std::optional<std::int64_t> padding_idx = {};
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// embedding with a table of its own, standard normal at first: indices [...] -> [..., embedding_dim].
struct Embedding : Module {
  using Options = EmbeddingLayerOptions;

  Embedding(std::int64_t num_embeddings, std::int64_t embedding_dim, const Options& options = {});
  Tensor forward(Tensor indices) override;
  std::unique_ptr<Module> rebuilt() const override;

  const std::optional<std::int64_t> padding_idx;
  Tensor weight;  ///< [num_embeddings, embedding_dim]
};

}  // namespace karyon
