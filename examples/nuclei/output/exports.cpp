#include "output/exports.h"

#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cmath>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"

namespace nuclei {
namespace {

using Json = nlohmann::ordered_json;

void little(std::string& to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> 8 * i & 0xff);
}

void big(std::string& to, std::uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) to += static_cast<char>(value >> 8 * i & 0xff);
}

std::string deflated(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw Failure("compressing: out of memory");
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw Failure("compressing: zlib gives error " + std::to_string(result));
  return out;
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

/// Calls visit(length of the gap before, length) along the columns, joining runs that go on in the next one.
template <class Visit>
void for_each_run(const std::vector<Run>& runs, int height, const Visit& visit) {
  std::int64_t end = 0, start = 0, length = 0;
  const auto flush = [&] {
    if (length > 0) visit(start - end, start, length), end = start + length;
  };
  for (const Run& run : runs) {
    const std::int64_t at = static_cast<std::int64_t>(run.x) * height + run.y;
    if (length > 0 && at == start + length) {
      length += run.length;
      continue;
    }
    flush();
    start = at;
    length = run.length;
  }
  flush();
}

}  // namespace

// ---- ZIP (PKWARE's APPNOTE.TXT)

ZipWriter::ZipWriter(const std::filesystem::path& path) : file_(path) {}

void ZipWriter::write(const std::string& bytes) {
  file_.write(bytes.data(), bytes.size());
  offset_ += bytes.size();
}

void ZipWriter::add(std::string_view name, std::string_view bytes) {
  const std::string packed = deflated(bytes);
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
  constexpr std::uint64_t full = 0xffffffff;
  const bool far = offset_ >= full;
  std::string common;
  little(common, far ? 45 : 20, 2);  // version needed
  little(common, 0x0800, 2);         // names are UTF-8
  little(common, 8, 2);              // deflated
  little(common, 0x0021'0000, 4);    // no time, 1 January 1980: the same bytes every time
  little(common, crc, 4);
  little(common, packed.size(), 4);
  little(common, bytes.size(), 4);
  little(common, name.size(), 2);

  little(directory_, 0x02014b50, 4);
  little(directory_, 45, 2);
  directory_ += common;
  little(directory_, far ? 12 : 0, 2);
  directory_.append(2 + 2 + 2 + 4, '\0');  // comment, disk, attributes
  little(directory_, far ? full : offset_, 4);
  directory_ += name;
  if (far) {
    little(directory_, 1, 2);
    little(directory_, 8, 2);
    little(directory_, offset_, 8);
  }

  std::string local;
  little(local, 0x04034b50, 4);
  local += common;
  little(local, 0, 2);
  local += name;
  write(local + packed);
  ++entries_;
}

void ZipWriter::finish() {
  const std::uint64_t start = offset_, size = directory_.size();
  constexpr std::uint64_t full = 0xffffffff, most_entries = 0xffff;
  std::string end = directory_;
  if (entries_ >= most_entries || start + size >= full) {
    little(end, 0x06064b50, 4);
    little(end, 44, 8);
    little(end, 45, 2);
    little(end, 45, 2);
    little(end, 0, 4 + 4);
    little(end, entries_, 8);
    little(end, entries_, 8);
    little(end, size, 8);
    little(end, start, 8);
    little(end, 0x07064b50, 4);
    little(end, 0, 4);
    little(end, start + size, 8);
    little(end, 1, 4);
  }
  little(end, 0x06054b50, 4);
  little(end, 0, 2 + 2);
  little(end, std::min(entries_, most_entries), 2);
  little(end, std::min(entries_, most_entries), 2);
  little(end, std::min(size, full), 4);
  little(end, std::min(start, full), 4);
  little(end, 0, 2);
  write(end);
  file_.commit();
}

// ---- formats

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

// Differences to the run before the last (from the fourth on), in groups of five bits from the low end, each
// with a bit that says whether more follow; 48 is added to make a character.
std::string coco_counts(const std::vector<Run>& runs, int width, int height) {
  std::vector<std::int64_t> counts;
  std::int64_t end = 0;
  for_each_run(runs, height, [&](std::int64_t gap, std::int64_t start, std::int64_t length) {
    counts.push_back(gap);
    counts.push_back(length);
    end = start + length;
  });
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

std::string bowl_runs(const std::vector<Run>& runs, int height) {
  std::string text;
  for_each_run(runs, height, [&](std::int64_t, std::int64_t start, std::int64_t length) {
    text += (text.empty() ? "" : " ") + std::to_string(start + 1) + ' ' + std::to_string(length);
  });
  return text;
}

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
  // Fractions of a float image's scale of 0 to 1 want their digits too.
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

}  // namespace nuclei
