#pragma once

#include <tiffio.h>

#include <catch2/catch.hpp>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "tiff_layout.h"

namespace nuclei::test {

using Values = std::function<double(int x, int y, int c)>;

/// The same value everywhere.
inline Values all(double value) {
  return [value](int, int, int) { return value; };
}

struct Page {
  int width = 5, height = 4, samples = 1, bits = 8;
  int format = SAMPLEFORMAT_UINT, photometric = PHOTOMETRIC_MINISBLACK, planar = PLANARCONFIG_CONTIG;
  int compression = COMPRESSION_NONE, rows_per_strip = 2, tile = 0;
  std::string description = {};
  std::vector<std::uint16_t> extras = {};
  std::function<void(TIFF*)> more = {};
  // [height, width, samples]; what is stored
  Values value = [](int x, int y, int c) { return 10 * y + x + 100 * c; };
};

inline void put(std::vector<std::uint8_t>& bytes, std::size_t at, const Page& p, double value) {
  const auto store = [&](auto v) { std::memcpy(bytes.data() + at * sizeof(v), &v, sizeof(v)); };
  if (p.format == SAMPLEFORMAT_IEEEFP || p.bits == 64)
    return p.bits == 32 ? store(static_cast<float>(value)) : store(value);
  if (p.bits == 8) return store(static_cast<std::uint8_t>(static_cast<int>(value)));
  if (p.bits == 16) return store(static_cast<std::uint16_t>(static_cast<int>(value)));
  if (p.bits == 32) return store(static_cast<std::uint32_t>(static_cast<std::int64_t>(value)));
  const auto per_byte = static_cast<std::size_t>(8 / p.bits);
  const auto shift = (per_byte - 1 - at % per_byte) * static_cast<std::size_t>(p.bits);
  bytes[at / per_byte] = static_cast<std::uint8_t>(bytes[at / per_byte] | static_cast<int>(value) << shift);
}

/// Rows or tiles of one plane, or of all samples interleaved, as libtiff wants them.
inline std::vector<std::uint8_t> block(const Page& p, int x0, int y0, int width, int height, int plane) {
  const int samples = p.planar == PLANARCONFIG_CONTIG ? p.samples : 1;
  const std::size_t row = (static_cast<std::size_t>(width * samples * p.bits) + 7) / 8;
  std::vector<std::uint8_t> bytes;
  for (int y = y0; y < y0 + height; ++y) {
    std::vector<std::uint8_t> line(row);
    for (int x = 0; x < width; ++x)
      for (int c = 0; c < samples; ++c)
        if (y < p.height && x0 + x < p.width)
          put(line, static_cast<std::size_t>(x * samples + c), p,
              p.value(x0 + x, y, p.planar == PLANARCONFIG_CONTIG ? c : plane));
    bytes.insert(bytes.end(), line.begin(), line.end());
  }
  return bytes;
}

/// A directory for each page.
inline void write(const std::filesystem::path& path, const std::vector<Page>& pages, const char* mode = "w") {
  TIFF* t = TIFFOpen(path.c_str(), mode);
  REQUIRE(t != nullptr);
  for (const Page& p : pages) {
    set_layout(t, p);
    if (!p.extras.empty())
      TIFFSetField(t, TIFFTAG_EXTRASAMPLES, static_cast<int>(p.extras.size()), p.extras.data());
    if (!p.description.empty()) TIFFSetField(t, TIFFTAG_IMAGEDESCRIPTION, p.description.c_str());
    if (p.more) p.more(t);
    const int planes = p.planar == PLANARCONFIG_SEPARATE ? p.samples : 1;
    if (p.tile > 0) {
      TIFFSetField(t, TIFFTAG_TILEWIDTH, p.tile);
      TIFFSetField(t, TIFFTAG_TILELENGTH, p.tile);
    } else {
      TIFFSetField(t, TIFFTAG_ROWSPERSTRIP, p.rows_per_strip);
    }
    for (int plane = 0; plane < planes; ++plane) {
      if (p.tile > 0) {
        for (int y = 0; y < p.height; y += p.tile)
          for (int x = 0; x < p.width; x += p.tile) {
            auto bytes = block(p, x, y, p.tile, p.tile, plane);
            REQUIRE(TIFFWriteTile(t, bytes.data(), static_cast<std::uint32_t>(x),
                                  static_cast<std::uint32_t>(y), 0, static_cast<std::uint16_t>(plane)) >= 0);
          }
        continue;
      }
      for (int y = 0; y < p.height; ++y) {
        auto bytes = block(p, 0, y, p.width, 1, plane);
        REQUIRE(TIFFWriteScanline(t, bytes.data(), static_cast<std::uint32_t>(y),
                                  static_cast<std::uint16_t>(plane)) == 1);
      }
    }
    REQUIRE(TIFFWriteDirectory(t));
  }
  TIFFClose(t);
}

/// 8-bit grey pages of these pixels, [height, width, samples].
inline void write_pages(const std::filesystem::path& path, int width,
                        const std::vector<std::vector<std::uint8_t>>& pages, int samples = 1) {
  std::vector<Page> written;
  for (const std::vector<std::uint8_t>& pixels : pages)
    written.push_back(
        {.width = width,
         .height = static_cast<int>(pixels.size()) / (width * samples),
         .samples = samples,
         .extras = std::vector<std::uint16_t>(static_cast<std::size_t>(samples - 1), EXTRASAMPLE_UNSPECIFIED),
         .value = [&pixels, width, samples](int x, int y, int c) {
           return pixels[static_cast<std::size_t>((y * width + x) * samples + c)];
         }});
  write(path, written);
}

/// Pages of the values 1, 2, ..., `count`. The description is the first one's.
inline std::vector<Page> stack(int count, const std::string& description = "") {
  std::vector<Page> pages;
  for (int i = 1; i <= count; ++i) pages.push_back({.value = all(i)});
  pages.front().description = description;
  return pages;
}

}  // namespace nuclei::test
