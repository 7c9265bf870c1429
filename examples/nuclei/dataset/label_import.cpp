#include "dataset/label_import.h"

#include <algorithm>
#include <cstdint>
#include <unordered_map>

#include "common/error.h"
#include "common/text.h"
#include "imageio/label_image.h"
#include "imageio/tiff_source.h"
#include "instances/components.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const fs::path& file, const std::string& reason) {
  throw Failure("arranging " + file.string() + ": " + reason);
}

std::string value_text(const LabelImage& image, std::uint64_t value) {
  if (!image.colours) return "value " + std::to_string(static_cast<std::int64_t>(value));
  return "the colour " + std::to_string(value >> 32) + ", " + std::to_string(value >> 16 & 0xffff) + ", " +
         std::to_string(value & 0xffff);
}

/// Whether nearly all that is set hangs together, as a background does and nuclei do not.
bool is_one_piece(const LabelMap& set) {
  constexpr double most = 0.8;
  const Components parts = connect({set.width, set.height, 1, {set.begin(), set.end()}}, false);
  const auto largest = *std::max_element(parts.area.begin() + 1, parts.area.end());
  return largest > most * static_cast<double>(set.size() - static_cast<std::size_t>(*parts.area.begin()));
}

/// Throws Failure, or says, where 0 is hardly the background.
void check_background(const fs::path& file, const LabelImage& image, const LabelMap& map, bool one_value,
                      std::string& note) {
  const Rival rival = rival_of_background(image);
  if (rival.value != 0) {
    const std::string what = value_text(image, rival.value) + " covers " + percent(rival.area) +
                             " of the picture and " + percent(rival.frame) + " of its frame";
    if (!one_value || rival.sure() || is_one_piece(map))
      fail(file, "expected 0 for background, but " + what +
                     ", as a background does; save the mask with 0 there, or invert it");
    note = what + "; if it is the background, invert the mask";
  } else if (std::ranges::find(image, std::uint64_t{0}) == image.end()) {
    note = "no pixel is 0, so the picture has no background";
  }
}

/// Values that compression or smoothing left in between are scattered: most have no neighbour of the same
/// value.
void check_regions(const fs::path& file, const LabelMap& map, std::size_t values) {
  std::size_t alone = 0, total = 0;
  const std::size_t width = map.row_size();
  for (std::size_t i = 0; i < map.size(); ++i) {
    if (map[i] == 0) continue;
    const bool left = i % width > 0 && map[i - 1] == map[i];
    const bool right = (i + 1) % width > 0 && map[i + 1] == map[i];
    const bool above = i >= width && map[i - width] == map[i];
    const bool below = i + width < map.size() && map[i + width] == map[i];
    ++total;
    alone += !left && !right && !above && !below;
  }
  if (50 * alone > total)
    fail(file, "expected 0 for background and one value or colour per nucleus, there are " +
                   std::to_string(values) +
                   " values, many of them scattered as lossy compression leaves them; save the mask as PNG "
                   "without smoothing");
}

}  // namespace

LabelMap import_labels(const fs::path& file, std::string* note) {
  const LabelImage image = read_label_image(file);
  if (!image.several.empty()) {
    const int pages = page_count(file);
    fail(file, "expected a mask of one page and one channel, it has " +
                   (pages > 1 ? std::to_string(pages) + " pages" : "several channels") +
                   "; save the one that belongs to the image as a file of its own");
  }
  std::unordered_map<std::uint64_t, std::int32_t> values;
  LabelMap map(image.width, image.height);
  for (std::size_t i = 0; i < map.size(); ++i)
    if (image[i] != 0)
      map[i] = values.try_emplace(image[i], static_cast<std::int32_t>(values.size()) + 1).first->second;
  std::string said = image.note;
  check_background(file, image, map, values.size() == 1, said);
  if (note) *note = said;
  if (values.size() == 1) return label_components({map.width, map.height, 1, {map.begin(), map.end()}});
  check_regions(file, map, values.size());
  return map;
}

}  // namespace nuclei
