#include "imageio/tiff_planes.h"

#include <algorithm>
#include <charconv>

#include "common/text.h"
#include "imageio/tiff_contents.h"
#include "imageio/units.h"

namespace nuclei {
namespace {

std::string listed(const std::vector<std::string>& names) {
  std::string text;
  for (const std::string& name : names) append_part(text, ", ", printable(name));
  return text.empty() ? "" : " (" + text + ")";
}

std::string in_brackets(const std::string& remark) { return remark.empty() ? "" : " (" + remark + ")"; }

/// Chooses in one file.
class Chooser {
 public:
  Chooser(TiffFile& file, const ReadOptions& options)
      : file_(file),
        options_(options),
        contents_(list_contents(file)),
        page_(find_page()),
        image_(contents_.images[page_.image]) {}
  TiffPlane choose();

 private:
  const TiffPage& find_page() const;
  std::int64_t find_channel(std::int64_t channels) const;
  void enter(std::size_t stored);
  void choose_plane();
  void choose_sample();
  void set_pixel_size();
  void add_note(const std::string& note);

  TiffFile& file_;
  const ReadOptions& options_;
  TiffContents contents_;
  const TiffPage& page_;
  const DescribedImage& image_;
  TiffPlane plane_;
};

const TiffPage& Chooser::find_page() const {
  const int page = options_.page.value_or(1);
  const std::size_t pages = contents_.pages.size();
  if (page < 1 || static_cast<std::size_t>(page) > pages) {
    const DescribedImage& first = contents_.images.front();
    const std::string each = ", with " + std::to_string(first.channels) + " channels" +
                             listed(first.channel_names) + "; --channel chooses one";
    file_.fail("there is no page " + std::to_string(page) + ": the file has " + std::to_string(pages) +
               (first.channels > 1 ? each : "") + in_brackets(contents_.remark));
  }
  return contents_.pages[static_cast<std::size_t>(page) - 1];
}

/// Which of `channels` is meant, from 0.
std::int64_t Chooser::find_channel(std::int64_t channels) const {
  const std::vector<std::string>& names = image_.channel_names;
  const std::string& wanted = options_.channel;
  for (std::size_t i = 0; i < names.size() && static_cast<std::int64_t>(i) < channels; ++i)
    if (lower(names[i]) == lower(wanted)) return static_cast<std::int64_t>(i);
  std::int64_t chosen = 0;
  const auto [end, error] = std::from_chars(wanted.data(), wanted.data() + wanted.size(), chosen);
  if (error == std::errc() && end == wanted.data() + wanted.size() && chosen >= 1 && chosen <= channels)
    return chosen - 1;
  const std::string several = " channels, 1 to " + std::to_string(channels);
  file_.fail("there is no channel '" + wanted + "': the file has " + std::to_string(channels) +
             (channels == 1 ? " channel" : several) + listed(names) + in_brackets(contents_.remark));
}

void Chooser::enter(std::size_t stored) {
  plane_.stored = contents_.stored[stored];
  file_.go_to(plane_.stored.directory);
  plane_.layout = read_layout(file_);
  check_complete(file_);
}

void Chooser::add_note(const std::string& note) { append_part(plane_.note, ", ", note); }

/// A page whose channels are planes.
void Chooser::choose_plane() {
  const bool any = options_.channel.empty();
  const std::int64_t channel = any ? page_.planes.front().channel : find_channel(image_.channels);
  const auto found = std::ranges::find(page_.planes, channel, &PlacedPlane::channel);
  if (found == page_.planes.end())
    file_.fail("channel '" + options_.channel + "' of this page is not in the file" +
               in_brackets(contents_.remark));
  enter(found->stored);
  plane_.colour = plane_.layout.rgb || !plane_.layout.palette.empty();
  if (any)
    add_note("channel " + std::to_string(channel + 1) + " of " + std::to_string(image_.channels) +
             listed(image_.channel_names) + "; --channel chooses another");
}

/// A page of one plane, whose channels are samples.
void Chooser::choose_sample() {
  enter(page_.planes.front().stored);
  const TiffLayout& layout = plane_.layout;
  const std::vector<std::string>& names = image_.channel_names;
  // The one name of several samples is that of the colours as a whole.
  const bool whole = options_.channel.empty() || (layout.samples > 1 && names.size() == 1 &&
                                                  lower(names.front()) == lower(options_.channel));
  plane_.colour = whole && (layout.rgb || !layout.palette.empty());
  if (!whole && !layout.palette.empty())
    file_.fail("it has a palette and so no channels; leave --channel out");
  if (!whole) plane_.first_sample = static_cast<int>(find_channel(layout.samples));
  if (whole && !plane_.colour && layout.colours > 1)
    add_note("channel 1 of " + std::to_string(layout.samples) + listed(names) +
             "; --channel chooses another");
}

void Chooser::set_pixel_size() {
  const TiffLayout& layout = plane_.layout;
  const bool of_this_size = (image_.width == 0 || image_.width == layout.width) &&
                            (image_.height == 0 || image_.height == layout.height);
  if (of_this_size) {
    plane_.pixel_width = image_.pixel_width;
    plane_.pixel_height = image_.pixel_height;
  } else if (image_.pixel_width > 0 || image_.pixel_height > 0) {
    append_part(contents_.remark, "; ",
                "its pixel size is for " + size_text(image_.width, image_.height) +
                    " pixels and is not used for " + size_text(layout.width, layout.height));
  }
  const auto unit = file_.field<std::uint16_t>(TIFFTAG_RESOLUTIONUNIT, RESUNIT_INCH);
  if (plane_.pixel_width == 0 && plane_.pixel_height == 0 && image_.has_tags && unit != RESUNIT_NONE) {
    const auto size = [&](std::uint32_t tag) {
      const auto per_unit = static_cast<double>(file_.field<float>(tag, 0));
      return pixel_size(1 / per_unit, unit == RESUNIT_CENTIMETER ? "cm" : "inch");
    };
    plane_.pixel_width = size(TIFFTAG_XRESOLUTION);
    plane_.pixel_height = size(TIFFTAG_YRESOLUTION);
  }
  if (plane_.pixel_width == 0) plane_.pixel_width = plane_.pixel_height;
  if (plane_.pixel_height == 0) plane_.pixel_height = plane_.pixel_width;
}

TiffPlane Chooser::choose() {
  if (image_.channels > 1) {
    choose_plane();
  } else {
    choose_sample();
  }
  if (const std::size_t pages = contents_.pages.size(); pages > 1 && !options_.page) {
    const std::size_t images = contents_.images.size();
    add_note("page 1 of " + std::to_string(pages) +
             (images > 1 ? " in " + std::to_string(images) + " images" : "") + "; --page chooses another");
  }
  set_pixel_size();
  plane_.remark = contents_.remark;
  return plane_;
}

}  // namespace

TiffPlane choose_plane(TiffFile& file, const ReadOptions& options) { return Chooser(file, options).choose(); }

int count_pages(TiffFile& file) { return static_cast<int>(list_contents(file).pages.size()); }

}  // namespace nuclei
