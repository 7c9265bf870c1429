#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/init.h>
#include <karyon/models/vit.h>

namespace karyon {
namespace {

// As they are kept: with the generator only where it is needed again.
ViTOptions kept(ViTOptions o) {
  if (o.dropout == 0 && o.attention_dropout == 0) o.generator = nullptr;
  return o;
}

ViTOptions checked(const ViTOptions& o) {
  check(o.patch_size >= 1 && o.image_size >= 1 && o.image_size % o.patch_size == 0,
        "ViT: expects an image_size divisible by patch_size ", o.patch_size, ", got ", o.image_size);
  check(o.num_layers >= 1 && o.mlp_dim >= 1 && o.num_classes >= 1 && o.representation_size >= 0,
        "ViT: expects at least 1 layer, class and mlp_dim, got ", o.num_layers, ", ", o.num_classes, " and ",
        o.mlp_dim);
  return kept(o);
}

void draw_normal(Tensor& x, double std, Generator* generator) {
  const NoGradGuard no_grad;
  normal_(x, 0, std, generator_or_default(generator));
}

constexpr double norm_eps = 1e-6;

}  // namespace

ViTBlock::ViTBlock(const ViTOptions& o)
    : options(kept(o)),
      ln_1(Shape{o.hidden_dim}, {.eps = norm_eps}),
      self_attention(o.hidden_dim, o.num_heads,
                     {.dropout = o.attention_dropout, .batch_first = true, .generator = o.generator}),
      dropout(o.dropout, o.generator),
      ln_2(Shape{o.hidden_dim}, {.eps = norm_eps}) {
  auto& first = mlp.add<Linear>(o.hidden_dim, o.mlp_dim, {.generator = o.generator});
  mlp.add<GELU>();
  mlp.add<Dropout>(o.dropout, o.generator);
  auto& second = mlp.add<Linear>(o.mlp_dim, o.hidden_dim, {.generator = o.generator});
  mlp.add<Dropout>(o.dropout, o.generator);
  for (Linear* linear : {&first, &second}) {
    xavier_uniform_(linear->weight, 1, generator_or_default(o.generator));
    draw_normal(linear->bias, 1e-6, o.generator);
  }
  register_module("ln_1", ln_1);
  register_module("self_attention", self_attention);
  register_module("dropout", dropout);
  register_module("ln_2", ln_2);
  register_module("mlp", mlp);
}

Tensor ViTBlock::forward(Tensor x) {
  x = x + dropout(self_attention(ln_1(x)));
  return x + mlp(ln_2(x));
}

std::unique_ptr<Module> ViTBlock::rebuilt() const { return std::make_unique<ViTBlock>(options); }

ViTEncoder::Layers::Layers(const ViTOptions& o) : options(kept(o)) {
  for (std::int64_t i = 0; i < o.num_layers; ++i) {
    blocks.push_back(std::make_unique<ViTBlock>(o));
    register_module("encoder_layer_" + std::to_string(i), *blocks.back());
  }
}

Tensor ViTEncoder::Layers::forward(Tensor x) {
  for (const auto& block : blocks) x = (*block)(std::move(x));
  return x;
}

std::unique_ptr<Module> ViTEncoder::Layers::rebuilt() const { return std::make_unique<Layers>(options); }

ViTEncoder::ViTEncoder(const ViTOptions& o)
    : options(kept(o)),
      dropout(o.dropout, o.generator),
      layers(o),
      ln(Shape{o.hidden_dim}, {.eps = norm_eps}) {
  const std::int64_t side = o.image_size / o.patch_size;
  pos_embedding = empty({1, side * side + 1, o.hidden_dim});
  draw_normal(pos_embedding, 0.02, o.generator);
  register_parameter("pos_embedding", pos_embedding);
  register_module("dropout", dropout);
  register_module("layers", layers);
  register_module("ln", ln);
}

Tensor ViTEncoder::forward(Tensor x) { return ln(layers(dropout(x + pos_embedding))); }

std::unique_ptr<Module> ViTEncoder::rebuilt() const { return std::make_unique<ViTEncoder>(options); }

ViT::Heads::Heads(const ViTOptions& o)
    : options(kept(o)),
      head(o.representation_size > 0 ? o.representation_size : o.hidden_dim, o.num_classes,
           {.generator = o.generator}) {
  if (o.representation_size > 0) {
    pre_logits = std::make_unique<Linear>(o.hidden_dim, o.representation_size,
                                          Linear::Options{.generator = o.generator});
    draw_normal(pre_logits->weight, std::sqrt(1 / static_cast<double>(o.hidden_dim)), o.generator);
    pre_logits->bias.detach().zero_();
    register_module("pre_logits", *pre_logits);
  }
  head.weight.detach().zero_();
  head.bias.detach().zero_();
  register_module("head", head);
}

Tensor ViT::Heads::forward(Tensor x) {
  if (pre_logits) x = tanh((*pre_logits)(std::move(x)));
  return head(std::move(x));
}

std::unique_ptr<Module> ViT::Heads::rebuilt() const { return std::make_unique<Heads>(options); }

ViT::ViT(const Options& o)
    : options(checked(o)),
      conv_proj(3, o.hidden_dim, o.patch_size, {.stride = o.patch_size, .generator = o.generator}),
      class_token(zeros({1, 1, o.hidden_dim})),
      encoder(o),
      heads(o) {
  draw_normal(conv_proj.weight, std::sqrt(1 / static_cast<double>(fans(conv_proj.weight).in)), o.generator);
  conv_proj.bias.detach().zero_();
  register_parameter("class_token", class_token);
  register_module("conv_proj", conv_proj);
  register_module("encoder", encoder);
  register_module("heads", heads);
}

Tensor ViT::forward(Tensor x) {
  check(x.dim() == 4 && x.size(1) == options.image_size && x.size(2) == options.image_size && x.size(3) == 3,
        "ViT: expects [N, ", options.image_size, ", ", options.image_size, ", 3], got ", x.shape());
  x = flatten(conv_proj(std::move(x)), 1, 2);
  x = encoder(cat({expand(class_token, {x.size(0), 1, options.hidden_dim}).to(x.dtype()), x}, 1));
  return heads(select(x, 1, 0));
}

std::unique_ptr<Module> ViT::rebuilt() const { return std::make_unique<ViT>(options); }

std::string from_torchvision_vit(const std::string& name) {
  std::string out = name;
  for (const auto& [older, newer] : {std::pair{".mlp.linear_1.", ".mlp.0."}, {".mlp.linear_2.", ".mlp.3."}})
    if (const auto at = out.find(older); at != std::string::npos)
      out.replace(at, std::string(older).size(), newer);
  return out;
}

}  // namespace karyon
