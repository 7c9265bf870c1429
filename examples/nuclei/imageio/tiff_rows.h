#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "imageio/palette.h"
#include "imageio/tiff_file.h"
#include "imageio/tiff_stack.h"

namespace nuclei {

/// How the samples of a page lie and what they mean.
struct TiffLayout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, format = SAMPLEFORMAT_UINT, samples = 1, planar = PLANARCONFIG_CONTIG;
  std::uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  int colours = 1;  // samples that are no alpha
  bool rgb = false, tiled = false;
  std::uint32_t tile_width = 0, tile_height = 0;
  Palette palette;  // empty where the samples are brightness (a look-up table's indices, too) or colours
};

/// The layout of the file's current page. Throws Failure if the page is damaged or of a kind that is not
/// read.
TiffLayout read_layout(TiffFile& file);

/// Bytes of a row of samples, or of all tiles that a row lies in: what a TiffRows holds.
std::uint64_t held_bytes(const TiffLayout& layout);

/// Throws Failure if the file was cut before the end of the page's pixels, so that no long work begins.
void check_complete(const TiffFile& file);

float half_to_float(std::uint16_t half);

template <class T, class Visit>
void walk(const std::uint8_t* raw, std::size_t first, std::size_t step, std::size_t n, const Visit& visit) {
  for (std::size_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, raw + (first + i * step) * sizeof(T), sizeof(T));
    visit(i, value);
  }
}

/// Samples of any number of bits up to 32, the leftmost in the high bits. Three whole bytes are in the order
/// of the machine, as libtiff leaves them.
template <class Visit>
void walk_packed(const std::uint8_t* raw, std::size_t bits, bool is_signed, std::size_t first,
                 std::size_t step, std::size_t n, const Visit& visit) {
  const bool swapped = bits == 24 && std::endian::native == std::endian::little;
  const std::int64_t sign = is_signed ? std::int64_t{1} << (bits - 1) : 0;
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t begin = (first + i * step) * bits, end = begin + bits;
    std::uint64_t value = 0;
    for (std::size_t byte = begin / 8; 8 * byte < end; ++byte)
      value = value << 8 | raw[swapped ? (begin + end) / 8 - 1 - byte : byte];
    value = value >> (7 - (end + 7) % 8) & ((std::uint64_t{1} << bits) - 1);
    visit(i, (static_cast<std::int64_t>(value) ^ sign) - sign);
  }
}

/// Calls visit(i, value) for samples first, first + step, ... of a row.
template <class Visit>
void for_each_sample(const TiffLayout& l, const std::uint8_t* raw, std::size_t first, std::size_t step,
                     std::size_t n, const Visit& visit) {
  if (l.format == SAMPLEFORMAT_IEEEFP) {
    if (l.bits == 16)
      return walk<std::uint16_t>(raw, first, step, n,
                                 [&](std::size_t i, std::uint16_t v) { visit(i, half_to_float(v)); });
    if (l.bits == 32) return walk<float>(raw, first, step, n, visit);
    return walk<double>(raw, first, step, n, visit);
  }
  const bool is_signed = l.format == SAMPLEFORMAT_INT;
  switch (l.bits) {
    case 8:
      return is_signed ? walk<std::int8_t>(raw, first, step, n, visit)
                       : walk<std::uint8_t>(raw, first, step, n, visit);
    case 16:
      return is_signed ? walk<std::int16_t>(raw, first, step, n, visit)
                       : walk<std::uint16_t>(raw, first, step, n, visit);
    case 32:
      return is_signed ? walk<std::int32_t>(raw, first, step, n, visit)
                       : walk<std::uint32_t>(raw, first, step, n, visit);
    case 64:
      return is_signed ? walk<std::int64_t>(raw, first, step, n, visit)
                       : walk<std::uint64_t>(raw, first, step, n, visit);
    default: break;
  }
  walk_packed(raw, l.bits, is_signed, first, step, n, visit);
}

/// Decodes the rows of one page. Each plane of a planar file has its own object, so that every file is read
/// forwards.
class TiffRows {
 public:
  /// `behind`: how many planes of a stack the page lies behind the directory's own; see tiff_stack.h.
  TiffRows(const std::filesystem::path& path, tdir_t directory, const TiffLayout& layout,
           std::uint64_t behind = 0);

  /// Calls visit(x, value) for sample `sample` of each pixel of row y.
  template <class Visit>
  void row(int y, int sample, const Visit& visit) {
    const bool planar = layout_.planar == PLANARCONFIG_SEPARATE;
    const auto plane = static_cast<std::uint16_t>(planar ? sample : 0);
    const auto first = static_cast<std::size_t>(planar ? 0 : sample);
    if (!layout_.tiled) {
      read_line(y, plane);
      return for_each_sample(layout_, buffer_.data(), first, per_pixel_, layout_.width, visit);
    }
    const int band = y / static_cast<int>(layout_.tile_height);
    read_band(band, plane, y);
    const std::size_t in_band = static_cast<std::size_t>(y) % layout_.tile_height;
    const std::uint8_t* line = buffer_.data() + in_band * tile_row_bytes_;
    const std::size_t tile = tile_row_bytes_ * layout_.tile_height;
    for (std::uint32_t x = 0; x < layout_.width; x += layout_.tile_width, line += tile) {
      const std::uint32_t n = std::min(layout_.tile_width, layout_.width - x);
      for_each_sample(layout_, line, first, per_pixel_, n,
                      [&](std::size_t i, auto value) { visit(x + i, value); });
    }
  }

 private:
  [[noreturn]] void damaged(int y) { file_.damaged("at row " + std::to_string(y) + ": "); }

  // Pieces without bytes are left out of a file on purpose: they are 0.
  bool is_left_out(std::uint32_t piece) { return TIFFGetStrileByteCount(file_.get(), piece) == 0; }
  // These fill buffer_ with row y, or with the band of tiles that row y is in.
  void read_line(int y, std::uint16_t plane);
  void read_band(int band, std::uint16_t plane, int y);

  TiffLayout layout_;
  TiffFile file_;
  std::size_t per_pixel_ = 1, tile_row_bytes_ = 0;
  std::vector<std::uint8_t> buffer_, tile_;  // a row, or the tiles of a band
  std::optional<StackPlane> stack_;
  std::uint32_t rows_per_strip_ = 1;
  int line_ = -1, band_ = -1;
  std::uint16_t plane_ = 0;
};

}  // namespace nuclei
