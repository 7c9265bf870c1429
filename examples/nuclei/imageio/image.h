#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "imageio/raster.h"

namespace nuclei {

/// A picture as the network sees it: values in [0, 1], 1 channel (grey) or 3 (RGB).
struct Image : Raster<float> {
  using Raster::Raster;

  int bit_depth = 8;  // of the file it came from: 8, 16, 32 or 64

  /// A value in the file is offset + scale * pixel. The scale is below 0 where low values are light.
  double scale = 255;
  double offset = 0;
  bool integers = true;  // whether the file holds integers
  /// Micrometres per pixel; 0 where the file does not say.
  double pixel_width = 0;
  double pixel_height = 0;
};

struct ReadOptions;  // image_source.h

/// Reads a PNG, JPEG, BMP or TIFF file with its full depth, as open_image() gives it. Grey stays one channel;
/// palettes become RGB, or one channel of their indices where they are look-up tables; an alpha channel is
/// dropped. A TIFF with several pages or channels gives the first ones, unless the options choose others.
/// Throws Failure like open_image, if the file is cut short anywhere, and above max_pixels.
///   note  receives ImageSource::note_and_remark()
Image read_image(const std::filesystem::path& path);
Image read_image(const std::filesystem::path& path, const ReadOptions& options, std::string* note = nullptr);

/// 1 inside, 0 outside; one channel.
using Mask = Raster<std::uint8_t>;

/// A picture to show: 8 bits; channels are 1 grey, 2 grey + alpha, 3 RGB, 4 RGBA.
using Picture = Raster<std::uint8_t>;

/// The image with 8 bits: values are clamped to [0, 1] and rounded to 0, ..., 255. Holes are 0.
Picture to_8_bits(const Image& image);

/// Writes an 8-bit PNG atomically (see write_file_atomically). Throws Failure if the file cannot be written
/// or the size is not positive.
void write_png8(const std::filesystem::path& path, const Picture& picture);

/// The same picture as the bytes of a PNG file. Throws Failure if the size is not positive.
std::vector<std::uint8_t> encode_png8(const Picture& picture);

/// Writes a 16-bit grey PNG atomically. Throws Failure like write_png8.
void write_png16(const std::filesystem::path& path, const Raster<std::uint16_t>& picture);

}  // namespace nuclei
