#pragma once

#include <tiffio.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

namespace nuclei::test {

/// A TIFF with an 8-bit grey page for each list of pixels; `samples` of them make one pixel.
inline void write_pages(const std::filesystem::path& file, int width,
                        const std::vector<std::vector<std::uint8_t>>& pages, int samples = 1) {
  TIFF* tiff = TIFFOpen(file.c_str(), "w");
  if (!tiff) throw std::runtime_error("cannot write " + file.string());
  for (std::vector<std::uint8_t> pixels : pages) {
    const auto row = static_cast<std::size_t>(width) * static_cast<std::size_t>(samples);
    TIFFSetField(tiff, TIFFTAG_IMAGEWIDTH, width);
    TIFFSetField(tiff, TIFFTAG_IMAGELENGTH, static_cast<int>(pixels.size() / row));
    TIFFSetField(tiff, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(tiff, TIFFTAG_SAMPLESPERPIXEL, samples);
    TIFFSetField(tiff, TIFFTAG_PHOTOMETRIC, PHOTOMETRIC_MINISBLACK);
    TIFFSetField(tiff, TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
    if (samples > 1) {
      const std::vector<std::uint16_t> extra(static_cast<std::size_t>(samples - 1), EXTRASAMPLE_UNSPECIFIED);
      TIFFSetField(tiff, TIFFTAG_EXTRASAMPLES, samples - 1, extra.data());
    }
    for (std::size_t y = 0; y * row < pixels.size(); ++y)
      TIFFWriteScanline(tiff, pixels.data() + y * row, static_cast<std::uint32_t>(y));
    TIFFWriteDirectory(tiff);
  }
  TIFFClose(tiff);
}

}  // namespace nuclei::test
