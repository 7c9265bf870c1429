#pragma once
#include <karyon/core/ops/conv1d.h>
#include <karyon/core/random.h>
#include <karyon/layers/module.h>

namespace karyon {

struct Conv1dLayerOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv1d with weights of its own, initialised as PyTorch's: [N, L, in] -> [N, L_out, out].
struct Conv1d : Module {
  using Options = Conv1dLayerOptions;

  Conv1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
         const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const Conv1dOptions options;
  Tensor weight;  ///< [out, k, in / groups]
  Tensor bias;    ///< [out] or undefined
};

struct ConvTranspose1dLayerOptions {
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t output_padding = 0;
  std::int64_t dilation = 1;
  std::int64_t groups = 1;
  bool bias = true;
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
};

/// conv_transpose1d with weights of its own, initialised as PyTorch's.
struct ConvTranspose1d : Module {
  using Options = ConvTranspose1dLayerOptions;

  ConvTranspose1d(std::int64_t in_channels, std::int64_t out_channels, std::int64_t kernel_size,
                  const Options& options = {});
  Tensor forward(Tensor x) override;
  std::int64_t multiply_adds(const Shape& input, const Shape& output) const override;
  std::unique_ptr<Module> rebuilt() const override;

  const ConvTranspose1dOptions options;
  Tensor weight;  ///< [in, k, out / groups]
  Tensor bias;    ///< [out] or undefined
};

}  // namespace karyon
