#pragma once
#include <karyon/core/data/augment.h>

// Changes of light, colour and sharpness, with the formulas of torchvision. Images are [H, W, C] or [N, H, W, C],
// f32 or f64, in the CPU's memory. Each function returns x's shape and dtype, and throws Error for others.
// Nothing here is differentiable.
namespace karyon {

/// The values times `factor`, limited to [0, 1].
Tensor adjust_brightness(const Tensor& x, double factor);
/// The distances to the mean of an image's grey times `factor`, limited to [0, 1]. C is 1 or 3.
Tensor adjust_contrast(const Tensor& x, double factor);
/// The distances to the pixel's grey times `factor`, limited to [0, 1]. C is 3.
Tensor adjust_saturation(const Tensor& x, double factor);
/// The hue turned by `shift` of the colour circle, from -0.5 to 0.5. C is 3; values are in [0, 1].
Tensor adjust_hue(const Tensor& x, double shift);
/// gain x^gamma, limited to [0, 1]. Gamma is not negative.
Tensor adjust_gamma(const Tensor& x, double gamma, double gain = 1);

struct ColorJitterOptions {
  double brightness = 0;  ///< the factor is from max(0, 1 - brightness) to 1 + brightness
  double contrast = 0;    ///< likewise
  double saturation = 0;  ///< likewise
  double hue = 0;         ///< the shift is from -hue to hue, at most 0.5
};
/// All four by random amounts in a random order, for each image separately, as torchvision's ColorJitter.
/// jitter() is for images of other channels and ranges.
///   x        C is 3, values are in [0, 1]
Tensor color_jitter(const Tensor& x, const ColorJitterOptions& options, Generator& generator);

/// Blurred by a Gaussian. The image is mirrored at its border without repeating the edge.
///   sigma        above 0, in pixels
///   kernel_size  odd; 0: 2 ceil(3 sigma) + 1
Tensor gaussian_blur(const Tensor& x, double sigma, std::int64_t kernel_size = 0);

/// With independent normal noise of standard deviation `std` added. Values are not limited.
Tensor gaussian_noise(const Tensor& x, double std, Generator& generator);

}  // namespace karyon
