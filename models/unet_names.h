#pragma once
#include <string>

namespace karyon {

/// The name in UNet for a name of milesial's Pytorch-UNet with transposed convolutions (bilinear=False), for
/// load_weights(). Its network is a UNet of base_width 64, depth 4 and batch norms. Other names pass
/// unchanged. The page on weights from PyTorch has all names.
///
///     UNet net({.in_channels = 3, .out_channels = 2, .base_width = 64});
///     load_weights(net, "unet_carvana.pth", {.rename = from_milesial_unet});
std::string from_milesial_unet(const std::string& name);

}  // namespace karyon
