// TIFF in, through libtiff: whatever laboratories keep in it, row by row.
#include <tiffio.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>
#include <vector>

#include "common/error.h"
#include "imageio/source.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Failure("reading " + path.string() + ": " + reason);
}

// ---- libtiff without global state

int keep_message(TIFF*, void* message, const char*, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  *static_cast<std::string*>(message) = text;
  return 1;
}
int ignore_message(TIFF*, void*, const char*, const char*, va_list) { return 1; }

/// An open file at one of its directories.
class Handle {
 public:
  explicit Handle(const fs::path& path) : path_(path), message_(std::make_unique<std::string>()) {
    constexpr tmsize_t largest_block = tmsize_t{1} << 30;  // what a damaged header may ask for
    TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, largest_block);
    TIFFOpenOptionsSetErrorHandlerExtR(options, keep_message, message_.get());
    TIFFOpenOptionsSetWarningHandlerExtR(options, ignore_message, nullptr);
    // m: no memory map, whose pages would count as ours.
    tiff_.reset(TIFFOpenExt(path.c_str(), "rm", options));
    TIFFOpenOptionsFree(options);
    if (!tiff_) damaged("");
  }
  TIFF* get() const { return tiff_.get(); }

  void go_to(tdir_t directory) {
    if (!TIFFSetDirectory(get(), directory)) damaged("page " + std::to_string(directory + 1) + ": ");
  }
  [[noreturn]] void damaged(const std::string& where) const {
    const std::string& why = *message_;
    fail(path_, where + "the TIFF file is damaged, cut short or of an unsupported kind (" +
                    (why.empty() ? "libtiff gives no reason" : why) +
                    "); copy it again, or save it uncompressed");
  }
  template <class T>
  T field(std::uint32_t tag, T otherwise) const {
    T value{};
    return TIFFGetFieldDefaulted(get(), tag, &value) ? value : otherwise;
  }
  std::string text(std::uint32_t tag) const {
    const char* value = nullptr;
    return TIFFGetField(get(), tag, &value) && value ? value : "";
  }

 private:
  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };
  fs::path path_;
  std::unique_ptr<std::string> message_;
  std::unique_ptr<TIFF, Close> tiff_;
};

// ---- what the description says

std::optional<double> number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || !(value > 0) || !std::isfinite(value)) return {};
  return value;
}

int count(std::string_view text) {
  constexpr double most = 1e6;
  return static_cast<int>(std::min(number(text).value_or(1), most));
}

/// Micrometres in a unit of length, as OME (default µm) and ImageJ spell it; 0 if unknown.
double micrometres(std::string_view unit) {
  if (unit.empty() || unit == "µm" || unit == "μm" || unit == "um" || unit == "micron" || unit == "microns" ||
      unit == "\\u00B5m" || unit == "&#181;m" || unit == "&#xB5;m" || unit == "micrometer")
    return 1;
  if (unit == "nm") return 1e-3;
  if (unit == "mm") return 1e3;
  if (unit == "cm") return 1e4;
  if (unit == "m") return 1e6;
  if (unit == "pm") return 1e-6;
  if (unit == "Å") return 1e-4;
  if (unit == "in" || unit == "inch") return 25400;
  return 0;
}

/// The value of an attribute in an XML start tag, or nothing.
std::string attribute(std::string_view tag, std::string_view name) {
  for (std::size_t at = 0; (at = tag.find(name, at)) != tag.npos; at += name.size()) {
    if (at == 0 || !std::isspace(static_cast<unsigned char>(tag[at - 1]))) continue;
    std::size_t quote = at + name.size();
    while (quote < tag.size() && std::isspace(static_cast<unsigned char>(tag[quote]))) ++quote;
    if (quote >= tag.size() || tag[quote++] != '=') continue;
    while (quote < tag.size() && std::isspace(static_cast<unsigned char>(tag[quote]))) ++quote;
    if (quote >= tag.size() || (tag[quote] != '"' && tag[quote] != '\'')) continue;
    const std::size_t end = tag.find(tag[quote], quote + 1);
    if (end != tag.npos) return std::string(tag.substr(quote + 1, end - quote - 1));
  }
  return {};
}

/// The next start tag of this name from `at` on, which then stands behind it; empty if there is none.
std::string_view next_tag(std::string_view xml, std::string_view name, std::size_t& at) {
  while ((at = xml.find('<', at)) != xml.npos) {
    const std::size_t begin = ++at;
    std::string_view rest = xml.substr(begin);
    if (const std::size_t colon = rest.find_first_of(": />\t\r\n");
        colon != rest.npos && rest[colon] == ':' && colon + 1 < rest.size())
      rest.remove_prefix(colon + 1);  // a namespace
    if (!rest.starts_with(name) || rest.size() == name.size() ||
        !(std::isspace(static_cast<unsigned char>(rest[name.size()])) || rest[name.size()] == '>' ||
          rest[name.size()] == '/'))
      continue;
    const std::size_t end = xml.find('>', begin);
    if (end == xml.npos) break;
    at = end;
    return xml.substr(begin, end - begin);
  }
  at = xml.size();
  return {};
}

/// What OME-XML or ImageJ's description say beyond the TIFF tags.
struct Description {
  int channels = 1;  // kept as pages
  int slices = 1;    // all other pages, as far as it says
  bool channels_first = true;
  int slices_before_channels = 1;  // pages from one channel to the next
  std::vector<std::string> names;
  double pixel_width = 0, pixel_height = 0;
  bool image_j = false;
  double image_j_unit = 0;  // micrometres in the unit of the resolution tags
};

Description parse_ome(std::string_view xml) {
  Description d;
  std::size_t at = 0;
  const std::string_view pixels = next_tag(xml, "Pixels", at);
  const auto physical = [&](const char* size, const char* unit) {
    return number(attribute(pixels, size)).value_or(0) * micrometres(attribute(pixels, unit));
  };
  d.pixel_width = physical("PhysicalSizeX", "PhysicalSizeXUnit");
  d.pixel_height = physical("PhysicalSizeY", "PhysicalSizeYUnit");
  const int size_c = count(attribute(pixels, "SizeC")), size_z = count(attribute(pixels, "SizeZ")),
            size_t_ = count(attribute(pixels, "SizeT"));
  int samples = 0;
  const std::size_t end = std::min(xml.find("</", xml.find("Pixels", at)), xml.size());
  const std::size_t next_image = std::min(xml.find("<Image", at), xml.size());
  for (std::size_t channel_at = at; channel_at < std::max(end, next_image);) {
    const std::string_view channel = next_tag(xml, "Channel", channel_at);
    if (channel.empty() || channel_at > next_image) break;
    d.names.push_back(attribute(channel, "Name"));
    samples = std::max(samples, count(attribute(channel, "SamplesPerPixel")));
  }
  d.channels = samples > 1 ? std::max(1, size_c / samples) : size_c;
  d.slices = size_z * size_t_;
  const std::string order = attribute(pixels, "DimensionOrder");
  for (std::size_t k = 2; k < order.size() && order[k] != 'C'; ++k)
    d.slices_before_channels *= order[k] == 'Z' ? size_z : size_t_;
  return d;
}

Description parse_image_j(std::string_view text) {
  Description d;
  d.image_j = true;
  int images = 1;
  const auto value = [&](std::string_view key) -> std::string_view {
    for (std::size_t line = 0; line < text.size();) {
      const std::size_t end = std::min(text.find('\n', line), text.size());
      const std::string_view whole = text.substr(line, end - line);
      if (whole.starts_with(key) && whole.size() > key.size() && whole[key.size()] == '=')
        return whole.substr(key.size() + 1);
      line = end + 1;
    }
    return {};
  };
  images = count(value("images"));
  d.channels = count(value("channels"));
  d.slices = std::max(1, images / std::max(1, d.channels));
  if (const std::string_view unit = value("unit"); !unit.empty()) d.image_j_unit = micrometres(unit);
  return d;
}

Description describe(const std::string& text) {
  if (text.find("<OME") != text.npos || text.find(":OME") != text.npos) return parse_ome(text);
  if (text.starts_with("ImageJ=")) return parse_image_j(text);
  return {};
}

// ---- pages and channels

bool same_name(std::string_view a, std::string_view b) {
  return std::ranges::equal(
      a, b, [](unsigned char x, unsigned char y) { return std::tolower(x) == std::tolower(y); });
}

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names)
    if (!name.empty()) text += (text.empty() ? "" : ", ") + name;
  return text.empty() ? "" : " (" + text + ")";
}

/// Which of `channels` is meant, from 0.
int find_channel(const fs::path& path, const std::string& wanted, int channels,
                 const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size() && i < static_cast<std::size_t>(channels); ++i)
    if (same_name(names[i], wanted)) return static_cast<int>(i);
  int chosen = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), chosen);
  if (error == std::errc() && end == wanted.data() + wanted.size() && chosen >= 1 && chosen <= channels)
    return chosen - 1;
  fail(path, "there is no channel '" + wanted + "': the file has " + std::to_string(channels) +
                 (channels == 1 ? " channel" : " channels, 1 to " + std::to_string(channels)) +
                 listed(names));
}

/// The full-size pictures of a file, without thumbnails and reduced copies.
std::vector<tdir_t> full_pictures(Handle& file) {
  constexpr std::size_t most = 65535;
  std::vector<tdir_t> found;
  tdir_t directory = 0;
  do {
    if ((file.field<std::uint32_t>(TIFFTAG_SUBFILETYPE, 0) & FILETYPE_REDUCEDIMAGE) == 0)
      found.push_back(directory);
    ++directory;
  } while (found.size() < most && TIFFReadDirectory(file.get()));
  return found;
}

// ---- samples

using Palette = std::vector<std::array<float, 3>>;

/// How the samples of a page lie and what they mean.
struct Layout {
  std::uint32_t width = 0, height = 0;
  std::uint16_t bits = 1, format = SAMPLEFORMAT_UINT, samples = 1, planar = PLANARCONFIG_CONTIG;
  std::uint16_t photometric = PHOTOMETRIC_MINISBLACK;
  int colours = 1;  // samples that are no alpha
  bool rgb = false, tiled = false;
  std::uint32_t tile_width = 0, tile_height = 0;
  Palette palette;
};

float half_to_float(std::uint16_t half) {
  const int exponent = half >> 10 & 31;
  const auto mantissa = static_cast<float>(half & 1023);
  const float value = exponent == 0    ? std::ldexp(mantissa, -24)
                      : exponent == 31 ? NAN
                                       : std::ldexp(mantissa + 1024, exponent - 25);
  return half >> 15 ? -value : value;
}

template <class T, class Visit>
void walk(const std::uint8_t* raw, std::size_t first, std::size_t step, std::size_t n, const Visit& visit) {
  for (std::size_t i = 0; i < n; ++i) {
    T value;
    std::memcpy(&value, raw + (first + i * step) * sizeof(T), sizeof(T));
    visit(i, value);
  }
}

/// Calls visit(i, value) for samples first, first + step, ... of a row.
template <class Visit>
void for_each_sample(const Layout& l, const std::uint8_t* raw, std::size_t first, std::size_t step,
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
    default: break;
  }
  const std::size_t per_byte = 8 / l.bits;  // 1, 2 or 4 bits, the leftmost pixel in the high ones
  for (std::size_t i = 0; i < n; ++i) {
    const std::size_t at = first + i * step;
    const std::size_t shift = (per_byte - 1 - at % per_byte) * l.bits;
    visit(i, raw[at / per_byte] >> shift & ((1 << l.bits) - 1));
  }
}

Palette read_palette(Handle& file, std::uint16_t bits, const fs::path& path) {
  std::array<std::uint16_t*, 3> map{};
  if (!TIFFGetField(file.get(), TIFFTAG_COLORMAP, &map[0], &map[1], &map[2]))
    fail(path, "the colours of its palette are missing; save it as RGB");
  Palette palette(std::size_t{1} << bits);
  // Some writers keep 8-bit colours where the format wants 16 bits.
  bool deep = false;
  for (const auto* m : map) deep = deep || std::any_of(m, m + palette.size(), [](auto v) { return v > 255; });
  for (std::size_t i = 0; i < palette.size(); ++i)
    for (std::size_t c = 0; c < 3; ++c)
      palette[i][c] = static_cast<float>(map[c][i]) / (deep ? 65535.0f : 255.0f);
  return palette;
}

Layout read_layout(Handle& file, const fs::path& path) {
  constexpr std::uint32_t longest_side = 1'000'000;
  constexpr std::uint64_t largest_tile = std::uint64_t{1} << 30;
  Layout l;
  TIFF* tiff = file.get();
  if (!TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &l.width) ||
      !TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &l.height) || l.width == 0 || l.height == 0)
    fail(path, "the TIFF file is damaged: its width and height are missing; copy it again");
  if (l.width > longest_side || l.height > longest_side)
    fail(path, "the header claims " + size_text(l.width, l.height) + " pixels, the limit is " +
                   std::to_string(longest_side) + " a side");
  l.bits = file.field<std::uint16_t>(TIFFTAG_BITSPERSAMPLE, 1);
  l.format = file.field<std::uint16_t>(TIFFTAG_SAMPLEFORMAT, SAMPLEFORMAT_UINT);
  l.samples = file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
  l.planar = file.field<std::uint16_t>(TIFFTAG_PLANARCONFIG, PLANARCONFIG_CONTIG);
  const auto compression = file.field<std::uint16_t>(TIFFTAG_COMPRESSION, COMPRESSION_NONE);
  if (!TIFFIsCODECConfigured(compression))
    fail(path, "expected a compression that libtiff knows, got number " + std::to_string(compression) +
                   "; save it uncompressed");
  if (!TIFFGetField(tiff, TIFFTAG_PHOTOMETRIC, &l.photometric))
    l.photometric = l.samples >= 3 ? PHOTOMETRIC_RGB : PHOTOMETRIC_MINISBLACK;
  if (l.photometric == PHOTOMETRIC_YCBCR && compression == COMPRESSION_JPEG) {
    TIFFSetField(tiff, TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    l.photometric = PHOTOMETRIC_RGB;
  }
  switch (l.photometric) {
    case PHOTOMETRIC_RGB:
    case PHOTOMETRIC_MINISBLACK:
    case PHOTOMETRIC_MINISWHITE: break;
    case PHOTOMETRIC_PALETTE: break;
    default:
      fail(path, "expected grey, RGB or palette pixels, got TIFF colour space " +
                     std::to_string(l.photometric) + " (5: CMYK, 6: YCbCr, 8: Lab); save it as RGB");
  }
  const bool whole =
      l.format == SAMPLEFORMAT_UINT || l.format == SAMPLEFORMAT_INT || l.format == SAMPLEFORMAT_VOID;
  const bool small = l.format != SAMPLEFORMAT_INT && (l.bits == 1 || l.bits == 2 || l.bits == 4);
  if (l.format == SAMPLEFORMAT_VOID) l.format = SAMPLEFORMAT_UINT;
  if (!(whole && (small || l.bits == 8 || l.bits == 16 || l.bits == 32)) &&
      !(l.format == SAMPLEFORMAT_IEEEFP && (l.bits == 16 || l.bits == 32 || l.bits == 64)))
    fail(path, "expected integers of 1, 2, 4, 8, 16 or 32 bits or floats of 16, 32 or 64 bits, got " +
                   std::to_string(l.bits) + " bits of TIFF sample format " + std::to_string(l.format) +
                   (l.format >= SAMPLEFORMAT_COMPLEXINT ? " (complex numbers)" : "") +
                   "; save it as 16 bits");
  if (l.samples == 0) fail(path, "the TIFF file is damaged: a pixel has no samples; copy it again");
  if (l.photometric == PHOTOMETRIC_PALETTE) {
    if (l.format != SAMPLEFORMAT_UINT || l.bits > 8 || l.samples != 1)
      fail(path, "expected a palette of at most 256 colours; save it as RGB");
    l.palette = read_palette(file, l.bits, path);
  }
  std::uint16_t extras = 0;
  const std::uint16_t* kinds = nullptr;
  if (!TIFFGetField(tiff, TIFFTAG_EXTRASAMPLES, &extras, &kinds)) extras = 0;
  l.colours = l.samples;
  for (std::uint16_t i = 0; i < extras; ++i)
    if (kinds[i] == EXTRASAMPLE_ASSOCALPHA || kinds[i] == EXTRASAMPLE_UNASSALPHA) --l.colours;
  l.rgb = l.photometric == PHOTOMETRIC_RGB && l.colours >= 3;
  l.colours = std::max(l.colours, 1);
  l.tiled = TIFFIsTiled(tiff) != 0;
  if (l.tiled) {
    TIFFGetField(tiff, TIFFTAG_TILEWIDTH, &l.tile_width);
    TIFFGetField(tiff, TIFFTAG_TILELENGTH, &l.tile_height);
    if (l.tile_width == 0 || l.tile_height == 0 || TIFFTileSize64(tiff) > largest_tile)
      fail(path, "the TIFF file is damaged: its tiles are of no sensible size; copy it again");
  }
  return l;
}

/// A file that lost its end is better refused now than after an hour.
void check_complete(Handle& file, const fs::path& path) {
  TIFF* tiff = file.get();
  const std::uint64_t size = fs::file_size(path);
  const std::uint32_t pieces = TIFFIsTiled(tiff) ? TIFFNumberOfTiles(tiff) : TIFFNumberOfStrips(tiff);
  for (std::uint32_t i = 0; i < pieces; ++i) {
    int error = 0;
    const std::uint64_t offset = TIFFGetStrileOffsetWithErr(tiff, i, &error);
    const std::uint64_t bytes = error ? 0 : TIFFGetStrileByteCountWithErr(tiff, i, &error);
    if (error || bytes == 0 || offset == 0) file.damaged("pixels are missing: ");
    if (offset > size || bytes > size - offset)
      fail(path, "the TIFF file is cut short: its pixels reach to byte " + std::to_string(offset + bytes) +
                     ", it has " + std::to_string(size) + "; copy it again");
  }
}

/// Decodes the rows of one page. One handle serves one plane, so that each is only ever read forwards.
class Rows {
 public:
  Rows(const fs::path& path, tdir_t directory, const Layout& layout) : layout_(layout), file_(path) {
    file_.go_to(directory);
    if (file_.field<std::uint16_t>(TIFFTAG_PHOTOMETRIC, 0) == PHOTOMETRIC_YCBCR)
      TIFFSetField(file_.get(), TIFFTAG_JPEGCOLORMODE, JPEGCOLORMODE_RGB);
    per_pixel_ = layout.planar == PLANARCONFIG_CONTIG ? layout.samples : 1;
    if (layout.tiled) {
      tile_row_bytes_ = static_cast<std::size_t>(TIFFTileRowSize64(file_.get()));
      tile_.resize(static_cast<std::size_t>(TIFFTileSize64(file_.get())));
    }
    const std::size_t bits = std::size_t{layout.width} * per_pixel_ * layout.bits;
    row_bytes_ =
        std::max<std::size_t>((bits + 7) / 8, static_cast<std::size_t>(TIFFScanlineSize64(file_.get())));
    if (!layout.tiled) buffer_.resize(row_bytes_);
    rows_per_strip_ = std::clamp<std::uint32_t>(
        file_.field<std::uint32_t>(TIFFTAG_ROWSPERSTRIP, layout.height), 1, layout.height);
  }

  /// Calls visit(x, value) for sample `sample` of each pixel of row y.
  template <class Visit>
  void row(int y, int sample, const Visit& visit) {
    const bool planar = layout_.planar == PLANARCONFIG_SEPARATE;
    const auto plane = static_cast<std::uint16_t>(planar ? sample : 0);
    const auto first = static_cast<std::size_t>(planar ? 0 : sample);
    if (!layout_.tiled) {
      if (line_ != y || plane_ != plane) {
        // Compressed strips are decoded from their start.
        const auto start =
            static_cast<int>(static_cast<std::uint32_t>(y) / rows_per_strip_ * rows_per_strip_);
        const bool goes_on = plane_ == plane && line_ >= start && line_ < y;
        for (int r = goes_on ? line_ + 1 : start; r <= y; ++r)
          if (TIFFReadScanline(file_.get(), buffer_.data(), static_cast<std::uint32_t>(r), plane) != 1) {
            line_ = -1;
            damaged(r);
          }
        line_ = y;
        plane_ = plane;
      }
      return for_each_sample(layout_, buffer_.data(), first, per_pixel_, layout_.width, visit);
    }
    const int band = y / static_cast<int>(layout_.tile_height);
    if (band != band_ || plane != plane_) load(band, plane, y);
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

  void load(int band, std::uint16_t plane, int y) {
    const std::size_t tile = tile_row_bytes_ * layout_.tile_height;
    const std::uint32_t across = (layout_.width + layout_.tile_width - 1) / layout_.tile_width;
    buffer_.resize(across * tile);
    for (std::uint32_t i = 0; i < across; ++i) {
      const auto top = static_cast<std::uint32_t>(band) * layout_.tile_height;
      if (TIFFReadTile(file_.get(), tile_.data(), i * layout_.tile_width, top, 0, plane) < 0) damaged(y);
      std::copy_n(tile_.begin(), tile, buffer_.begin() + static_cast<std::ptrdiff_t>(i * tile));
    }
    band_ = band;
    plane_ = plane;
  }

  Layout layout_;
  Handle file_;
  std::size_t per_pixel_ = 1, row_bytes_ = 0, tile_row_bytes_ = 0;
  std::vector<std::uint8_t> buffer_, tile_;  // a row, or the tiles of a band
  std::uint32_t rows_per_strip_ = 1;
  int line_ = -1, band_ = -1;
  std::uint16_t plane_ = 0;
};

class TiffSource : public ImageSource {
 public:
  TiffSource(const fs::path& path, const ReadOptions& options) : path_(path) {
    Handle file(path);
    const Description description = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
    const std::vector<tdir_t> pictures = full_pictures(file);
    if (pictures.empty()) fail(path, "there is no full-size picture in it");
    choose(file, description, pictures, options);
    set_pixel_size(file, description);
    set_scale();
  }

  void read(int y, int count, float* pixels) override {
    const std::size_t channels = header_.depth();
    const double scale = header_.scale, offset = header_.offset;
    for (int r = y; r < y + count; ++r, pixels += header_.row_size()) {
      if (!layout_.palette.empty()) {
        rows_[0]->row(r, 0, [&](std::size_t x, auto value) {
          const auto& colour = layout_.palette[static_cast<std::size_t>(value)];
          for (std::size_t c = 0; c < channels; ++c) pixels[x * channels + c] = colour[c];
        });
        continue;
      }
      for (std::size_t c = 0; c < channels; ++c) {
        rows_[std::min(c, rows_.size() - 1)]->row(
            r, first_sample_ + static_cast<int>(c), [&](std::size_t x, auto value) {
              auto v = static_cast<double>(value);
              if (!std::isfinite(v)) v = offset;
              if (white_ > 0) v = white_ - v;
              // 8 and 16 bits divide as they do for PNG.
              pixels[x * channels + c] = static_cast<float>(v - offset) / static_cast<float>(scale);
            });
      }
    }
  }

  std::size_t held_bytes() const override {
    if (!layout_.tiled) return 0;
    const std::size_t across = (layout_.width + layout_.tile_width - 1) / layout_.tile_width;
    const std::size_t samples = layout_.planar == PLANARCONFIG_CONTIG ? layout_.samples : rows_.size();
    return across * layout_.tile_width * layout_.tile_height * samples *
           std::max<std::size_t>(layout_.bits, 8) / 8;
  }

 private:
  void choose(Handle& file, const Description& d, const std::vector<tdir_t>& pictures, const ReadOptions& o) {
    const int total = static_cast<int>(pictures.size());
    // A description that does not fit the pages was left behind by something that rewrote the file.
    const bool fits = d.channels > 1 && total == d.channels * d.slices;
    const int page_channels = fits ? d.channels : 1, pages = total / page_channels;
    const int page = o.page.value_or(1);
    if (page < 1 || page > pages)
      fail(path_,
           "there is no page " + std::to_string(page) + ": the file has " + std::to_string(pages) +
               (pages == 1 && d.slices > 1 && total == 1
                    ? " (ImageJ keeps more behind it without saying so in TIFF; save it as a hyperstack "
                      "below 4 GB, or as OME-TIFF)"
                    : ""));
    const auto directory = [&](int channel) {
      const int slice = page - 1, before = fits ? d.slices_before_channels : 1;
      const int at = slice % before + before * (channel + page_channels * (slice / before));
      return pictures[static_cast<std::size_t>(fits ? at : slice)];
    };
    tdir_t chosen = directory(0);
    file.go_to(chosen);
    layout_ = read_layout(file, path_);
    int channel = 0, channels = page_channels;
    const bool whole_colour = layout_.rgb || !layout_.palette.empty();
    if (page_channels > 1) {
      if (!o.channel.empty()) channel = find_channel(path_, o.channel, channels, d.names);
      chosen = directory(channel);
      file.go_to(chosen);
      layout_ = read_layout(file, path_);
    } else if (layout_.palette.empty()) {
      channels = layout_.samples;
      if (!o.channel.empty()) channel = find_channel(path_, o.channel, channels, d.names);
    } else if (!o.channel.empty()) {
      fail(path_, "it has a palette and so no channels; leave --channel out");
    }
    check_complete(file, path_);
    const bool colour = whole_colour && page_channels == 1 && o.channel.empty();
    first_sample_ = page_channels > 1 ? 0 : channel;
    header_.width = static_cast<int>(layout_.width);
    header_.height = static_cast<int>(layout_.height);
    header_.bit_depth = std::max<int>(layout_.bits, 8);
    header_.channels = colour ? 3 : 1;
    if (!layout_.palette.empty() &&
        std::ranges::all_of(layout_.palette, [](const auto& p) { return p[0] == p[1] && p[1] == p[2]; }))
      header_.channels = 1;
    const bool planar = layout_.planar == PLANARCONFIG_SEPARATE;
    for (int c = 0; c < (planar ? header_.channels : 1); ++c)
      rows_.push_back(std::make_unique<Rows>(path_, chosen, layout_));
    if (!colour && o.channel.empty() && (page_channels > 1 || layout_.colours > 1))
      note_ = "channel 1 of " + std::to_string(channels) + listed(d.names) + "; --channel chooses another";
    if (pages > 1 && !o.page)
      note_ += std::string(note_.empty() ? "" : ", ") + "page 1 of " + std::to_string(pages) +
               "; --page chooses another";
  }

  void set_pixel_size(Handle& file, const Description& d) {
    // Above this a resolution is one of screens or paper that the microscope's software never set.
    constexpr double largest = 20;
    double unit = d.image_j_unit;
    const auto resolution_unit = file.field<std::uint16_t>(TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
    if (unit == 0 && resolution_unit != RESUNIT_NONE)
      unit = resolution_unit == RESUNIT_CENTIMETER ? 1e4 : 25400;
    const auto size = [&](double described, std::uint32_t tag) {
      if (described > 0) return described;
      const auto per_unit = static_cast<double>(file.field<float>(tag, 0));
      if (!(per_unit > 0) || !std::isfinite(per_unit)) return 0.0;
      const double um = unit / per_unit;
      return um <= largest || d.image_j_unit > 0 ? um : 0.0;
    };
    header_.pixel_width = size(d.pixel_width, TIFFTAG_XRESOLUTION);
    header_.pixel_height = size(d.pixel_height, TIFFTAG_YRESOLUTION);
    if (header_.pixel_width == 0) header_.pixel_width = header_.pixel_height;
    if (header_.pixel_height == 0) header_.pixel_height = header_.pixel_width;
  }

  // Cameras fill 10 to 16 of the 16 bits, and floats are on any scale, so these are set by the picture, and
  // not by its few hottest pixels.
  void set_scale() {
    constexpr double bright = 0.999;
    header_.scale = 255;
    header_.integers = layout_.format != SAMPLEFORMAT_IEEEFP;
    if (!layout_.palette.empty()) return;
    const bool whole = layout_.format == SAMPLEFORMAT_UINT;
    if (whole && layout_.bits <= 8) {
      header_.scale = (1 << layout_.bits) - 1;
      if (layout_.photometric == PHOTOMETRIC_MINISWHITE) white_ = header_.scale;
      return;
    }
    if (whole && layout_.photometric == PHOTOMETRIC_MINISWHITE) white_ = std::ldexp(1.0, layout_.bits) - 1;
    header_.scale = 1;
    const std::vector<float> ends = brightness_quantiles(*this, {1 - bright, bright});
    const double low = ends[0], high = ends[1];
    if (whole) {
      header_.scale = 255;
      while (header_.scale < high) header_.scale = 2 * header_.scale + 1;
      return;
    }
    header_.offset = std::min(low, 0.0);
    if (header_.offset < 0 || high > 1) header_.scale = high > header_.offset ? high - header_.offset : 1;
  }

  fs::path path_;
  Layout layout_;
  std::vector<std::unique_ptr<Rows>> rows_;
  int first_sample_ = 0;
  double white_ = 0;  // the value of white where low values are light
};

}  // namespace

std::unique_ptr<ImageSource> open_tiff(const fs::path& path, const ReadOptions& options) {
  return std::make_unique<TiffSource>(path, options);
}

int page_count(const fs::path& path) {
  if (!is_tiff(path)) return 1;
  Handle file(path);
  const Description d = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
  const int total = static_cast<int>(full_pictures(file).size());
  return d.channels > 1 && total == d.channels * d.slices ? total / d.channels : total;
}

}  // namespace nuclei
