#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <karyon/layers/conv.h>
#include <karyon/layers/dropout.h>
#include <karyon/layers/module_list.h>
#include <karyon/layers/norm.h>

namespace karyon {

enum class Norm { none, batch, group };
enum class UpMode { transposed, bilinear };

struct UNetOptions {
  std::int64_t in_channels = 3;
  std::int64_t out_channels = 1;
  std::int64_t base_width = 32;  ///< channels of the first level; each level below has twice as many
  std::int64_t depth = 4;        ///< how often the size is halved
  Norm norm = Norm::batch;
  UpMode up = UpMode::transposed;
  double dropout = 0;              ///< of the values at the bottom, while training
  Generator* generator = nullptr;  ///< draws the initial values; null: default_generator()
  friend bool operator==(const UNetOptions&, const UNetOptions&) = default;
};

/// (3x3 convolution, norm, ReLU) twice: [N, H, W, in] -> [N, H, W, out].
struct DoubleConv : Module {
  DoubleConv(std::int64_t in_channels, std::int64_t out_channels, Norm norm, Generator* generator = nullptr);
  Tensor forward(Tensor x) override;
  /// The same of images side by side in their channels, as cat(inputs, -1) would join them.
  Tensor forward(std::vector<Tensor> inputs);
  std::unique_ptr<Module> rebuilt() const override;

  const Norm norm;
  Conv2d conv1, conv2;
  std::unique_ptr<Module> norm1, norm2;  // null without a norm
};

/// One step up: twice the size at half the channels, joined with the skip connection of that level.
struct UpBlock : DoubleConv {
  UpBlock(std::int64_t in_channels, Norm norm, UpMode mode, Generator* generator = nullptr);
  using DoubleConv::forward;
  ///   x     [N, H, W, in]
  ///   skip  [N, 2 H, 2 W, in / 2]
  ///   returns skip's shape
  Tensor forward(Tensor x, Tensor skip);
  std::unique_ptr<Module> rebuilt() const override;

  UpMode mode;
  std::unique_ptr<Module> up;  // a 2x2 transposed convolution, or the 1x1 one of bilinear upsampling
};

/// U-Net (Ronneberger, Fischer and Brox, 2015) with padded convolutions, so that sizes are kept.
///
///   down.0 ... down.{depth-1}   DoubleConv to base_width 2^i channels, then 2x2 max pooling
///   bottom                      DoubleConv to base_width 2^depth channels, then dropout
///   up.0 ... up.{depth-1}       deepest first: up, joined with the skip connection, DoubleConv
///   head                        1x1 convolution to out_channels: logits
struct UNet : Module {
  using Options = UNetOptions;

  explicit UNet(const Options& options = {});
  ///   x        [N, H, W, in_channels], any H, W >= 1
  ///   returns  [N, H, W, out_channels]
  /// If H or W is no multiple of 2^depth, the image is extended at the bottom and right, and the result is
  /// cut back. It is extended by reflection, or by zeros if it is too small to reflect.
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  const Options options;  ///< without the generator, which need not outlive the constructor
  ModuleList<DoubleConv> down;
  DoubleConv bottom;
  Dropout dropout;
  ModuleList<UpBlock> up;
  Conv2d head;
};

/// Writes weights and options as safetensors (see save_weights), with `metadata` beside them.
void save_unet(const UNet& model, const std::filesystem::path& path,
               const std::map<std::string, std::string>& metadata = {});

/// Rebuilds the network that save_unet wrote, on the CPU and in training mode. Fills `metadata` if given.
/// Throws Error naming the path if the file is damaged or holds another model or no options. Also throws if
/// weights do not fit or are not finite.
std::unique_ptr<UNet> load_unet(const std::filesystem::path& path,
                                std::map<std::string, std::string>* metadata = nullptr);

}  // namespace karyon
