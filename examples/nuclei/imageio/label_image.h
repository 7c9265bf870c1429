#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "imageio/image.h"

namespace nuclei {

/// A mask or a label image: the value that the file stores for each pixel. 0 is background, whatever colour
/// it is shown in. A value is an integer of up to 53 bits (below 0: modulo 2^64), a palette's index, or three
/// colours of 16 bits with red above; NaN is 0. Other floats are themselves, bit by bit.
struct LabelImage : Raster<std::uint64_t> {
  using Raster::Raster;

  int bit_depth = 8;
  bool colours = false;       // values are three colours
  std::uint64_t highest = 0;  // of all samples, without alpha
  bool alpha = false, alpha_varies = false;
  std::string several;  // the note of a file that holds more than one page or channel
  std::string note;     // what was decided where the file leaves a choice
};

/// Reads any image file of labels. One exception from 0 as background: where value 0 is shown light
/// (white is zero, or a palette), and a value that is shown black covers nine tenths of the frame and more
/// than half of the picture, the two change places, and the note says so. Throws Failure like read_image, and
/// for integers beyond 2^53 and colours of more than 16 bits.
LabelImage read_label_image(const std::filesystem::path& path);

/// A value besides 0 that covers more than half of a picture and of its frame, as only background does;
/// `value` is 0 if there is none. It makes doubtful that 0 is background.
struct Rival {
  std::uint64_t value = 0;
  double area = 0, frame = 0;  // shares
  bool sure() const { return frame > 0.9; }
};
Rival rival_of_background(const LabelImage& labels);

/// Reads a mask: 1 where the label image is not 0. Throws Failure like read_label_image, and if the file is
/// not `width` by `height` pixels.
Mask read_mask(const std::filesystem::path& path, int width, int height);

}  // namespace nuclei
