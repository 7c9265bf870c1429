#include <cmath>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/index.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {
namespace {

/// [B, T, heads D] as [B, heads, T, D]; four dimensions are there already.
Tensor by_heads(const Tensor& x, std::int64_t heads) {
  if (x.dim() == 4) return x;
  check(x.dim() == 3 && heads > 0 && x.size(2) % heads == 0, "expects [B, T, ", heads, " D], got ",
        x.shape());
  return permute(x.reshape({x.size(0), x.size(1), heads, x.size(2) / heads}), {0, 2, 1, 3});
}
Tensor joined_heads(const Tensor& x) {
  return permute(x, {0, 2, 1, 3}).reshape({x.size(0), x.size(2), x.size(1) * x.size(3)});
}

/// What is added to the products: 0 where a query sees a key, -infinity where it does not.
class Bias {
 public:
  Bias(const Call& call, std::int64_t queries, std::int64_t keys, const Tensor& like)
      : queries_(queries), keys_(keys), dtype_(like.dtype()) {
    if (call.has(6)) {
      lengths_ = call.numbers(6);
      const auto batches = static_cast<std::int64_t>(lengths_.size());
      hide(ge(row(keys), tensor(lengths_, {batches, 1, 1, 1})));
    }
    const std::int64_t past = call.has(4) ? call.x(4).size(2) : 0;
    const std::int64_t left = call.node.integer("left_window_size", -1),
                       right = call.node.integer("right_window_size", -1);
    // j - i, beyond the keys that came before this block of queries.
    const Tensor ahead = sub(sub(row(keys), column(queries)), offsets(past));
    if (call.node.integer("is_causal", 0) != 0) hide(gt(ahead, 0.0));
    if (left >= 0) hide(lt(ahead, static_cast<double>(-left)));
    if (right >= 0) hide(gt(ahead, static_cast<double>(right)));
    if (call.has(3)) add_mask(call.x(3));
  }

  Tensor value;  ///< undefined: nothing is hidden

 private:
  static Tensor row(std::int64_t n) { return arange(n).reshape({1, 1, 1, n}); }
  static Tensor column(std::int64_t n) { return arange(n).reshape({1, 1, n, 1}); }
  Tensor offsets(std::int64_t past) const {
    if (lengths_.empty()) return tensor(past).reshape({1, 1, 1, 1});
    std::vector<std::int64_t> before;
    for (const std::int64_t length : lengths_) before.push_back(length - queries_);
    return tensor(before, {static_cast<std::int64_t>(before.size()), 1, 1, 1});
  }
  void hide(const Tensor& hidden) {
    const Tensor zero = zeros(Shape(), {.dtype = dtype_}),
                 never = full(Shape(), -INFINITY, {.dtype = dtype_});
    plus(where(hidden, never, zero));
  }
  void add_mask(Tensor mask) {
    const std::int64_t missing = keys_ - mask.size(-1);
    const bool truth = mask.dtype() == boolean;
    if (missing > 0) mask = padded(mask, mask.dim() - 1, 0, missing, "constant", truth ? 0 : -INFINITY);
    if (truth)
      hide(logical_not(mask));
    else
      plus(mask.to(dtype_));
  }
  void plus(const Tensor& more) { value = value.defined() ? add(value, more) : more; }

  std::int64_t queries_, keys_;
  DType dtype_;
  std::vector<std::int64_t> lengths_;
};

/// Softmax where rows without any key are 0.
Tensor probabilities(const Tensor& products, const Tensor& bias) {
  if (!bias.defined()) return softmax(products, -1);
  const Tensor blind = isinf(max(bias, {-1}, true));
  const Tensor safe = where(blind, zeros_like(products), add(products, bias));
  return where(blind, zeros_like(products), softmax(safe, -1));
}

Values attention(const Call& call) {
  const Node& node = call.node;
  const Tensor given = call.x(0);
  const Tensor q = by_heads(given, node.integer("q_num_heads", 0));
  Tensor k = by_heads(call.x(1), node.integer("kv_num_heads", 0));
  Tensor v = by_heads(call.x(2), node.integer("kv_num_heads", 0));
  if (call.has(4)) k = cat({call.x(4), k}, 2);
  if (call.has(5)) v = cat({call.x(5), v}, 2);
  const Tensor present_k = k, present_v = v;
  const std::int64_t repeats = k.size(1) == 0 ? 1 : q.size(1) / k.size(1);
  check(repeats * k.size(1) == q.size(1), "expects query heads that ", k.size(1), " divides, got ",
        q.size(1));
  if (repeats > 1) {
    k = repeat_interleave(k, repeats, 1);
    v = repeat_interleave(v, repeats, 1);
  }
  double scale = node.real("scale", 0);
  if (!node.has("scale")) scale = 1 / std::sqrt(static_cast<double>(q.size(3)));
  const double each = std::sqrt(scale);
  const Tensor raw = matmul(mul(q, each), transpose(mul(k, each), 2, 3));
  const double cap = node.real("softcap", 0);
  const Tensor products = cap > 0 ? mul(tanh(mul(raw, 1 / cap)), cap) : raw;
  const Bias bias(call, q.size(2), k.size(2), products);
  const Tensor p = probabilities(products, bias.value);
  const Tensor y = matmul(p, v);
  Values outputs{given.dim() == 3 ? joined_heads(y) : y, present_k, present_v};
  if (call.wants(3)) {
    const std::int64_t which = node.integer("qk_matmul_output_mode", 0);
    const Tensor biased = bias.value.defined() ? add(products, bias.value) : products;
    outputs.push_back(which == 3 ? p : which == 2 ? biased : products);
  }
  return outputs;
}

Values rotary_embedding(const Call& call) {
  const Tensor given = call.x(0);
  const std::int64_t heads = call.node.integer("num_heads", 0);
  const Tensor x = permute(by_heads(given, heads), {0, 2, 1, 3});  // [B, T, heads, D]
  const std::int64_t width = x.size(3);
  std::int64_t turned = call.node.integer("rotary_embedding_dim", 0);
  if (turned == 0) turned = width;
  check(turned > 0 && turned <= width && turned % 2 == 0, "rotary_embedding_dim is ", turned, " of ", width);
  const auto angles = [&](int i) {
    Tensor cache = call.x(i);
    if (call.has(3)) {
      const Tensor places = call.x(3);
      cache = index_select(cache, 0, places.reshape({-1}))
                  .reshape({places.size(0), places.size(1), cache.size(-1)});
    }
    return unsqueeze(cache, 2);
  };
  const Tensor cosine = angles(1), sine = angles(2), part = narrow(x, 3, 0, turned);
  const bool interleaved = call.node.integer("interleaved", 0) != 0;
  Tensor a, b;
  if (interleaved) {
    const Tensor pairs = part.reshape({x.size(0), x.size(1), x.size(2), turned / 2, 2});
    a = select(pairs, 4, 0);
    b = select(pairs, 4, 1);
  } else {
    a = narrow(part, 3, 0, turned / 2);
    b = narrow(part, 3, turned / 2, turned / 2);
  }
  const Tensor real = sub(mul(cosine, a), mul(sine, b)), imaginary = add(mul(sine, a), mul(cosine, b));
  const Tensor rotated =
      interleaved ? stack({real, imaginary}, 4).reshape(part.shape()) : cat({real, imaginary}, 3);
  const Tensor y = turned == width ? rotated : cat({rotated, narrow(x, 3, turned, width - turned)}, 3);
  if (given.dim() == 3) return {y.reshape(given.shape())};
  return {permute(y, {0, 2, 1, 3})};
}

/// A depthwise convolution of sequences that sees no later element, with the last elements as its state.
Values causal_conv(const Call& call) {
  const Tensor x = call.x(0), filter = call.x(1);
  check(x.dim() == 3 && filter.dim() == 3, "expects [B, C, L] and [C, 1, K], got ", x.shape(), " and ",
        filter.shape());
  const std::int64_t channels = x.size(1), k = filter.size(2);
  const Tensor before = call.has(3) ? call.x(3) : zeros({x.size(0), channels, k - 1}, {.dtype = x.dtype()});
  const Tensor all = cat({before, x}, 2);
  const Tensor image = unsqueeze(permute(all, {0, 2, 1}), 1);
  Tensor y = conv2d(image, permute(filter, {0, 2, 1}).reshape({channels, 1, k, 1}), call.maybe(2),
                    {.groups = channels});
  y = permute(squeeze(y, 1), {0, 2, 1});
  const std::string how = call.node.text_of("activation", "none");
  check(how == "none" || how == "silu" || how == "swish", "an activation '", how, "'");
  return {how == "none" ? y : silu(y), narrow(all, 2, all.size(2) - (k - 1), k - 1)};
}

/// Attention without softmax: a state [B, heads, D, M] that each step decays, corrects and adds to.
Values linear_attention(const Call& call) {
  const Node& node = call.node;
  const std::int64_t heads = node.integer("q_num_heads", 0), kv_heads = node.integer("kv_num_heads", 0);
  check(heads > 0 && kv_heads > 0 && heads % kv_heads == 0, "expects query heads that ", kv_heads,
        " divides, got ", heads);
  const std::string rule = node.text_of("update_rule", "gated_delta");
  const bool gated = rule.starts_with("gated"), corrected = rule.ends_with("delta");
  check(gated || corrected || rule == "linear", "an update rule '", rule, "'");
  const Tensor q = by_heads(call.x(0), heads), k = by_heads(call.x(1), kv_heads),
               v = by_heads(call.x(2), kv_heads);
  const std::int64_t batch = q.size(0), steps = q.size(2), width = q.size(3);
  Tensor state = call.has(3) ? call.x(3) : zeros({batch, kv_heads, width, v.size(3)}, {.dtype = q.dtype()});
  const Tensor decay = gated ? exp(by_heads(call.x(4), kv_heads)) : Tensor();
  const Tensor beta = corrected ? by_heads(call.x(5), call.x(5).size(2) == 1 ? 1 : kv_heads) : Tensor();
  double scale = node.real("scale", 0);
  if (scale == 0) scale = 1 / std::sqrt(static_cast<double>(width));
  std::vector<Tensor> outputs;
  for (std::int64_t t = 0; t < steps; ++t) {
    const auto row = [&](const Tensor& x) { return narrow(x, 2, t, 1); };  // [B, heads, 1, D]
    const auto column = [&](const Tensor& x) { return transpose(row(x), 2, 3); };
    Tensor value = row(v);
    if (gated) state = mul(state, column(decay));
    if (corrected) value = mul(row(beta), sub(value, matmul(row(k), state)));
    state = add(state, matmul(column(k), value));
    const Tensor read = heads == kv_heads ? state : repeat_interleave(state, heads / kv_heads, 1);
    outputs.push_back(mul(matmul(row(q), read), scale));
  }
  check(!outputs.empty(), "expects a step or more");
  return {joined_heads(cat(outputs, 2)), state};
}

Values swiglu(const Call& call) {
  const Tensor a = call.x(0), b = call.x(1);
  check(a.shape() == b.shape(), "expects inputs of one shape, got ", a.shape(), " and ", b.shape());
  return {mul(mul(a, sigmoid(mul(a, call.node.real("alpha", 1)))), b)};
}

}  // namespace

std::vector<Operator> attention_operators() {
  return {{"Attention", attention},
          {"RotaryEmbedding", rotary_embedding},
          {"CausalConvWithState", causal_conv},
          {"LinearAttention", linear_attention},
          {"SwiGLU", swiglu}};
}

}  // namespace karyon::onnx
