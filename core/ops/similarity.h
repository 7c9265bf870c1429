#pragma once
#include <karyon/core/ops/loss.h>

// The angle between vectors. f32 or f64; bf16 is cast to f32 and gives f32.
namespace karyon {

struct CosineSimilarityOptions {
  int dim = -1;       ///< along which the vectors lie
  double eps = 1e-8;  ///< the least length of a vector
};
/// a b / (max(|a|, eps) max(|b|, eps)).
///   a, b     shapes that broadcast; same dtype
///   returns  the broadcast shape without `dim`; the one dimension of a scalar is 0 or -1
/// Differentiable in a and b.
Tensor cosine_similarity(const Tensor& a, const Tensor& b, const CosineSimilarityOptions& options = {});

struct CosineEmbeddingOptions {
  double margin = 0;
  Reduction reduction = Reduction::mean;
};
/// 1 - cos(a, b) where the target is 1, max(0, cos(a, b) - margin) where it is -1.
///   a, b    [..., D], the same shape
///   target  [...]: 1 or -1, any dtype
/// Differentiable in a and b.
Tensor cosine_embedding_loss(const Tensor& a, const Tensor& b, const Tensor& target,
                             const CosineEmbeddingOptions& options = {});

}  // namespace karyon
