#pragma once

#include <tiffio.h>

#include <cstdint>
#include <filesystem>
#include <stdexcept>
#include <string>
#include <vector>

#include "tiff_layout.h"

namespace nuclei::test {

/// A TIFF whose strips (of one row) or tiles are given as the bytes to store. Empty ones are left out.
struct RawTiff {
  std::uint32_t width = 4, height = 1;
  int bits = 8, samples = 1, format = SAMPLEFORMAT_UINT, photometric = PHOTOMETRIC_MINISBLACK;
  int planar = PLANARCONFIG_CONTIG;
  int compression = COMPRESSION_NONE;  // that the bytes are said to have
  int tile_width = 0, tile_height = 0;
  std::vector<std::vector<std::uint8_t>> pieces = {};
  std::vector<std::uint16_t> red = {}, green = {}, blue = {};  // of a palette
};

inline void write_tiff(const std::filesystem::path& file, const RawTiff& t, const char* mode = "w") {
  TIFF* tiff = TIFFOpen(file.c_str(), mode);
  if (!tiff) throw std::runtime_error("cannot write " + file.string());
  set_layout(tiff, t);
  if (!t.red.empty()) TIFFSetField(tiff, TIFFTAG_COLORMAP, t.red.data(), t.green.data(), t.blue.data());
  if (t.tile_width > 0) {
    TIFFSetField(tiff, TIFFTAG_TILEWIDTH, t.tile_width);
    TIFFSetField(tiff, TIFFTAG_TILELENGTH, t.tile_height);
  } else {
    TIFFSetField(tiff, TIFFTAG_ROWSPERSTRIP, 1);
  }
  for (std::size_t i = 0; i < t.pieces.size(); ++i) {
    std::vector<std::uint8_t> bytes = t.pieces[i];
    if (bytes.empty()) continue;
    const auto piece = static_cast<std::uint32_t>(i);
    const auto size = static_cast<tmsize_t>(bytes.size());
    if (t.tile_width > 0) {
      TIFFWriteRawTile(tiff, piece, bytes.data(), size);
    } else {
      TIFFWriteRawStrip(tiff, piece, bytes.data(), size);
    }
  }
  TIFFClose(tiff);
}

/// Values as the bytes of this machine.
template <class T>
std::vector<std::uint8_t> bytes_of(const std::vector<T>& values) {
  const auto* begin = reinterpret_cast<const std::uint8_t*>(values.data());
  return {begin, begin + values.size() * sizeof(T)};
}

}  // namespace nuclei::test
