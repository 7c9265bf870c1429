#pragma once
#include <optional>

#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

namespace karyon {

struct AttentionOptions {
  /// What is added to the scores, or bool: where it is false, a query does not see a key. It broadcasts to
  /// [..., L, S].
  Tensor attn_mask = {};
  double dropout_p = 0;              ///< weights are dropped with this probability, always: 0 in evaluation
  bool is_causal = false;            ///< query i sees keys 0 to i; without attn_mask
  std::optional<double> scale = {};  ///< 1 / sqrt(E), if none is given
  bool enable_gqa = false;           ///< the heads (dimension -3) of key and value divide those of query
  Generator* generator = nullptr;    ///< draws what is dropped; null: default_generator()
};

/// softmax(query key^T scale + mask) value, as torch.nn.functional.scaled_dot_product_attention.
///   query    [..., L, E]
///   key      [..., S, E]
///   value    [..., S, Ev]; the leading dimensions of all three broadcast
///   returns  [..., L, Ev]; 0 for a query that sees no key
/// One dtype, f32, f64 or bf16 (computed in f32), the mask's too, unless it is bool; see autocast.h. The
/// weights are computed in tiles, in forward and again in backward: memory grows with L + S, not with L S.
/// Differentiable in query, key, value and attn_mask, whose gradient takes L S. Throws Error if the shapes or
/// dtypes disagree, or for a mask beside is_causal.
Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options = {});

}  // namespace karyon
