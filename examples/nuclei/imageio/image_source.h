#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "imageio/image.h"

namespace nuclei {

/// A picture read row by row, so that one larger than memory can be worked on. Pixels are as in Image.
class ImageSource {
 public:
  virtual ~ImageSource() = default;

  /// Width, height, channels, scale and pixel size; there are no values.
  const Image& header() const { return header_; }
  /// What was chosen where the file leaves a choice ("channel 1 of 3 ..."), or nothing.
  const std::string& note() const { return note_; }

  /// Reads rows y ... y + count - 1 into [count, width, channels]. Cheapest when y ascends. Throws Failure
  /// where the file is damaged or ends early.
  virtual void read(int y, int count, float* pixels) = 0;

  /// Bytes that the source itself takes: all pixels where the file was decoded at once.
  virtual std::size_t held_bytes() const = 0;

 protected:
  Image header_;
  std::string note_;
};

/// What to take from a file that holds more than one picture.
struct ReadOptions {
  /// A slice, a time point or a position, from 1; not given: the first, noted.
  std::optional<int> page;
  std::string channel;  // number (1 is the first) or name; empty: the colours, or else the first, noted
};

/// Any image file. PNG, JPEG and BMP are decoded at once, TIFF as it is read.
std::unique_ptr<ImageSource> open_image(const std::filesystem::path& path, const ReadOptions& options = {});

/// All of a source in memory.
Image read_all(ImageSource& source);

/// Brightness (mean of the channels) below which a given share of the pixels lies: the values that
/// std::nth_element would put at position share * (count - 1), found in two passes without holding the
/// picture.
std::vector<float> brightness_quantiles(ImageSource& source, const std::vector<double>& shares);

}  // namespace nuclei
