#include <karyon/core/autocast.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/similarity.h>
#include <algorithm>
#include <limits>

namespace karyon {

Tensor cosine_similarity(const Tensor& any_a, const Tensor& any_b, const CosineSimilarityOptions& options) {
  const Tensor a = widen(any_a), b = widen(any_b);
  check_computed("cosine_similarity", a);
  const Shape shape = broadcast_shapes(a.shape(), b.shape(), "cosine_similarity");
  if (shape.dims() == 0) return cosine_similarity(a.reshape({1}), b.reshape({1}), options);
  const int dim = normalize_dim(options.dim, shape.dims(), "cosine_similarity");
  // Of the broadcast vectors: along a dimension that b alone has, a is repeated.
  const Tensor repeated = ones(shape, {.dtype = a.dtype(), .device = a.device()});
  const Tensor u = a.shape() == shape ? a : mul(a, repeated), v = b.shape() == shape ? b : mul(b, repeated);
  const Tensor least = full({}, options.eps * options.eps, {.dtype = a.dtype(), .device = a.device()});
  const auto inverse_length = [&](const Tensor& x) { return rsqrt(maximum(sum(square(x), {dim}), least)); };
  return mul(mul(sum(mul(u, v), {dim}), inverse_length(u)), inverse_length(v));
}

Tensor cosine_embedding_loss(const Tensor& any_a, const Tensor& any_b, const Tensor& target,
                             const CosineEmbeddingOptions& options) {
  const char* op = "cosine_embedding_loss";
  const Tensor a = widen(any_a), b = widen(any_b);
  check_computed(op, a);
  check(a.dim() >= 1 && a.shape() == b.shape() && target.dim() == a.dim() - 1 &&
            std::equal(target.shape().begin(), target.shape().end(), a.shape().begin()),
        op, ": expects two inputs [..., D] and a target [...], got ", a.shape(), ", ", b.shape(), " and ",
        target.shape());
  constexpr double eps = 1e-12f;  // a float, as PyTorch's
  const auto length = [](const Tensor& x) { return sum(square(x), {-1}) + eps; };
  const Tensor cosine = mul(sum(mul(a, b), {-1}), rsqrt(mul(length(a), length(b))));
  const Tensor apart = clamp(cosine - options.margin, 0, std::numeric_limits<double>::infinity());
  const Tensor zero = zeros({}, {.dtype = a.dtype(), .device = a.device()});
  const Tensor losses = where(eq(target, 1), 1 - cosine, where(eq(target, -1), apart, zero));
  return options.reduction == Reduction::none  ? losses
         : options.reduction == Reduction::sum ? sum(losses)
                                               : mean(losses);
}

}  // namespace karyon
