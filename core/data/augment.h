#pragma once
#include <karyon/core/data/dataset.h>

// Changes of images that leave their meaning alone, for Dataset::get(). Images are [H, W, C] or [N, H, W, C],
// in the CPU's memory. Nothing here is differentiable.
//
//     Sample sample = random_crop({image, mask}, 256, generator);
//     sample = random_rot90(random_flip(sample, generator), generator);
//     sample[0] = jitter(sample[0], {.brightness = 0.2}, generator);
namespace karyon {

/// Images, height, width and channels of a tensor of images. Throws Error that names `op` unless it is
/// [H, W, C] or [N, H, W, C] in the CPU's memory. For an augmentation of your own.
struct ImageSizes {
  std::int64_t n, h, w, c;
};
ImageSizes image_sizes(const char* op, const Tensor& x);

/// Left and right exchanged. Any dtype; returns x's shape.
Tensor hflip(const Tensor& x);
/// Top and bottom exchanged. Any dtype; returns x's shape.
Tensor vflip(const Tensor& x);
/// Turned counterclockwise by `k` times 90 degrees, as torch.rot90 over height and width. Any dtype; height
/// and width are exchanged if k is odd.
Tensor rot90(const Tensor& x, int k = 1);

// All tensors of a sample get the same change, so that a mask stays with its image.

/// hflip with a probability of one half, and vflip likewise.
Sample random_flip(const Sample& sample, Generator& generator);
/// rot90 by 0, 1, 2 or 3 turns. Images of any shape, but only square ones keep it.
Sample random_rot90(const Sample& sample, Generator& generator);
/// A window of `size` anywhere inside. Throws Error if the tensors differ in height or width, or are smaller.
Sample random_crop(const Sample& sample, Pair size, Generator& generator);

struct JitterOptions {
  double brightness = 0;  ///< values are multiplied by 1 - brightness to 1 + brightness
  double contrast = 0;    ///< the same for distances to the image's mean
};
/// Changes brightness and contrast at random, for each image separately, as torchvision's ColorJitter. But
/// the mean is that of all channels, and values are not limited afterwards.
///   x        f32 or f64
///   returns  x's shape and dtype
/// Throws Error unless both options are in [0, 1].
Tensor jitter(const Tensor& x, const JitterOptions& options, Generator& generator);

}  // namespace karyon
