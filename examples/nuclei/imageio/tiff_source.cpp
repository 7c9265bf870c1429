#include "imageio/tiff_source.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "imageio/tiff_description.h"
#include "imageio/tiff_file.h"
#include "imageio/tiff_rows.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

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
int find_channel(const TiffFile& file, const std::string& wanted, int channels,
                 const std::vector<std::string>& names) {
  for (std::size_t i = 0; i < names.size() && i < static_cast<std::size_t>(channels); ++i)
    if (same_name(names[i], wanted)) return static_cast<int>(i);
  int chosen = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), chosen);
  if (error == std::errc() && end == wanted.data() + wanted.size() && chosen >= 1 && chosen <= channels)
    return chosen - 1;
  file.fail("there is no channel '" + wanted + "': the file has " + std::to_string(channels) +
            (channels == 1 ? " channel" : " channels, 1 to " + std::to_string(channels)) + listed(names));
}

/// The full-size pictures of a file, without thumbnails and reduced copies.
std::vector<tdir_t> full_pictures(TiffFile& file) {
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

class TiffSource : public ImageSource {
 public:
  TiffSource(const fs::path& path, const ReadOptions& options) {
    TiffFile file(path);
    const TiffDescription description = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
    const std::vector<tdir_t> pictures = full_pictures(file);
    if (pictures.empty()) file.fail("there is no full-size picture in it");
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
  void choose(TiffFile& file, const TiffDescription& d, const std::vector<tdir_t>& pictures,
              const ReadOptions& o) {
    const int total = static_cast<int>(pictures.size());
    // A description that does not fit the pages was left behind by something that rewrote the file.
    const bool fits = d.channels > 1 && total == d.channels * d.slices;
    const int page_channels = fits ? d.channels : 1, pages = total / page_channels;
    const int page = o.page.value_or(1);
    if (page < 1 || page > pages)
      file.fail("there is no page " + std::to_string(page) + ": the file has " + std::to_string(pages) +
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
    layout_ = read_layout(file);
    int channel = 0, channels = page_channels;
    const bool whole_colour = layout_.rgb || !layout_.palette.empty();
    if (page_channels > 1) {
      if (!o.channel.empty()) channel = find_channel(file, o.channel, channels, d.names);
      chosen = directory(channel);
      file.go_to(chosen);
      layout_ = read_layout(file);
    } else if (layout_.palette.empty()) {
      channels = layout_.samples;
      if (!o.channel.empty()) channel = find_channel(file, o.channel, channels, d.names);
    } else if (!o.channel.empty()) {
      file.fail("it has a palette and so no channels; leave --channel out");
    }
    check_complete(file);
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
      rows_.push_back(std::make_unique<TiffRows>(file.path(), chosen, layout_));
    if (!colour && o.channel.empty() && (page_channels > 1 || layout_.colours > 1))
      note_ = "channel 1 of " + std::to_string(channels) + listed(d.names) + "; --channel chooses another";
    if (pages > 1 && !o.page)
      note_ += std::string(note_.empty() ? "" : ", ") + "page 1 of " + std::to_string(pages) +
               "; --page chooses another";
  }

  void set_pixel_size(TiffFile& file, const TiffDescription& d) {
    // A larger pixel is the resolution of a screen or of paper: the microscope's software did not set it.
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

  // Cameras fill 10 to 16 of the 16 bits, and floats have any scale. The scale therefore follows the
  // picture's values, without the few brightest pixels.
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

  TiffLayout layout_;
  std::vector<std::unique_ptr<TiffRows>> rows_;
  int first_sample_ = 0;
  double white_ = 0;  // the value of white where low values are light
};

}  // namespace

std::unique_ptr<ImageSource> open_tiff(const fs::path& path, const ReadOptions& options) {
  return std::make_unique<TiffSource>(path, options);
}

int page_count(const fs::path& path) {
  if (!is_tiff(path)) return 1;
  TiffFile file(path);
  const TiffDescription d = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
  const int total = static_cast<int>(full_pictures(file).size());
  return d.channels > 1 && total == d.channels * d.slices ? total / d.channels : total;
}

bool is_tiff(const std::filesystem::path& path) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return false;
  char start[4] = {};
  std::ifstream file(path, std::ios::binary);
  if (!file.read(start, sizeof start)) return false;
  const bool little = start[0] == 'I' && start[1] == 'I', big = start[0] == 'M' && start[1] == 'M';
  const int version = little ? start[2] : start[3];
  return (little || big) && (little ? start[3] : start[2]) == 0 && (version == 42 || version == 43);
}

}  // namespace nuclei
