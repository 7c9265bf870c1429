#include "imageio/tiff_contents.h"

#include <algorithm>
#include <cstdint>
#include <optional>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/text.h"
#include "imageio/tiff_stack.h"
#include "imageio/units.h"

namespace nuclei {
namespace {

/// What the file's first directory says of all.
struct Told {
  std::string text;
  std::optional<ImageJText> image_j;
  double pixel_width = 0, pixel_height = 0;  // by ImageJ's text
  std::int64_t planes = 1;                   // that this directory may stand for
};

/// How many planes a text of tifffile counts that wrote one directory for all.
std::int64_t planes_of_shape(const TiffFile& file, const std::string& text) {
  constexpr double most = 1e9;
  const auto json = nlohmann::json::parse(text, nullptr, false);
  if (!json.is_object() || !json.contains("truncated") || !json.contains("shape")) return 1;
  double values = 1;
  for (const auto& size : json["shape"])
    if (size.is_number_unsigned()) values *= size.get<double>();
  const double in_plane = 1.0 * file.field<std::uint32_t>(TIFFTAG_IMAGEWIDTH, 1) *
                          file.field<std::uint32_t>(TIFFTAG_IMAGELENGTH, 1) *
                          file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1);
  return static_cast<std::int64_t>(std::clamp(values / std::max(in_plane, 1.0), 1.0, most));
}

Told read_told(const TiffFile& file) {
  constexpr std::uint32_t metamorph_uic2 = 33629;  // an entry for each plane
  Told told;
  told.text = file.text(TIFFTAG_IMAGEDESCRIPTION);
  told.image_j = read_image_j(told.text);
  std::uint32_t entries = 0;
  const void* first = nullptr;
  if (told.image_j) {
    told.planes = told.image_j->images;
    const std::string unit = told.image_j->unit.value_or("");
    const auto size = [&](std::uint32_t tag, const std::string& in) {
      return pixel_size(1.0 / static_cast<double>(file.field<float>(tag, 0)), in);
    };
    told.pixel_width = size(TIFFTAG_XRESOLUTION, unit);
    told.pixel_height = size(TIFFTAG_YRESOLUTION, told.image_j->unit_of_y.value_or(unit));
  } else if (TIFFGetField(file.get(), metamorph_uic2, &entries, &first)) {
    told.planes = entries;
  } else if (told.text.starts_with("{\"shape\"")) {
    told.planes = planes_of_shape(file, told.text);
  }
  return told;
}

std::vector<StoredPlane> list_directories(TiffFile& file, std::string& remark) {
  constexpr std::size_t most = 65535;
  std::vector<StoredPlane> found;
  bool last = false;
  do {
    found.push_back(
        {.directory = static_cast<std::uint32_t>(found.size()),
         .reduced = (file.field<std::uint32_t>(TIFFTAG_SUBFILETYPE, 0) & FILETYPE_REDUCEDIMAGE) != 0,
         .samples = file.field<std::uint16_t>(TIFFTAG_SAMPLESPERPIXEL, 1)});
    last = TIFFLastDirectory(file.get()) != 0;
  } while (!last && found.size() < most && TIFFReadDirectory(file.get()));
  if (!last)
    append_part(remark, "; ",
                "what lies behind TIFF directory " + std::to_string(found.size()) +
                    (found.size() < most ? " is damaged and" : " is") + " passed over");
  return found;
}

/// Adds the planes behind the only directory, or remarks why they cannot be read.
void add_stack(const TiffFile& file, std::int64_t told, std::vector<StoredPlane>& stored,
               std::string& remark) {
  const auto full = std::ranges::count(stored, false, &StoredPlane::reduced);
  if (told <= full) return;
  const std::string why = stored.size() == 1 ? why_no_stack(file, told) : "";
  if (stored.size() > 1 || !why.empty())
    return append_part(remark, "; ",
                       "it tells of " + std::to_string(told) + " planes, " + std::to_string(full) +
                           (full == 1 ? " is" : " are") + " there" + (why.empty() ? "" : ": " + why));
  for (std::int64_t i = 1; i < told; ++i) {
    stored.push_back(stored.front());
    stored.back().behind = static_cast<std::uint64_t>(i);
  }
}

void list_pages(TiffContents& contents) {
  for (std::size_t i = 0; i < contents.images.size(); ++i) {
    std::vector<PlacedPlane>& planes = contents.images[i].planes;
    std::ranges::sort(planes, {}, [](const PlacedPlane& p) { return std::pair(p.page, p.channel); });
    for (std::size_t k = 0; k < planes.size(); ++k) {
      if (k == 0 || planes[k].page != planes[k - 1].page) contents.pages.push_back({i, {}});
      contents.pages.back().planes.push_back(planes[k]);
    }
  }
}

}  // namespace

TiffContents list_contents(TiffFile& file) {
  TiffContents contents;
  const Told told = read_told(file);
  contents.stored = list_directories(file, contents.remark);
  if (!is_ome(told.text)) add_stack(file, told.planes, contents.stored, contents.remark);
  TiffDescription description = describe(told.text, contents.stored, file.path().filename().string());
  if (told.image_j) {
    description.images.front().pixel_width = told.pixel_width;
    description.images.front().pixel_height = told.pixel_height;
  }
  append_part(contents.remark, "; ", description.remark);
  contents.images = std::move(description.images);
  if (contents.images.empty()) contents.images.push_back(pages_as_they_lie(contents.stored));
  list_pages(contents);
  if (contents.pages.empty()) file.fail("there is no full-size picture in it");
  return contents;
}

}  // namespace nuclei
