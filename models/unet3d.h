#pragma once
#include <memory>

#include <karyon/layers/conv3d.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/module_list.h>
#include <karyon/models/unet.h>

namespace karyon {

struct UNet3dOptions {
  std::int64_t in_channels = 1;
  std::int64_t out_channels = 1;
  std::int64_t base_width = 16;  ///< channels of the first level; each level below has twice as many
  std::int64_t depth = 3;        ///< how often the size is halved
  std::int64_t flat_levels = 0;  ///< the first levels that keep D: for volumes whose slices are far apart
  Norm norm = Norm::batch;
  double dropout = 0;  ///< of the values at the bottom, while training
  friend bool operator==(const UNet3dOptions&, const UNet3dOptions&) = default;
};

/// (3x3x3 convolution, norm, ReLU) twice: [N, D, H, W, in] -> [N, D, H, W, out].
struct DoubleConv3d : Module {
  DoubleConv3d(std::int64_t in_channels, std::int64_t out_channels, Norm norm);
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Norm norm;
  Conv3d conv1, conv2;
  std::unique_ptr<Module> norm1, norm2;  // null without a norm
};

/// One step up: a transposed convolution to half the channels, joined with the skip connection of that level.
struct UpBlock3d : DoubleConv3d {
  /// `scale`: how many times as large its output is.
  UpBlock3d(std::int64_t in_channels, const Triple& scale, Norm norm);
  using DoubleConv3d::forward;
  ///   x        [N, D, H, W, in]
  ///   skip     [N, scale.d D, scale.h H, scale.w W, in / 2]
  ///   returns  skip's shape
  Tensor forward(Tensor x, Tensor skip);
  std::unique_ptr<Module> rebuilt() const override;

  ConvTranspose3d up;
};

/// 3-D U-Net (Cicek et al., 2016) with padded convolutions, so that sizes are kept. Its names are UNet's. Its
/// initial values are drawn from default_generator(), or from that of a GeneratorGuard.
///
///   down.0 ... down.{depth-1}   DoubleConv3d to base_width 2^i channels, then max pooling
///   bottom                      DoubleConv3d to base_width 2^depth channels, then dropout
///   up.0 ... up.{depth-1}       deepest first: up, joined with the skip connection, conv1, conv2
///   head                        1x1x1 convolution to out_channels: logits
struct UNet3d : Module {
  using Options = UNet3dOptions;

  explicit UNet3d(const Options& options = {});
  ///   x        [N, D, H, W, in_channels], any sizes >= 1
  ///   returns  [N, D, H, W, out_channels]
  /// Where sizes are no multiples of what the pools divide by, the volume is extended by its edge at the end,
  /// and the result is cut back.
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;
  ModuleList<DoubleConv3d> down;
  DoubleConv3d bottom;
  Dropout dropout;
  ModuleList<UpBlock3d> up;
  Conv3d head;

 private:
  // What the pool of a level divides the sizes by.
  Triple pool_of(std::int64_t level) const;
};

}  // namespace karyon
