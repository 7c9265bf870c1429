#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

#include <karyon/core/atomic_file.h>

#include "imageio/raster.h"

struct tiff;

namespace nuclei {

/// Writes a TIFF file row by row: compressed, in tiles, and as BigTIFF if it may exceed 4 GB. The file
/// appears under its name with commit(). Throws Failure or karyon::Error if it cannot be written.
class TiffWriter {
 public:
  enum class Sample { u16, u32, f32 };
  /// pixel_width and pixel_height in micrometres, 0 if unknown.
  TiffWriter(const std::filesystem::path& path, int width, int height, int channels, Sample sample,
             double pixel_width = 0, double pixel_height = 0);
  ~TiffWriter();
  TiffWriter(const TiffWriter&) = delete;
  TiffWriter& operator=(const TiffWriter&) = delete;

  /// The next rows, [count, width, channels] of the type chosen.
  void append(const void* rows, int count);
  void commit();

 private:
  [[noreturn]] void fail();
  void write_tiles();

  std::filesystem::path path_;
  karyon::AtomicFile file_;
  std::unique_ptr<std::string> message_;
  tiff* tiff_ = nullptr;
  int width_, height_, next_ = 0;
  Raster<std::uint8_t> band_, tile_;  // rows that are not written yet, and a tile of them; channels are bytes
};

}  // namespace nuclei
