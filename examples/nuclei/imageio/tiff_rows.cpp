#include "imageio/tiff_rows.h"

#include <cmath>

#include "imageio/limits.h"

namespace nuclei {
namespace {

Palette read_palette(const TiffFile& file, std::uint16_t bits) {
  std::array<std::uint16_t*, 3> map{};
  if (!TIFFGetField(file.get(), TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
    file.fail("the colours of its palette are missing; save it as RGB");
  Palette palette(std::size_t{1} << bits);
  // Some writers keep 8-bit colours where the format wants 16 bits.
  bool deep = false;
  for (const auto* m : map) deep = deep || std::any_of(m, m + palette.size(), [](auto v) { return v > 255; });
  for (std::size_t i = 0; i < palette.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c)
      palette[i][c] = static_cast<float>(map[c][i]) / (deep ? 65535.0f : 255.0f);
  return palette;
}

/// The palette of a picture in colour. One that is a look-up table is left out: its indices are the picture.
void read_colours(const TiffFile& file, TiffLayout& l) {
  l.palette = read_palette(file, l.bits);
  const PaletteKind kind = kind_of(l.palette);
  if (kind == PaletteKind::colours) return;
  l.palette.clear();
  l.photometric = kind == PaletteKind::falling_lookup ? PHOTOMETRIC_MINISWHITE : PHOTOMETRIC_MINISBLACK;
}

/// The colour space, in which a JPEG's YCbCr is read as RGB.
std::uint16_t read_photometric(TiffFile& file, const TiffLayout& l, std::uint16_t compression) {
  std::uint16_t photometric = 0;
  if (!TIFFGetField(file.get(), TIFFTAG_PHOTOMETRIC, &photometric))
    photometric = l.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  if (photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG) {
    TIFFSetField(file.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    photometric = PHOTOMETRIC_RGB;
  }
  if (photometric != PHOTOMETRIC_RGB && photometric != PHOTOMETRIC_MINISBLACK &&
      photometric != PHOTOMETRIC_MINISWHITE && photometric != PHOTOMETRIC_PALETTE)
    file.fail("expected grey, RGB or palette pixels, got TIFF colour space " + std::to_string(photometric) +
              " (5: CMYK, 6: YCbCr, 8: Lab); save it as RGB");
  return photometric;
}

void check_samples(const TiffFile& file, const TiffLayout& l) {
  const bool whole = l.format == SAMPLEFORMAT_UINT || l.format == SAMPLEFORMAT_INT;
  if (!(whole && ((l.bits >= 1 && l.bits <= 32) || l.bits == 64)) &&
      !(l.format == SAMPLEFORMAT_IEEEFP && (l.bits == 16 || l.bits == 32 || l.bits == 64)))
    file.fail("expected integers of 1 to 32 or 64 bits or floats of 16, 32 or 64 bits, got " +
              std::to_string(l.bits) + " bits of TIFF sample format " + std::to_string(l.format) +
              (l.format >= SAMPLEFORMAT_COMPLEXINT ? " (complex numbers)" : "") + "; save it as 16 bits");
  if (l.samples == 0) file.fail("the TIFF file is damaged: a pixel has no samples; copy it again");
  if (l.photometric == PHOTOMETRIC_PALETTE && (l.format != SAMPLEFORMAT_UINT || l.bits > 8 || l.samples != 1))
    file.fail("expected a palette of at most 256 colours; save it as RGB");
}

/// Samples of a pixel that are no alpha.
int count_colours(const TiffFile& file, const TiffLayout& l) {
  std::uint16_t extras = 0;
  const std::uint16_t* kinds = nullptr;
  if (!TIFFGetField(file.get(), TIFFTAG_EXTRASAMPLES, &extras, &kinds)) extras = 0;
  return l.samples - static_cast<int>(std::count_if(kinds, kinds + extras, [](std::uint16_t kind) {
           return kind == EXTRASAMPLE_ASSOCALPHA || kind == EXTRASAMPLE_UNASSALPHA;
         }));
}

}  // namespace

float half_to_float(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const auto mantissa = static_cast<float>(half & 1023);
  const float value = exponent == 0    ? std::ldexp(mantissa, -24)
                      : exponent == 31 ? NAN
                                       : std::ldexp(mantissa + 1024, exponent - 25);
  return half >> 15 ? -value : value;
}

TiffLayout read_layout(TiffFile& file) {
  TiffLayout l;
  TIFF* tiff = file.get();
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.width) ||
      !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.height))
    file.fail("the TIFF file is damaged: its width and height are missing; copy it again");
  check_sides(file.path(), l.width, l.height);
  l.bits = file.field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
  l.format = file.field<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  if (l.format == SAMPLEFORMAT_VOID) l.format = SAMPLEFORMAT_UINT;
  l.samples = file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
  l.planar = file.field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  const auto compression = file.field<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  if (!TIFFIsCODECConfigured(compression))
    file.fail("expected a compression that libtiff knows, got number " + std::to_string(compression) +
              "; save it uncompressed");
  l.photometric = read_photometric(file, l, compression);
  check_samples(file, l);
  if (l.photometric == PHOTOMETRIC_PALETTE) read_colours(file, l);
  l.colours = count_colours(file, l);
  l.rgb = l.photometric == PHOTOMETRIC_RGB && l.colours >= 3;
  l.colours = std::max(l.colours, 1);
  l.tiled = TIFFIsTiled(tiff) != 0;
  if (l.tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &l.tile_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &l.tile_height);
    if (l.tile_width == 0 || l.tile_height == 0 || l.tile_width > longest_side ||
        l.tile_height > longest_side)
      file.fail("the TIFF file is damaged: its tiles claim " + size_text(l.tile_width, l.tile_height) +
                " pixels; copy it again");
  }
  return l;
}

std::uint64_t held_bytes(const TiffLayout& l) {
  const std::uint64_t bits = std::uint64_t{l.bits} * (l.planar == PLANARCONFIG_CONTIG ? l.samples : 1);
  if (!l.tiled) return (l.width * bits + 7) / 8;
  const std::uint64_t tile = (l.tile_width * bits + 7) / 8 * l.tile_height;
  const std::uint64_t across = (l.width + l.tile_width - 1) / l.tile_width;
  return (across + 1) * tile;  // libtiff decodes one into a buffer of its own
}

void check_complete(const TiffFile& file) {
  TIFF* tiff = file.get();
  const std::uint64_t size = std::filesystem::file_size(file.path());
  const std::uint32_t pieces = TIFFIsTiled(tiff) ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  bool any = false;
  for (std::uint32_t i = 0; i < pieces; ++i) {
    int error = 0;
    const std::uint64_t offset = TIFFGetStrileOffsetWithErr(tiff, i, &error);
    const std::uint64_t bytes = error ? 0 : TIFFGetStrileByteCountWithErr(tiff, i, &error);
    if (error || (bytes > 0 && offset == 0)) file.damaged("pixels are missing: ");
    any = any || bytes > 0;
    if (offset > size || bytes > size - offset)
      file.fail("the TIFF file is cut short: its pixels reach to byte " + std::to_string(offset + bytes) +
                ", it has " + std::to_string(size) + "; copy it again");
  }
  if (!any) file.damaged("all pixels are missing: ");
}

TiffRows::TiffRows(const std::filesystem::path& path, tdir_t directory, const TiffLayout& layout,
                   std::uint64_t behind)
    : layout_(layout), file_(path) {
  file_.go_to(directory);
  if (behind > 0) stack_ = find_in_stack(file_, behind);
  if (file_.field<std::uint16_t>(TIFFTAG_PHOTOMETRIC, 0) == PHOTOMETRIC_YCBCR)
    TIFFSetField(file_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
  per_pixel_ = layout.planar == PLANARCONFIG_CONTIG ? layout.samples : 1;
  if (layout.tiled) {
    tile_row_bytes_ = static_cast<std::size_t>(TIFFTileRowSize64(file_.get()));
    tile_.resize(static_cast<std::size_t>(TIFFTileSize64(file_.get())));
  } else {
    const std::size_t bits = std::size_t{layout.width} * per_pixel_ * layout.bits;
    buffer_.resize(
        std::max<std::size_t>((bits + 7) / 8, static_cast<std::size_t>(TIFFScanlineSize64(file_.get()))));
  }
  rows_per_strip_ = std::clamp<std::uint32_t>(file_.field<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, layout.height),
                                              1, layout.height);
}

void TiffRows::read_line(int y, std::uint16_t plane) {
  if (line_ == y && plane_ == plane) return;
  if (stack_) {
    if (!read_row(file_, *stack_, y, buffer_)) damaged(y);
    line_ = y;
    return;
  }
  // Compressed strips are decoded from their start.
  const auto start = static_cast<int>(static_cast<std::uint32_t>(y) / rows_per_strip_ * rows_per_strip_);
  if (is_left_out(TIFFComputeStrip(file_.get(), static_cast<std::uint32_t>(y), plane))) {
    std::ranges::fill(buffer_, std::uint8_t{0});
    line_ = y;
    plane_ = plane;
    return;
  }
  const bool goes_on = plane_ == plane && line_ >= start && line_ < y;
  for (int r = goes_on ? line_ + 1 : start; r <= y; ++r)
    if (TIFFReadScanline(file_.get(), buffer_.data(), static_cast<std::uint32_t>(r), plane) != 1) {
      line_ = -1;
      damaged(r);
    }
  line_ = y;
  plane_ = plane;
}

void TiffRows::read_band(int band, std::uint16_t plane, int y) {
  if (band_ == band && plane_ == plane) return;
  const std::size_t tile = tile_row_bytes_ * layout_.tile_height;
  const std::uint32_t across = (layout_.width + layout_.tile_width - 1) / layout_.tile_width;
  buffer_.resize(across * tile);
  auto to = buffer_.begin();
  for (std::uint32_t i = 0; i < across; ++i) {
    const auto top = static_cast<std::uint32_t>(band) * layout_.tile_height;
    const std::uint32_t left = i * layout_.tile_width;
    if (is_left_out(TIFFComputeTile(file_.get(), left, top, 0, plane)))
      std::ranges::fill(tile_, std::uint8_t{0});
    else if (TIFFReadTile(file_.get(), tile_.data(), left, top, 0, plane) < 0)
      damaged(y);
    to = std::copy_n(tile_.begin(), tile, to);
  }
  band_ = band;
  plane_ = plane;
}

}  // namespace nuclei
