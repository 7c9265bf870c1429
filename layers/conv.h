#pragma once
#include <karyon/core/ops/conv.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct Conv2dLayerOptions {
  Pair stride = 1;
  Pair padding = 0;
  Pair dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv2d with weights of its own, initialised as PyTorch's: [N, H, W, in] -> [N, H_out, W_out, out].
struct Conv2d : Module {
  using Options = Conv2dLayerOptions;

  Conv2d(std::int64_t in_channels, std::int64_t out_channels, Pair kernel_size, const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Conv2dOptions options;
  Tensor weight;  ///< [out, kH, kW, in / groups]
  Tensor bias;    ///< [out] or undefined
};

struct ConvTranspose2dLayerOptions {
  Pair stride = 1;
  Pair padding = 0;
  Pair output_padding = 0;
  Pair dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv_transpose2d with weights of its own, initialised as PyTorch's.
struct ConvTranspose2d : Module {
  using Options = ConvTranspose2dLayerOptions;

  ConvTranspose2d(std::int64_t in_channels, std::int64_t out_channels, Pair kernel_size,
                  const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const ConvTranspose2dOptions options;
  Tensor weight;  ///< [in, kH, kW, out / groups]
  Tensor bias;    ///< [out] or undefined
};

}  // namespace karyon
