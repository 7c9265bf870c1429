#pragma once
#include <cstddef>

#include <karyon/models/unet.h>

namespace karyon {

/// What a program has to know of a U-Net to run it on overlapping windows of a large image.
///
/// Take a block of outputs that begins and ends at multiples of 2^depth. A window gives the same outputs as
/// the whole image, up to rounding, if it reaches `reach` pixels further on every side where the image goes
/// on, and begins at a multiple of 2^depth. It gives the same bits if `exact_reach` and `alignment` stand in
/// place of `reach` and 2^depth. A group norm looks at the whole window, so a network with group norms allows
/// neither.
struct UNetWindow {
  int reach;        ///< pixels beyond a block on which its outputs depend
  int exact_reach;  ///< the same with the pixels that only touch the rounding
  int alignment;    ///< pixels: then pooling meets the same pixels, and sums are formed in the same order
  std::size_t bytes_per_pixel;  ///< memory at inference, at most, for activations of `dtype`
};

/// Throws Error if the options are out of range.
///   dtype  what the network computes in (see AutocastGuard): f32 or bf16; inputs and outputs are f32
UNetWindow unet_window(const UNetOptions& options, DType dtype = f32);

}  // namespace karyon
