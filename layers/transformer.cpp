#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/layers/transformer.h>

namespace karyon {
namespace {

// As they are kept: with the generator only where it is needed again.
TransformerEncoderLayerOptions kept(TransformerEncoderLayerOptions o) {
  if (o.dropout == 0) o.generator = nullptr;
  return o;
}

}  // namespace

TransformerEncoderLayer::TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead, const Options& o)
    : options(kept(o)),
      self_attn(d_model, nhead,
                {.dropout = o.dropout, .batch_first = o.batch_first, .generator = o.generator}),
      linear1(d_model, o.dim_feedforward, {.generator = o.generator}),
      linear2(o.dim_feedforward, d_model, {.generator = o.generator}),
      norm1(Shape{d_model}, {.eps = o.layer_norm_eps}),
      norm2(Shape{d_model}, {.eps = o.layer_norm_eps}),
      dropout(o.dropout, o.generator),
      dropout1(o.dropout, o.generator),
      dropout2(o.dropout, o.generator) {
  register_module("self_attn", self_attn);
  register_module("linear1", linear1);
  register_module("dropout", dropout);
  register_module("linear2", linear2);
  register_module("norm1", norm1);
  register_module("norm2", norm2);
  register_module("dropout1", dropout1);
  register_module("dropout2", dropout2);
}

Tensor TransformerEncoderLayer::attend(const Tensor& x, const AttentionMasks& masks) {
  return dropout1(self_attn.forward(x, x, x, masks));
}

Tensor TransformerEncoderLayer::feed(const Tensor& x) {
  const Tensor inner = linear1(x);
  return dropout2(
      linear2(dropout(options.activation == TransformerActivation::gelu ? gelu(inner) : relu(inner))));
}

Tensor TransformerEncoderLayer::forward(Tensor x) { return forward(x, AttentionMasks{}); }

Tensor TransformerEncoderLayer::forward(const Tensor& x, const AttentionMasks& masks) {
  if (options.norm_first) {
    const Tensor y = x + attend(norm1(x), masks);
    return y + feed(norm2(y));
  }
  const Tensor y = norm1(x + attend(x, masks));
  return norm2(y + feed(y));
}

std::unique_ptr<Module> TransformerEncoderLayer::rebuilt() const {
  return std::make_unique<TransformerEncoderLayer>(self_attn.embed_dim, self_attn.num_heads, options);
}

TransformerEncoder::TransformerEncoder(const TransformerEncoderLayer& layer, std::int64_t num_layers,
                                       std::unique_ptr<LayerNorm> last_norm)
    : norm(std::move(last_norm)) {
  check(num_layers >= 1, "TransformerEncoder: expects at least 1 layer, got ", num_layers);
  for (std::int64_t i = 0; i < num_layers; ++i) layers.add(karyon::clone(layer));
  register_module("layers", layers);
  if (norm) register_module("norm", *norm);
}

Tensor TransformerEncoder::forward(Tensor x) { return forward(x, AttentionMasks{}); }

Tensor TransformerEncoder::forward(const Tensor& x, const AttentionMasks& masks) {
  Tensor y = x;
  for (TransformerEncoderLayer& layer : layers) y = layer.forward(y, masks);
  return norm ? (*norm)(y) : y;
}

std::unique_ptr<Module> TransformerEncoder::rebuilt() const {
  return std::make_unique<TransformerEncoder>(
      layers[0], static_cast<std::int64_t>(layers.size()),
      norm ? std::make_unique<LayerNorm>(norm->normalized_shape, norm->options) : nullptr);
}

}  // namespace karyon
