#pragma once
#include <memory>
#include <string>
#include <vector>

#include <karyon/layers/attention.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>

namespace karyon {

/// The sizes of ViT-B/16 unless told.
struct ViTOptions {
  std::int64_t image_size = 224;
  std::int64_t patch_size = 16;
  std::int64_t num_layers = 12;
  std::int64_t num_heads = 12;
  std::int64_t hidden_dim = 768;
  std::int64_t mlp_dim = 3072;
  double dropout = 0, attention_dropout = 0;  ///< while training
  std::int64_t num_classes = 1000;
  std::int64_t representation_size = 0;  ///< of a layer with tanh before the head; 0: there is none
  Generator* generator = nullptr;        ///< draws initial values and dropout; null: default_generator()
};

/// torchvision's sizes by its names.
inline ViTOptions vit_b_16() { return {}; }
inline ViTOptions vit_b_32() { return {.patch_size = 32}; }
inline ViTOptions vit_l_16() {
  return {.num_layers = 24, .num_heads = 16, .hidden_dim = 1024, .mlp_dim = 4096};
}
inline ViTOptions vit_l_32() {
  return {.patch_size = 32, .num_layers = 24, .num_heads = 16, .hidden_dim = 1024, .mlp_dim = 4096};
}
inline ViTOptions vit_h_14() {
  return {.patch_size = 14, .num_layers = 32, .num_heads = 16, .hidden_dim = 1280, .mlp_dim = 5120};
}

/// Attention and two linear layers with GELU, each behind a norm and beside a skip connection: [N, L, E].
struct ViTBlock : Module {
  explicit ViTBlock(const ViTOptions& options);
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const ViTOptions options;
  LayerNorm ln_1;
  MultiheadAttention self_attention;
  Dropout dropout;
  LayerNorm ln_2;
  Sequential mlp;
};

/// Positions are added, then come the blocks (layers.encoder_layer_0, ...) and a norm: [N, L, E].
struct ViTEncoder : Module {
  explicit ViTEncoder(const ViTOptions& options);
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  /// The blocks, by their names.
  struct Layers : Module {
    explicit Layers(const ViTOptions& options);
    Tensor forward(Tensor x) override;
    std::unique_ptr<Module> rebuilt() const override;

    const ViTOptions options;
    std::vector<std::unique_ptr<ViTBlock>> blocks;
  };

  const ViTOptions options;
  Tensor pos_embedding;  ///< [1, 1 + patches, E]
  Dropout dropout;
  Layers layers;
  LayerNorm ln;
};

/// Vision transformer (Dosovitskiy et al., 2021) with torchvision's parameter names: its weights load.
///
///     ViT net(vit_b_16());
///     load_weights(net, "vit_b_16-c867db91.pth", {.rename = from_torchvision_vit});
///
/// A generator must outlive a network with dropout.
struct ViT : Module {
  using Options = ViTOptions;

  explicit ViT(const Options& options = {});
  /// [N, image_size, image_size, 3] -> [N, num_classes], logits.
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  /// pre_logits with tanh, where there is one, and head.
  struct Heads : Module {
    explicit Heads(const ViTOptions& options);
    Tensor forward(Tensor x) override;
    std::unique_ptr<Module> rebuilt() const override;

    const ViTOptions options;
    std::unique_ptr<Linear> pre_logits;  // null without one
    Linear head;
  };

  const Options options;
  Conv2d conv_proj;
  Tensor class_token;  ///< [1, 1, E]
  ViTEncoder encoder;
  Heads heads;
};

/// The name in ViT for a name in torchvision's files, some of which have older names; others pass unchanged.
std::string from_torchvision_vit(const std::string& name);

}  // namespace karyon
