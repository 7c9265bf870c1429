#include "output/coco.h"

#include <fstream>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "imageio/atomic_file.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json empty_set() {
  return {{"info", {{"description", "Nuclei found by Karyon's nuclei predict"}}},
          {"categories", Json::array({{{"id", 1}, {"name", "nucleus"}, {"supercategory", "cell"}}})}};
}

}  // namespace

std::string coco_start(const std::string& file_name, int width, int height) {
  Json start = empty_set();
  start["images"] =
      Json::array({{{"id", 1}, {"file_name", file_name}, {"width", width}, {"height", height}}});
  std::string text = start.dump(-1, ' ', false, Json::error_handler_t::replace);  // a path need not be UTF-8
  text.pop_back();
  return text + ",\"annotations\":[";
}

// From the fourth count on, the difference to the count before the last is stored. A number is cut into
// groups of five bits, the lowest first. A sixth bit tells whether more follow, and 48 is added to make a
// character.
std::string coco_counts(const std::vector<Run>& runs, int width, int height) {
  std::vector<std::int64_t> counts;
  std::int64_t end = 0;
  for (const Span& span : column_spans(runs, height)) {
    counts.push_back(span.start - end);
    counts.push_back(span.length);
    end = span.start + span.length;
  }
  counts.push_back(static_cast<std::int64_t>(width) * height - end);
  if (counts.back() == 0 && counts.size() > 1) counts.pop_back();
  std::string text;
  for (std::size_t i = 0; i < counts.size(); ++i) {
    std::int64_t x = i > 2 ? counts[i] - counts[i - 2] : counts[i];
    for (bool more = true; more;) {
      std::int64_t bits = x & 0x1f;
      x >>= 5;
      more = (bits & 0x10) ? x != -1 : x != 0;
      if (more) bits |= 0x20;
      text += static_cast<char>(bits + 48);
    }
  }
  return text;
}

std::string coco_annotation(const Found& found, std::int64_t id, std::int64_t image_id, int width,
                            int height) {
  const Nucleus& n = found.nucleus;
  const Json annotation = {
      {"id", id},
      {"image_id", image_id},
      {"category_id", 1},
      {"segmentation", {{"size", {height, width}}, {"counts", coco_counts(found.runs, width, height)}}},
      {"area", n.area},
      {"bbox", {n.x0, n.y0, n.x1 - n.x0, n.y1 - n.y0}},
      {"iscrowd", 0}};
  return annotation.dump();
}

void join_coco(const fs::path& out, const std::vector<std::string>& names) {
  Json all = empty_set();
  all["images"] = all["annotations"] = Json::array();
  for (const std::string& name : names) {
    const fs::path path = out / "coco" / (name + ".json");
    std::ifstream file(path, std::ios::binary);
    try {
      Json one = Json::parse(file);
      const std::size_t image = all["images"].size() + 1;
      Json entry = std::move(one.at("images").at(0));
      entry["id"] = image;
      all["images"].push_back(std::move(entry));
      for (Json& annotation : one.at("annotations")) {
        annotation["id"] = all["annotations"].size() + 1;
        annotation["image_id"] = image;
        all["annotations"].push_back(std::move(annotation));
      }
    } catch (const Json::exception& e) {
      throw Failure("joining " + path.string() + ": " + e.what() + "; start over with --overwrite");
    }
  }
  write_file_atomically(out / "coco.json", all.dump() + "\n");
}

}  // namespace nuclei
