#include "imageio/tiff_planes.h"

#include <algorithm>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <string_view>
#include <vector>

#include "imageio/tiff_description.h"

namespace nuclei {
namespace {

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

void set_pixel_size(const TiffFile& file, const TiffDescription& d, TiffPlane& plane) {
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
  plane.pixel_width = size(d.pixel_width, TIFFTAG_XRESOLUTION);
  plane.pixel_height = size(d.pixel_height, TIFFTAG_YRESOLUTION);
  if (plane.pixel_width == 0) plane.pixel_width = plane.pixel_height;
  if (plane.pixel_height == 0) plane.pixel_height = plane.pixel_width;
}

TiffPlane choose(TiffFile& file, const TiffDescription& d, const std::vector<tdir_t>& pictures,
                 const ReadOptions& o) {
  TiffPlane plane;
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
  const auto go_to = [&](int channel) {
    plane.directory = directory(channel);
    file.go_to(plane.directory);
    plane.layout = read_layout(file);
  };
  go_to(0);
  int channel = 0, channels = page_channels;
  const bool whole_colour = plane.layout.rgb || !plane.layout.palette.empty();
  if (page_channels > 1) {
    if (!o.channel.empty()) channel = find_channel(file, o.channel, channels, d.names);
    go_to(channel);
  } else if (plane.layout.palette.empty()) {
    channels = plane.layout.samples;
    if (!o.channel.empty()) channel = find_channel(file, o.channel, channels, d.names);
  } else if (!o.channel.empty()) {
    file.fail("it has a palette and so no channels; leave --channel out");
  }
  check_complete(file);
  plane.colour = whole_colour && page_channels == 1 && o.channel.empty();
  plane.first_sample = page_channels > 1 ? 0 : channel;
  if (!plane.colour && o.channel.empty() && (page_channels > 1 || plane.layout.colours > 1))
    plane.note = "channel 1 of " + std::to_string(channels) + listed(d.names) + "; --channel chooses another";
  if (pages > 1 && !o.page)
    plane.note += std::string(plane.note.empty() ? "" : ", ") + "page 1 of " + std::to_string(pages) +
                  "; --page chooses another";
  return plane;
}

}  // namespace

TiffPlane choose_plane(TiffFile& file, const ReadOptions& options) {
  const TiffDescription description = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
  const std::vector<tdir_t> pictures = full_pictures(file);
  if (pictures.empty()) file.fail("there is no full-size picture in it");
  TiffPlane plane = choose(file, description, pictures, options);
  set_pixel_size(file, description, plane);
  return plane;
}

int count_pages(TiffFile& file) {
  const TiffDescription d = describe(file.text(TIFFTAG_IMAGEDESCRIPTION));
  const int total = static_cast<int>(full_pictures(file).size());
  return d.channels > 1 && total == d.channels * d.slices ? total / d.channels : total;
}

}  // namespace nuclei
