#pragma once
#include <karyon/core/ops/conv3d.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct Conv3dLayerOptions {
  Triple stride = 1;
  Triple padding = 0;
  Triple dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv3d with weights of its own, initialised as PyTorch's: [N, D, H, W, in] -> [N, D_out, H_out, W_out, out].
struct Conv3d : Module {
  using Options = Conv3dLayerOptions;

  Conv3d(std::int64_t in_channels, std::int64_t out_channels, const Triple& kernel_size,
         const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Conv3dOptions options;
  Tensor weight;  ///< [out, kD, kH, kW, in / groups]
  Tensor bias;    ///< [out] or undefined
};

struct ConvTranspose3dLayerOptions {
  Triple stride = 1;
  Triple padding = 0;
  Triple output_padding = 0;
  Triple dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv_transpose3d with weights of its own, initialised as PyTorch's.
struct ConvTranspose3d : Module {
  using Options = ConvTranspose3dLayerOptions;

  ConvTranspose3d(std::int64_t in_channels, std::int64_t out_channels, const Triple& kernel_size,
                  const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const ConvTranspose3dOptions options;
  Tensor weight;  ///< [in, kD, kH, kW, out / groups]
  Tensor bias;    ///< [out] or undefined
};

}  // namespace karyon
