#pragma once
#include <karyon/core/ops/pixel_shuffle.h>
#include <karyon/layers/module.h>

namespace karyon {

/// pixel_shuffle: [N, H, W, C factor^2] -> [N, H factor, W factor, C].
struct PixelShuffle : Module {
  explicit PixelShuffle(std::int64_t upscale_factor) : factor_(upscale_factor) {}
  Tensor forward(Tensor x) override { return pixel_shuffle(x, factor_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<PixelShuffle>(factor_); }

 private:
  std::int64_t factor_;
};

/// pixel_unshuffle: [N, H factor, W factor, C] -> [N, H, W, C factor^2].
struct PixelUnshuffle : Module {
  explicit PixelUnshuffle(std::int64_t downscale_factor) : factor_(downscale_factor) {}
  Tensor forward(Tensor x) override { return pixel_unshuffle(x, factor_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<PixelUnshuffle>(factor_); }

 private:
  std::int64_t factor_;
};

/// channel_shuffle: [N, ..., C] -> [N, ..., C].
struct ChannelShuffle : Module {
  explicit ChannelShuffle(std::int64_t groups) : groups_(groups) {}
  Tensor forward(Tensor x) override { return channel_shuffle(x, groups_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ChannelShuffle>(groups_); }

 private:
  std::int64_t groups_;
};

}  // namespace karyon
