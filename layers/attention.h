#pragma once
#include <karyon/core/ops/attention.h>
#include <karyon/layers/linear.h>

namespace karyon {

struct MultiheadAttentionOptions {
  double dropout = 0;  ///< of the weights, while training
  bool bias = true;
  bool batch_first = false;        ///< tensors are [N, L, E], not [L, N, E]
  Generator* generator = nullptr;  ///< draws initial values and dropout; null: default_generator()
};

/// What queries do not see. As in PyTorch's modules, and unlike attn_mask of scaled_dot_product_attention,
/// true hides; numbers are added to the scores.
struct AttentionMasks {
  Tensor attn_mask = {};         ///< [L, S], or [N * num_heads, L, S]
  Tensor key_padding_mask = {};  ///< [N, S], or [S] without N
  bool is_causal = false;        ///< query i sees keys 0 to i; enough without attn_mask
};

/// Attention of several heads between four linear layers, as torch.nn.MultiheadAttention with
/// need_weights=False: in_proj_weight, in_proj_bias and out_proj. A generator must outlive a
/// module with dropout.
struct MultiheadAttention : Module {
  using Options = MultiheadAttentionOptions;

  MultiheadAttention(std::int64_t embed_dim, std::int64_t num_heads, const Options& options = {});
  /// forward(x, x, x).
  Tensor forward(Tensor x) override;
  ///   query       [L, N, E], or [N, L, E] if batch_first; or [L, E]
  ///   key, value  the same with S in place of L
  ///   returns     query's shape
  Tensor forward(const Tensor& query, const Tensor& key, const Tensor& value,
                 const AttentionMasks& masks = {});
  std::unique_ptr<Module> rebuilt() const override;

  const std::int64_t embed_dim, num_heads;
  const Options options;
  Tensor in_proj_weight;  ///< [3 E, E]: queries, keys, values
  Tensor in_proj_bias;    ///< [3 E] or undefined
  Linear out_proj;

 private:
  Tensor heads_of(const Tensor& x, std::int64_t part) const;
};

}  // namespace karyon
