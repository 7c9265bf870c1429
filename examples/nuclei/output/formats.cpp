#include "output/formats.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <fstream>
#include <numeric>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

Json empty_set() {
  return {{"info", {{"description", "Nuclei found by Karyon's nuclei predict"}}},
          {"categories", Json::array({{{"id", 1}, {"name", "nucleus"}, {"supercategory", "cell"}}})}};
}

Json ring_coordinates(const Ring& ring) {
  Json line = Json::array();
  for (const Corner& c : ring) line.push_back({c.x, c.y});
  line.push_back({ring.front().x, ring.front().y});
  return line;
}

Json polygon_coordinates(const Part& part) {
  Json rings = Json::array({ring_coordinates(part.outer)});
  for (const Ring& hole : part.holes) rings.push_back(ring_coordinates(hole));
  return rings;
}

double rounded(double value) { return std::round(value * 1e4) / 1e4; }

void big(std::string& to, std::uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) to += static_cast<char>(value >> 8 * i & 0xff);
}

}  // namespace

std::string csv_header() {
  return "image,label,area,centroid_x,centroid_y,bbox_x0,bbox_y0,bbox_x1,bbox_y1,mean_intensity,"
         "min_intensity,max_intensity,std_intensity,total_intensity,perimeter,major_axis,minor_axis,"
         "eccentricity,orientation,solidity,pixel_size_um,area_um2,perimeter_um,major_axis_um,minor_axis_um,"
         "centroid_x_um,centroid_y_um,file\n";
}

std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height) {
  std::string row = csv_field(image);
  const auto add = [&](double value, int decimals) { row += ',' + fixed(value, decimals); };
  const auto add_whole = [&](std::int64_t value) { row += ',' + std::to_string(value); };
  add_whole(n.label);
  add_whole(n.area);
  add(n.cx, 2);
  add(n.cy, 2);
  for (const int edge : {n.x0, n.y0, n.x1, n.y1}) add_whole(edge);
  // Float images may have values of 0 to 1, which need more digits.
  const int digits = std::abs(n.max_intensity) > 10 ? 2 : 5;
  add(n.mean_intensity, digits);
  for (const double v : {n.min_intensity, n.max_intensity}) add(v, v == std::round(v) ? 0 : digits);
  add(n.std_intensity, digits);
  add(n.total_intensity, digits);
  add(n.perimeter, 2);
  add(n.major_axis, 2);
  add(n.minor_axis, 2);
  add(n.eccentricity, 4);
  add(n.orientation, 1);
  add(n.solidity, 4);
  if (pixel_width > 0 && pixel_height > 0) {
    const double side = std::sqrt(pixel_width * pixel_height);
    add(side, 5);
    add(static_cast<double>(n.area) * pixel_width * pixel_height, 3);
    for (const double length : {n.perimeter, n.major_axis, n.minor_axis}) add(length * side, 3);
    add(n.cx * pixel_width, 3);
    add(n.cy * pixel_height, 3);
  } else {
    row += std::string(7, ',');
  }
  return row + ',' + csv_field(file) + '\n';
}

std::string images_header() {
  return "image,nuclei,width,height,pixel_size_um,zoom,nuclei_share,mean_area,median_area,mean_area_um2,"
         "median_area_um2,nuclei_per_mm2,note,file\n";
}

std::string images_row(std::string_view image, std::string_view file, const Image& header,
                       std::vector<std::int64_t> areas, double zoom, std::string_view note) {
  const double pixel = header.pixel_width > 0 && header.pixel_height > 0
                           ? header.pixel_width * header.pixel_height
                           : 0,  // µm²; 0: not known
      pixels = static_cast<double>(header.width) * header.height,
               total = std::accumulate(areas.begin(), areas.end(), 0.0),
               count = static_cast<double>(areas.size());
  std::ranges::sort(areas);
  const double median =
      areas.empty() ? 0 : static_cast<double>(areas[(areas.size() - 1) / 2] + areas[areas.size() / 2]) / 2;
  std::string row{csv_field(image)};
  const auto add = [&](bool known, double value, int decimals) {
    row += known ? ',' + fixed(value, decimals) : ",";
  };
  const bool any = !areas.empty(), sized = pixel > 0;
  add(true, count, 0);
  add(true, header.width, 0);
  add(true, header.height, 0);
  add(sized, std::sqrt(pixel), 5);
  add(true, zoom, zoom == std::round(zoom) ? 0 : 3);
  add(true, total / pixels, 5);
  add(any, total / count, 2);
  add(any, median, 1);
  add(any && sized, total / count * pixel, 3);
  add(any && sized, median * pixel, 3);
  add(sized, count / (pixels * pixel) * 1e6, 2);
  return row + ',' + csv_field(note) + ',' + csv_field(file) + '\n';
}

std::string bowl_runs(const std::vector<Run>& runs, int height) {
  std::string text;
  for (const Span& span : column_spans(runs, height))
    text += (text.empty() ? "" : " ") + std::to_string(span.start + 1) + ' ' + std::to_string(span.length);
  return text;
}

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

std::string geojson_feature(const Found& found, double pixel_width, double pixel_height) {
  const Nucleus& n = found.nucleus;
  Json geometry;
  if (found.parts.size() == 1) {
    geometry = {{"type", "Polygon"}, {"coordinates", polygon_coordinates(found.parts.front())}};
  } else {
    Json polygons = Json::array();
    for (const Part& part : found.parts) polygons.push_back(polygon_coordinates(part));
    geometry = {{"type", "MultiPolygon"}, {"coordinates", polygons}};
  }
  Json measurements = {{"Area px^2", n.area},
                       {"Perimeter px", rounded(n.perimeter)},
                       {"Eccentricity", rounded(n.eccentricity)},
                       {"Solidity", rounded(n.solidity)},
                       {"Mean intensity", rounded(n.mean_intensity)}};
  if (pixel_width > 0)
    measurements["Area µm^2"] = rounded(static_cast<double>(n.area) * pixel_width * pixel_height);
  const Json feature = {{"type", "Feature"},
                        {"geometry", geometry},
                        {"properties",
                         {{"objectType", "detection"},
                          {"name", std::to_string(n.label)},
                          {"classification", {{"name", "Nucleus"}, {"color", {255, 225, 25}}}},
                          {"measurements", measurements}}}};
  return feature.dump();
}

std::string imagej_roi(const Found& found, std::string_view name) {
  constexpr int farthest = 32767;
  constexpr std::uint64_t subpixel = 128;
  const Ring& ring = found.parts.front().outer;
  int x0 = ring.front().x, x1 = x0, y0 = ring.front().y, y1 = y0;
  for (const Corner& c : ring) {
    x0 = std::min(x0, c.x), x1 = std::max(x1, c.x);
    y0 = std::min(y0, c.y), y1 = std::max(y1, c.y);
  }
  const bool far = x1 > farthest || y1 > farthest;  // coordinates are 16-bit numbers, unless they are floats
  const std::size_t n = ring.size(), points = n * (far ? 12 : 4);
  std::string roi = "Iout";
  big(roi, 227, 2);  // version
  big(roi, 0, 2);    // polygon
  for (const int edge : {y0, x0, y1, x1}) big(roi, static_cast<std::uint64_t>(edge), 2);
  big(roi, n <= 0xffff ? n : 0, 2);
  big(roi, n <= 0xffff ? 0 : n, 4);
  roi.resize(50);
  big(roi, far ? subpixel : 0, 2);
  roi.resize(60);
  big(roi, 64 + points, 4);  // where the second header is
  for (const Corner& c : ring) big(roi, static_cast<std::uint64_t>(c.x - x0), 2);
  for (const Corner& c : ring) big(roi, static_cast<std::uint64_t>(c.y - y0), 2);
  if (far) {
    for (const Corner& c : ring) big(roi, std::bit_cast<std::uint32_t>(static_cast<float>(c.x)), 4);
    for (const Corner& c : ring) big(roi, std::bit_cast<std::uint32_t>(static_cast<float>(c.y)), 4);
  }
  const std::size_t second = roi.size();
  roi.append(16, '\0');
  big(roi, second + 64, 4);
  big(roi, name.size(), 4);
  roi.resize(second + 64);
  for (const char c : name) big(roi, static_cast<unsigned char>(c), 2);
  return roi;
}

}  // namespace nuclei
