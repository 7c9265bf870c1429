// Nuclei of any label map as files of other programs hold them, read back by small readers of their own.
#include <zlib.h>

#include <bit>
#include <nlohmann/json.hpp>

#include "common/error.h"
#include "imageio/zip_writer.h"
#include "instances/measure.h"
#include "label_maps.h"
#include "output/formats.h"

namespace {

using namespace fuzz;
using nuclei::Found;
using nuclei::LabelMap;

std::uint64_t number(std::string_view bytes, std::size_t at, int size, bool little) {
  std::uint64_t value = 0;
  for (int i = 0; i < size; ++i)
    value = value << 8 |
            static_cast<unsigned char>(bytes.at(at + static_cast<std::size_t>(little ? size - 1 - i : i)));
  return value;
}

/// The pixels of spans that count down the columns.
void expect_spans(const char* what, const LabelMap& map, std::int32_t label,
                  const std::vector<std::int64_t>& starts_and_lengths) {
  std::vector<bool> inside(map.size());
  for (std::size_t i = 0; i + 1 < starts_and_lengths.size(); i += 2)
    for (std::int64_t k = 0; k < starts_and_lengths[i + 1]; ++k)
      inside.at(static_cast<std::size_t>(starts_and_lengths[i] + k)) = true;
  for (std::size_t i = 0; i < inside.size(); ++i) {
    const int x = static_cast<int>(i) / map.height, y = static_cast<int>(i) % map.height;
    expect(inside[i] == (map.at(x, y) == label), what, ": pixel ", x, ", ", y, " of label ", label);
  }
}

void check_bowl(const LabelMap& map, const Found& found) {
  std::istringstream text(nuclei::bowl_runs(found.runs, map.height));
  std::vector<std::int64_t> spans;
  for (std::int64_t value; text >> value;) spans.push_back(spans.size() % 2 == 0 ? value - 1 : value);
  expect_spans("bowl", map, found.nucleus.label, spans);
}

void check_coco(const LabelMap& map, const Found& found) {
  const auto annotation = nlohmann::json::parse(nuclei::coco_annotation(found, 3, 1, map.width, map.height));
  expect(annotation.at("area") == found.nucleus.area, "coco: area");
  const auto text = annotation.at("segmentation").at("counts").get<std::string>();
  std::vector<std::int64_t> counts, spans;
  for (std::size_t i = 0; i < text.size();) {
    std::int64_t value = 0;
    int shift = 0;
    for (bool more = true; more; shift += 5) {
      const int bits = text.at(i++) - 48;
      more = (bits & 32) != 0;
      value |= static_cast<std::int64_t>(bits & 31) << shift;
      if (!more && (bits & 16) != 0) value |= std::int64_t{-1} * (std::int64_t{1} << (shift + 5));
    }
    counts.push_back(counts.size() > 2 ? value + counts[counts.size() - 2] : value);
  }
  std::int64_t at = 0;
  for (std::size_t i = 0; i < counts.size(); at += counts[i++])
    if (i % 2 == 1) spans.insert(spans.end(), {at, counts[i]});
  expect(at == static_cast<std::int64_t>(map.size()), "coco: counts of ", at, " pixels");
  expect_spans("coco", map, found.nucleus.label, spans);
}

void check_geojson(const LabelMap& map, const Found& found) {
  const auto feature = nlohmann::json::parse(nuclei::geojson_feature(found, 0.5, 0.25));
  const auto& geometry = feature.at("geometry");
  Painting painting(map.width, map.height);
  const auto add = [&](const nlohmann::json& polygon) {
    for (const auto& line : polygon) {
      nuclei::Ring ring;
      for (const auto& point : line) ring.push_back({point.at(0), point.at(1)});
      expect(ring.size() >= 5 && ring.front() == ring.back(), "geojson: a ring that is open");
      ring.pop_back();
      painting.add(ring);
    }
  };
  if (geometry.at("type") == "Polygon")
    add(geometry.at("coordinates"));
  else
    for (const auto& polygon : geometry.at("coordinates")) add(polygon);
  painting.expect_label("geojson", map, found.nucleus.label);
}

void check_roi(const std::string& roi, const Found& found, const std::string& name) {
  const nuclei::Ring& ring = found.parts.front().outer;
  expect(roi.starts_with("Iout") && number(roi, 16, 2, false) == ring.size(),
         "roi: ", number(roi, 16, 2, false), " points");
  const auto top = static_cast<int>(number(roi, 8, 2, false)),
             left = static_cast<int>(number(roi, 10, 2, false));
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const nuclei::Corner c{left + static_cast<int>(number(roi, 64 + 2 * i, 2, false)),
                           top + static_cast<int>(number(roi, 64 + 2 * (ring.size() + i), 2, false))};
    expect(c == ring[i], "roi: point ", i);
  }
  const std::size_t second = number(roi, 60, 4, false), at = number(roi, second + 16, 4, false);
  expect(number(roi, second + 20, 4, false) == name.size(), "roi: the length of the name");
  for (std::size_t i = 0; i < name.size(); ++i)
    expect(number(roi, at + 2 * i, 2, false) == static_cast<unsigned char>(name[i]), "roi: letter ", i,
           " of the name");
}

/// The fields of a table's only row.
std::vector<std::string> fields(const std::string& row) {
  std::vector<std::string> all{""};
  bool quoted = false;
  for (std::size_t i = 0; i + 1 < row.size(); ++i) {
    if (row[i] == '"' && quoted && row[i + 1] == '"')
      all.back() += row[i++];
    else if (row[i] == '"')
      quoted = !quoted;
    else if (row[i] == ',' && !quoted)
      all.emplace_back();
    else
      all.back() += row[i];
  }
  expect(!quoted && row.ends_with('\n'), "csv: a quote that does not end");
  return all;
}

void check_csv(const Found& found, const std::string& image, const std::string& file) {
  const std::string header = nuclei::csv_header();
  const auto got = fields(nuclei::csv_row(image, file, found.nucleus, 0.5, 0.25));
  expect(got.size() == static_cast<std::size_t>(std::count(header.begin(), header.end(), ',')) + 1,
         "csv: ", got.size(), " fields");
  // A text that a spreadsheet would take for a formula has a mark before it.
  const auto is = [](const std::string& field, const std::string& text) {
    return field == text || field == "'" + text;
  };
  expect(is(got.front(), image) && is(got.back(), file), "csv: names");
  expect(got[1] == std::to_string(found.nucleus.label) && got[2] == std::to_string(found.nucleus.area),
         "csv: numbers");
}

std::string inflated(std::string_view packed, std::size_t size) {
  std::string bytes(size + 1, '\0');
  z_stream stream{};
  inflateInit2(&stream, -MAX_WBITS);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(packed.data()));
  stream.avail_in = static_cast<uInt>(packed.size());
  stream.next_out = reinterpret_cast<Bytef*>(bytes.data());
  stream.avail_out = static_cast<uInt>(bytes.size());
  const int result = inflate(&stream, Z_FINISH);
  bytes.resize(stream.total_out);
  inflateEnd(&stream);
  expect(result == Z_STREAM_END && bytes.size() == size, "zip: an entry that does not inflate");
  return bytes;
}

void check_zip(const std::vector<std::pair<std::string, std::string>>& entries) {
  const std::filesystem::path path = empty_folder() / "rois.zip";
  nuclei::ZipWriter writer(path);
  for (const auto& [name, bytes] : entries) writer.add(name, bytes);
  writer.finish();
  const auto file = file_bytes(path);
  const std::string_view zip(reinterpret_cast<const char*>(file.data()), file.size());
  const std::size_t end = zip.size() - 22;
  expect(number(zip, end, 4, true) == 0x06054b50 && number(zip, end + 10, 2, true) == entries.size(),
         "zip: its end");
  std::size_t at = number(zip, end + 16, 4, true);
  for (const auto& [name, bytes] : entries) {
    const std::size_t packed = number(zip, at + 20, 4, true), length = number(zip, at + 28, 2, true);
    const std::size_t local = number(zip, at + 42, 4, true);
    expect(zip.substr(at + 46, length) == name && zip.substr(local + 30, length) == name, "zip: a name");
    const std::size_t data = local + 30 + length + number(zip, local + 28, 2, true);
    expect(inflated(zip.substr(data, packed), number(zip, at + 24, 4, true)) == bytes, "zip: the bytes of ",
           name);
    at += 46 + length + number(zip, at + 30, 2, true) + number(zip, at + 32, 2, true);
  }
}

void run(Bytes input) {
  ByteReader in(input);
  const bool zip = in.byte() % 16 == 0;
  const std::string name = in.text(static_cast<std::size_t>(in.whole(0, 12))),
                    file = in.text(static_cast<std::size_t>(in.whole(0, 12)));
  const LabelMap map = any_labels(in);
  nuclei::Image image(map.width, map.height);
  std::vector<std::pair<std::string, std::string>> entries;
  for (const nuclei::Nucleus& nucleus : nuclei::measure(map, image)) {
    const Found found{nucleus, nuclei::outline(map, nucleus), nuclei::column_runs(map, nucleus)};
    check_bowl(map, found);
    check_coco(map, found);
    check_geojson(map, found);
    check_csv(found, name, file);
    entries.emplace_back(std::to_string(nucleus.label), nuclei::imagej_roi(found, name));
    check_roi(entries.back().second, found, name);
  }
  if (zip) check_zip(entries);
}

Inputs seeds() { return noise_seeds(48, 100); }

const Register target{{"exports", run, seeds}};

}  // namespace
