#pragma once

#include <tiffio.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

namespace nuclei::test {

struct Page {
  int value = 1;
  int width = 5, height = 4, samples = 1;
  std::function<void(TIFF*)> more = {};
};

/// 8-bit pages of one value each.
inline void write(const std::filesystem::path& path, const std::vector<Page>& pages,
                  const std::string& description) {
  TIFF* t = TIFFOpen(path.c_str(), "w");
  REQUIRE(t != nullptr);
  for (std::size_t i = 0; i < pages.size(); ++i) {
    const Page& p = pages[i];
    TIFFSetField(t, TIFFTAG_IMAGEWIDTH, p.width);
    TIFFSetField(t, TIFFTAG_IMAGELENGTH, p.height);
    TIFFSetField(t, TIFFTAG_SAMPLESPERPIXEL, p.samples);
    TIFFSetField(t, TIFFTAG_BITSPERSAMPLE, 8);
    TIFFSetField(t, TIFFTAG_PHOTOMETRIC, p.samples == 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK);
    TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, p.height);
    if (i == 0 && !description.empty()) TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION, description.c_str());
    if (p.more) p.more(t);
    for (int y = 0; y < p.height; ++y) {
      std::vector<std::uint8_t> row(static_cast<std::size_t>(p.width * p.samples),
                                    static_cast<std::uint8_t>(p.value));
      REQUIRE(TIFFWriteScanline(t, row.data(), static_cast<std::uint32_t>(y)) == 1);
    }
    REQUIRE(TIFFWriteDirectory(t));
  }
  TIFFClose(t);
}

inline std::vector<Page> stack(int count) {
  std::vector<Page> pages;
  for (int i = 1; i <= count; ++i) pages.push_back({.value = i});
  return pages;
}

}  // namespace nuclei::test
