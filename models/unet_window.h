#pragma once
#include <cstddef>

#include <karyon/models/unet.h>

namespace karyon {

/// The properties of a U-Net that matter for running it on overlapping windows of a large image.
///
/// Take a block of outputs that begins and ends at multiples of 2^depth. A window begins at a multiple of
/// 2^depth and extends `reach` pixels beyond the block, except at the image's border. It then gives the same
/// outputs as the whole image, up to rounding. With `exact_reach` and `alignment` in place of `reach` and
/// 2^depth it gives the same bits. A group norm sees the whole window, so neither holds for a network with
/// group norms.
struct UNetWindow {
  int reach;                    ///< pixels beyond a block on which its outputs depend
  int exact_reach;              ///< the same, with pixels that affect only the rounding
  int alignment;                ///< pixels: pooling then sees the same pixels, and sums have the same order
  std::size_t bytes_per_pixel;  ///< memory at inference, at most, for activations of `dtype`
};

/// Throws Error if the options are out of range.
///   dtype  what the network computes in (see AutocastGuard): f32 or bf16; inputs and outputs are f32
UNetWindow unet_window(const UNetOptions& options, DType dtype = f32);

}  // namespace karyon
