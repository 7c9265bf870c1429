#include "imageio/tiff_description.h"

#include <algorithm>
#include <string_view>
#include <utility>

#include "imageio/ome_xml.h"
#include "imageio/units.h"

namespace nuclei {
namespace {

/// The planes of ImageJ's hyperstack: channels first.
TiffDescription place(const ImageJText& text, const std::vector<StoredPlane>& stored) {
  DescribedImage image = pages_as_they_lie(stored);
  image.has_tags = !text.unit;
  const auto planes = static_cast<std::int64_t>(image.planes.size());
  if (text.channels == 1) return {{std::move(image)}, ""};
  if (planes != text.images || planes % text.channels != 0)
    return {{std::move(image)},
            "ImageJ's " + std::to_string(text.channels) + " channels are pages: it tells of " +
                std::to_string(text.images) + " planes, not of " + std::to_string(planes)};
  image.channels = text.channels;
  for (PlacedPlane& plane : image.planes) {
    plane.channel = plane.page % text.channels;
    plane.page /= text.channels;
  }
  return {{std::move(image)}, ""};
}

}  // namespace

DescribedImage pages_as_they_lie(const std::vector<StoredPlane>& stored) {
  DescribedImage image;
  for (std::size_t i = 0; i < stored.size(); ++i)
    if (!stored[i].reduced)
      image.planes.push_back({.page = static_cast<std::int64_t>(image.planes.size()), .stored = i});
  return image;
}

std::optional<ImageJText> read_image_j(const std::string& text) {
  if (!text.starts_with("ImageJ=")) return {};
  ImageJText read;
  std::int64_t slices = 1, frames = 1, images = 0;
  const auto count = [](std::string_view value) {
    constexpr double most = 1e9;
    const double found = number(value).value_or(1);
    return found >= 1 && found <= most ? static_cast<std::int64_t>(found) : 1;
  };
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view line(text.data() + at, end - at);
    at = end + 1;
    const std::size_t equals = line.find('=');
    if (equals == line.npos) continue;
    const std::string_view key = line.substr(0, equals), value = line.substr(equals + 1);
    if (key == "images") images = count(value);
    if (key == "channels") read.channels = count(value);
    if (key == "slices") slices = count(value);
    if (key == "frames") frames = count(value);
    if (key == "unit" && !value.empty()) read.unit = value;
    if (key == "yunit" && !value.empty()) read.unit_of_y = value;
  }
  constexpr double most = 1e9;
  const double product =
      static_cast<double>(read.channels) * static_cast<double>(slices) * static_cast<double>(frames);
  read.images =
      images > 0 ? std::max(images, read.channels) : static_cast<std::int64_t>(std::min(product, most));
  return read;
}

bool is_ome(const std::string& text) {
  constexpr std::string_view before = "\xef\xbb\xbf \t\r\n";  // a byte order mark, space
  const std::size_t first = text.find_first_not_of(before);
  return first != text.npos && text[first] == '<' &&
         (text.find("<OME") != text.npos || text.find(":OME") != text.npos);
}

TiffDescription describe(const std::string& text, const std::vector<StoredPlane>& stored,
                         const std::string& file_name) {
  if (is_ome(text)) return read_ome(text, stored, file_name);
  const std::optional<ImageJText> image_j = read_image_j(text);
  return image_j ? place(*image_j, stored) : TiffDescription{};
}

}  // namespace nuclei
