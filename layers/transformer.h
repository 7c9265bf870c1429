#pragma once
#include <karyon/layers/attention.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/module_list.h>
#include <karyon/layers/norm.h>

namespace karyon {

enum class TransformerActivation { relu, gelu };

struct TransformerEncoderLayerOptions {
  std::int64_t dim_feedforward = 2048;
  double dropout = 0.1;
  TransformerActivation activation = TransformerActivation::relu;
  double layer_norm_eps = 1e-5;
  bool batch_first = false;        ///< tensors are [N, L, E], not [L, N, E]
  bool norm_first = false;         ///< norms before attention and feed-forward, not after the sums
  Generator* generator = nullptr;  ///< draws initial values and dropout; null: default_generator()
};

/// Attention of a sequence to itself and two linear layers, each with a skip connection and a norm (Vaswani
/// et al., 2017), as torch.nn.TransformerEncoderLayer: [L, N, E] -> [L, N, E]. A generator must
/// outlive a layer with dropout.
struct TransformerEncoderLayer : Module {
  using Options = TransformerEncoderLayerOptions;

  TransformerEncoderLayer(std::int64_t d_model, std::int64_t nhead, const Options& options = {});
  Tensor forward(Tensor x) override;
  Tensor forward(const Tensor& x, const AttentionMasks& masks);
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  MultiheadAttention self_attn;
  Linear linear1, linear2;
  LayerNorm norm1, norm2;
  Dropout dropout, dropout1, dropout2;

 private:
  Tensor attend(const Tensor& x, const AttentionMasks& masks);
  Tensor feed(const Tensor& x);
};

/// Layers that begin as copies of `layer`, one after another, and a norm at the end if there is one, as
/// torch.nn.TransformerEncoder: layers.0, layers.1, ..., norm.
struct TransformerEncoder : Module {
  TransformerEncoder(const TransformerEncoderLayer& layer, std::int64_t num_layers,
                     std::unique_ptr<LayerNorm> norm = nullptr);
  Tensor forward(Tensor x) override;
  Tensor forward(const Tensor& x, const AttentionMasks& masks);
  std::unique_ptr<Module> rebuilt() const override;

  ModuleList<TransformerEncoderLayer> layers;
  std::unique_ptr<LayerNorm> norm;  // null without one
};

}  // namespace karyon
