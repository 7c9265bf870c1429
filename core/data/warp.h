#pragma once
#include <karyon/core/data/augment.h>
#include <karyon/core/ops/layout.h>

// Turns, stretches and bends of images at any place. Images are [H, W, C] or [N, H, W, C], in the CPU's memory.
// Floating values are interpolated from the four nearest pixels. All others, such as class indices, are those of
// the nearest pixel. So a mask stays a mask. All tensors of a sample get the same change. Nothing here is
// differentiable.
//
//     Sample sample = random_affine({image, mask}, {.degrees = 180, .scale_low = 0.8}, generator);
//     sample = random_elastic(sample, {.alpha = 60, .sigma = 6}, generator);
namespace karyon {

/// The image whose pixel (i, j) is x at row positions[i, j, 0] and column positions[i, j, 1].
///   positions  [H', W', 2], f32: pixel centres are at whole numbers
///   border     what is outside: 0, or the image mirrored without repeating its edge
///   returns    x's shape with height H' and width W', x's dtype: any but bf16
Tensor warp(const Tensor& x, const Tensor& positions, PadMode border = PadMode::zeros);

struct AffineOptions {
  double degrees = 0;  ///< counterclockwise, as torchvision's rotate
  double scale = 1;    ///< above 1 enlarges
  double shear = 0;    ///< degrees by which vertical lines lean
  double down = 0;     ///< pixels that the image moves down
  double right = 0;    ///< and to the right
  PadMode border = PadMode::zeros;
};
/// The image sheared, scaled and turned about its centre, then moved. Returns x's shape and dtype.
/// Throws Error unless scale > 0 and |shear| < 90.
Tensor affine(const Tensor& x, const AffineOptions& options);
/// affine() with this turn alone. rot90() moves pixels exactly.
Tensor rotate(const Tensor& x, double degrees, PadMode border = PadMode::zeros);

struct RandomAffineOptions {
  double degrees = 0;     ///< the turn is from -degrees to degrees
  double scale_low = 1;   ///< the scale is from scale_low to scale_high, as often below their geometric mean
  double scale_high = 1;  ///< as above
  double shear = 0;       ///< degrees, likewise from -shear to shear
  double translate = 0;   ///< the largest move, as a part of height and width
  PadMode border = PadMode::zeros;
};
/// affine() by random amounts.
Sample random_affine(const Sample& sample, const RandomAffineOptions& options, Generator& generator);

struct RandomResizedCropOptions {
  double scale_low = 0.08;  ///< the window's part of the area is from scale_low to scale_high
  double scale_high = 1;
  double ratio_low = 3.0 / 4;  ///< width by height, from ratio_low to ratio_high
  double ratio_high = 4.0 / 3;
};
/// A random window, brought to `size`, as torchvision's RandomResizedCrop. No window that fits in ten tries: the
/// largest in the middle whose ratio is allowed.
Sample random_resized_crop(const Sample& sample, Pair size, const RandomResizedCropOptions& options,
                           Generator& generator);

struct ElasticOptions {
  double alpha = 50;  ///< pixels per unit of smoothed noise from -1 to 1
  double sigma = 5;   ///< of the Gaussian that smooths the noise, in pixels
  PadMode border = PadMode::reflect;
};
/// Bends the image by a smooth random field (Simard, Steinkraus and Platt, 2003).
Sample random_elastic(const Sample& sample, const ElasticOptions& options, Generator& generator);

}  // namespace karyon
