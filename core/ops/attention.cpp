#include <cmath>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/attention.h>
#include <karyon/core/kernels/dropout.h>
#include <karyon/core/kernels/strided.h>
#include <karyon/core/ops/attention.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

constexpr const char* op = "scaled_dot_product_attention";

void check_inputs(const Tensor& q, const Tensor& k, const Tensor& v) {
  check_computed(op, q);
  check(k.dtype() == q.dtype() && v.dtype() == q.dtype(), op, ": expects one dtype, got ", q.dtype(), ", ",
        k.dtype(), " and ", v.dtype());
  check(q.dim() >= 2 && k.dim() >= 2 && v.dim() >= 2, op, ": expects at least 2 dimensions each, got ",
        q.shape(), ", ", k.shape(), " and ", v.shape());
  check(q.size(-1) == k.size(-1), op, ": expects queries and keys of one size, got ", q.shape(), " and ",
        k.shape());
  check(k.size(-2) == v.size(-2), op, ": expects as many keys as values, got ", k.shape(), " and ",
        v.shape());
}

Shape leading(const Tensor& x) {
  return Shape(std::span(x.shape().begin(), static_cast<std::size_t>(x.dim() - 2)));
}
Shape with_matrix(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}
Tensor broadcast_batch(const Tensor& x, const Shape& batch) {
  return expand(x, with_matrix(batch, x.size(-2), x.size(-1)));
}
// [N, rows, columns].
Tensor as_batch(const Tensor& x, const Shape& batch) {
  return x.reshape({batch.numel(), x.size(-2), x.size(-1)});
}

// Each head of x as often as the query has heads for it.
Tensor repeat_heads(const Tensor& x, const Tensor& query) {
  check(query.dim() >= 3 && x.dim() >= 3, op, ": enable_gqa expects at least 3 dimensions, got ",
        query.shape(), " and ", x.shape());
  const std::int64_t heads = x.size(-3), wanted = query.size(-3);
  check(heads > 0 && wanted % heads == 0, op, ": enable_gqa expects query heads divisible by ", heads,
        ", got ", wanted);
  return heads == wanted ? x : repeat_interleave(x, wanted / heads, -3);
}

// The mask's strides under scores of this shape.
kernels::MaskLayout layout_of(const Shape& mask, const Shape& scores) {
  kernels::MaskLayout layout{.dims = scores.dims() - 2};
  const auto strides = kernels::strides_of(mask);
  const auto stride = [&](int d) {
    const int e = d - (scores.dims() - mask.dims());
    return e < 0 || mask[e] == 1 ? 0 : strides[static_cast<std::size_t>(e)];
  };
  for (int d = 0; d < layout.dims; ++d) {
    layout.sizes[d] = scores[d];
    layout.strides[d] = stride(d);
  }
  layout.row = stride(layout.dims);
  layout.column = stride(layout.dims + 1);
  return layout;
}

Tensor checked_mask(const AttentionOptions& options, DType dtype, const Shape& scores) {
  if (!options.attn_mask.defined()) return {};
  check(!options.is_causal, op, ": expects attn_mask or is_causal, got both");
  const Tensor mask =
      is_floating(options.attn_mask.dtype()) ? autocast(options.attn_mask) : options.attn_mask;
  check(mask.dtype() == boolean || mask.dtype() == dtype, op, ": expects attn_mask of bool or ", dtype,
        ", got ", mask.dtype());
  check(mask.dim() <= scores.dims() && broadcast_shapes(mask.shape(), scores, op) == scores, op,
        ": expects attn_mask that broadcasts to ", scores, ", got ", mask.shape());
  return mask;
}

// Fills in scale and dropout.
kernels::Attention attention_of(const AttentionOptions& options, const Tensor& q, const Tensor& k) {
  const double p = options.dropout_p;
  check(p >= 0 && p <= 1, op, ": expects dropout_p in [0, 1], got ", p);
  const auto size = static_cast<double>(q.size(-1));
  kernels::Attention attention{.scale = options.scale.value_or(size > 0 ? 1 / std::sqrt(size) : 1),
                               .causal = options.is_causal,
                               .dropout = p};
  if (p > 0) {
    Generator& generator = generator_or_default(options.generator);
    attention.seed = generator.seed();
    attention.first = generator.reserve(static_cast<std::uint64_t>(
        q.numel() / std::max<std::int64_t>(q.size(-1), 1) * ((k.size(-2) + 3) / 4)));
  }
  return attention;
}

// What dropout multiplies the weights by.
Tensor dropout_factors(const kernels::Attention& attention, const Tensor& weights) {
  const std::int64_t columns = weights.size(-1), rows = weights.numel() / std::max<std::int64_t>(columns, 1);
  const Tensor all =
      ones({rows, (columns + 3) / 4 * 4}, {.dtype = weights.dtype(), .device = weights.device()});
  Tensor factors = empty_like(all);
  kernels::dropout(all, attention.dropout, attention.seed, attention.first, factors);
  return narrow(factors, 1, 0, columns).reshape(weights.shape());
}

// attend() by operations, for gradients of gradients: its memory grows with the square of the length.
Tensor composed(const std::vector<Tensor>& in, const kernels::Attention& attention, const Shape& scores) {
  const Tensor q = widen(in[0]), k = widen(in[1]), v = widen(in[2]), mask = widen(in[3]);
  const std::int64_t rows = q.size(1), columns = k.size(1);
  const auto number = [&](double value) {
    return full({}, value, {.dtype = q.dtype(), .device = q.device()});
  };
  Tensor score = mul(matmul(q, transpose(k, 1, 2)), attention.scale).reshape(scores), seen;
  if (attention.causal) seen = tril(ones({rows, columns}, {.dtype = boolean, .device = q.device()}));
  if (mask.defined() && mask.dtype() == boolean) seen = mask;
  if (mask.defined() && mask.dtype() != boolean) score = add(score, mask);
  if (seen.defined()) score = where(seen, score, number(-1e30));
  Tensor weights = softmax(score, -1);
  if (seen.defined()) weights = where(seen, weights, number(0));
  if (attention.dropout > 0) weights = mul(weights, dropout_factors(attention, weights));
  return matmul(weights.reshape({q.size(0), rows, columns}), v);
}

// On [N, L, E], [N, S, E], [N, S, Ev]; the mask as it is.
Tensor attend(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
              const kernels::Attention& attention, const Shape& scores) {
  const TensorOptions options{.dtype = q.dtype(), .device = q.device()};
  Tensor y = empty({q.size(0), q.size(1), v.size(2)}, options);
  Tensor lse = empty({q.size(0), q.size(1)}, {.dtype = parameter_dtype(q.dtype()), .device = q.device()});
  kernels::attention(q, k, v, mask, attention, y, lse);
  const auto wanted = [](const Tensor& x) { return x.defined() && x.requires_grad(); };
  return record(op, y, {q, k, v, mask}, twice_differentiable,
                [q = SavedTensor(q), k = SavedTensor(k), v = SavedTensor(v), mask = SavedTensor(mask),
                 y = SavedTensor(y), lse, attention, scores, want_q = wanted(q), want_k = wanted(k),
                 want_v = wanted(v), want_mask = wanted(mask)](const Tensor& dy) {
                  const auto like = [](bool want, const Tensor& x) {
                    return want ? empty_like(x) : Tensor();
                  };
                  const std::vector<Tensor> in{q.get(), k.get(), v.get(), mask.get()};
                  Tensor dq = like(want_q, in[0]), dk = like(want_k, in[1]), dv = like(want_v, in[2]), dmask;
                  if (want_mask) dmask = empty(scores, {.dtype = lse.dtype(), .device = lse.device()});
                  kernels::attention_backward(dy, in[0], in[1], in[2], in[3], y.get(), lse, attention, dq, dk,
                                              dv, dmask);
                  if (want_mask) dmask = sum_to(dmask, in[3].shape()).to(dy.dtype());
                  return record_gradients(op, {dq, dk, dv, dmask}, dy, in,
                                          [attention, scores](const std::vector<Tensor>& given) {
                                            return composed(given, attention, scores);
                                          });
                });
}

}  // namespace

Tensor scaled_dot_product_attention(const Tensor& query, const Tensor& key, const Tensor& value,
                                    const AttentionOptions& options) {
  Tensor q = autocast(query), k = autocast(key), v = autocast(value);
  check_inputs(q, k, v);
  if (options.enable_gqa) {
    k = repeat_heads(k, q);
    v = repeat_heads(v, q);
  }
  const Shape batch = broadcast_shapes(broadcast_shapes(leading(q), leading(k), op), leading(v), op);
  q = broadcast_batch(q, batch);
  k = broadcast_batch(k, batch);
  v = broadcast_batch(v, batch);
  const Shape scores = with_matrix(batch, q.size(-2), k.size(-2));
  const Tensor mask = checked_mask(options, q.dtype(), scores);
  kernels::Attention attention = attention_of(options, q, k);
  if (mask.defined()) attention.mask = layout_of(mask.shape(), scores);
  const Shape result = with_matrix(batch, q.size(-2), v.size(-1));
  const Tensor y =
      attend(as_batch(q, batch), as_batch(k, batch), as_batch(v, batch), mask, attention, scores);
  return traced(y,
                [&] {
                  return TraceOptions{{"scale", attention.scale},
                                      {"is_causal", attention.causal ? 1 : 0},
                                      {"dropout_p", attention.dropout},
                                      {"scores", std::vector<std::int64_t>(scores.begin(), scores.end())}};
                })
      .reshape(result);
}

}  // namespace karyon
