#include <limits>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/attention.h>
#include <karyon/layers/init.h>

namespace karyon {
namespace {

// Truth values that hide, as numbers to add, like `numbers`.
Tensor as_numbers(const Tensor& hidden, const Tensor& numbers) {
  if (hidden.dtype() != boolean) return hidden;
  const Tensor nothing = zeros(hidden.shape(), {.dtype = numbers.dtype(), .device = hidden.device()});
  return masked_fill(nothing, hidden, -std::numeric_limits<double>::infinity());
}
// One mask that does what both do; each may be undefined.
Tensor joined(const Tensor& a, const Tensor& b) {
  if (!a.defined() || !b.defined()) return a.defined() ? a : b;
  if (a.dtype() == boolean && b.dtype() == boolean) return logical_or(a, b);
  return as_numbers(a, b) + as_numbers(b, a);
}
Tensor future(std::int64_t queries, std::int64_t keys, Device device) {
  return triu(full({queries, keys}, 1, {.dtype = boolean, .device = device}), 1);
}

// All masks as one for scores [N, heads, L, S], where true hides. The diagonal is left to is_causal of the
// operation, if it is alone.
Tensor mask_of(const AttentionMasks& masks, std::int64_t heads, const Shape& scores, Device device) {
  const std::int64_t n = scores[0], queries = scores[2], keys = scores[3];
  Tensor mask = masks.attn_mask, padding = masks.key_padding_mask;
  if (mask.defined() && mask.dim() == 3) {
    check(mask.shape() == Shape{n * heads, queries, keys}, "MultiheadAttention: expects attn_mask [",
          n * heads, ", ", queries, ", ", keys, "], got ", mask.shape());
    mask = mask.reshape(scores);
  } else if (mask.defined()) {
    check(mask.shape() == Shape{queries, keys}, "MultiheadAttention: expects attn_mask [", queries, ", ",
          keys, "], got ", mask.shape());
  }
  if (padding.defined()) {
    check(padding.shape() == Shape{n, keys} || (n == 1 && padding.shape() == Shape{keys}),
          "MultiheadAttention: expects key_padding_mask [", n, ", ", keys, "], got ", padding.shape());
    padding = padding.reshape({n, 1, 1, keys});
  }
  if (masks.is_causal && (mask.defined() || padding.defined()))
    mask = joined(mask, future(queries, keys, device));
  return joined(mask, padding);
}

// As they are kept: with the generator only where it is needed again.
MultiheadAttentionOptions checked(MultiheadAttentionOptions o) {
  check(o.dropout >= 0 && o.dropout <= 1, "MultiheadAttention: expects dropout in [0, 1], got ", o.dropout);
  if (o.dropout == 0) o.generator = nullptr;
  return o;
}

}  // namespace

MultiheadAttention::MultiheadAttention(std::int64_t size, std::int64_t heads, const Options& o)
    : embed_dim(size),
      num_heads(heads),
      options(checked(o)),
      out_proj(std::max<std::int64_t>(size, 1), std::max<std::int64_t>(size, 1),
               {.bias = o.bias, .generator = o.generator}) {
  check(size >= 1 && heads >= 1 && size % heads == 0, "MultiheadAttention: expects embed_dim divisible by ",
        heads, " heads, got ", size);
  in_proj_weight = empty({3 * size, size});
  xavier_uniform_(in_proj_weight, 1, generator_or_default(o.generator));
  if (o.bias) {
    in_proj_bias = zeros({3 * size});
    out_proj.bias.detach().zero_();
  }
  register_parameter("in_proj_weight", in_proj_weight);
  register_parameter("in_proj_bias", in_proj_bias);
  register_module("out_proj", out_proj);
}

// Queries (part 0), keys (1) or values (2) of each head: [N, heads, L, E / heads].
Tensor MultiheadAttention::heads_of(const Tensor& x, std::int64_t part) const {
  const Tensor weight = narrow(in_proj_weight, 0, part * embed_dim, embed_dim);
  const Tensor bias =
      in_proj_bias.defined() ? narrow(in_proj_bias, 0, part * embed_dim, embed_dim) : Tensor();
  const Tensor y = unflatten(linear(x, weight, bias), -1, {num_heads, embed_dim / num_heads});
  return permute(y, options.batch_first ? std::vector{0, 2, 1, 3} : std::vector{1, 2, 0, 3});
}

Tensor MultiheadAttention::forward(Tensor x) { return forward(x, x, x); }

Tensor MultiheadAttention::forward(const Tensor& query, const Tensor& key, const Tensor& value,
                                   const AttentionMasks& masks) {
  for (const Tensor* x : {&query, &key, &value})
    check(x->dim() == query.dim() && (x->dim() == 2 || x->dim() == 3) && x->size(-1) == embed_dim,
          "MultiheadAttention: expects query, key and value of 2 or 3 dimensions ending in ", embed_dim,
          ", got ", query.shape(), ", ", key.shape(), " and ", value.shape());
  if (query.dim() == 2) {
    const int batch = options.batch_first ? 0 : 1;
    const Tensor y = forward(unsqueeze(query, batch), unsqueeze(key, batch), unsqueeze(value, batch), masks);
    return squeeze(y, batch);
  }
  const Tensor q = heads_of(query, 0), k = heads_of(key, 1), v = heads_of(value, 2);
  Tensor mask = mask_of(masks, num_heads, {q.size(0), num_heads, q.size(2), k.size(2)}, query.device());
  const bool causal = masks.is_causal && !mask.defined();
  if (mask.defined() && mask.dtype() == boolean) mask = logical_not(mask);
  const Tensor y = scaled_dot_product_attention(q, k, v,
                                                {.attn_mask = mask,
                                                 .dropout_p = is_training() ? options.dropout : 0,
                                                 .is_causal = causal,
                                                 .generator = options.generator});
  return out_proj(
      flatten(permute(y, options.batch_first ? std::vector{0, 2, 1, 3} : std::vector{2, 0, 1, 3}), 2, 3));
}

std::unique_ptr<Module> MultiheadAttention::rebuilt() const {
  return std::make_unique<MultiheadAttention>(embed_dim, num_heads, options);
}

}  // namespace karyon
