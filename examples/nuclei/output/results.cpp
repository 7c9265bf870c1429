#include "output/results.h"

#include <algorithm>
#include <array>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"
#include "output/formats.h"
#include "output/jobs.h"
#include "output/render.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr int most_shown = 3000;  // pixels a side of a reduced overlay
constexpr std::int32_t most_labels16 = 65535;

struct OwnFile {
  const char *folder, *extension;
};

/// A picture's own files. Of the label images one is written.
std::vector<OwnFile> own_files(const ResultOptions& o) {
  std::vector<OwnFile> files;
  if (o.labels == LabelFormat::png) files.push_back({"labels", ".png"});
  if (o.labels != LabelFormat::none) files.push_back({"labels", ".tif"});
  for (const auto& [wanted, file] : {std::pair(o.overlays, OwnFile{"overlays", ".png"}),
                                     {o.probabilities, {"probabilities", ".tif"}},
                                     {o.rois, {"rois", ".zip"}},
                                     {o.geojson, {"geojson", ".geojson"}},
                                     {o.coco, {"coco", ".json"}}})
    if (wanted) files.push_back(file);
  return files;
}

fs::path path_of(const fs::path& out, const std::string& name, const OwnFile& file) {
  return out / file.folder / (name + file.extension);
}

}  // namespace

bool is_wanted(std::size_t file, const ResultOptions& o) {
  return std::array{o.table, o.table, o.bowl}[file];
}

void to_json(nlohmann::ordered_json& settings, const ResultOptions& o) {
  settings["labels"] = static_cast<int>(o.labels);
  settings["files"] = {o.overlays, o.table, o.probabilities, o.rois, o.geojson, o.coco, o.bowl};
}

void from_json(const nlohmann::ordered_json& settings, ResultOptions& o) {
  o.labels = static_cast<LabelFormat>(settings.at("labels").get<int>());
  const auto& files = settings.at("files");
  std::size_t at = 0;
  for (bool* wanted : {&o.overlays, &o.table, &o.probabilities, &o.rois, &o.geojson, &o.coco, &o.bowl})
    *wanted = files.at(at++);
}

bool are_there(const fs::path& out, const std::string& name, const ResultOptions& o) {
  const auto there = [&](const OwnFile& file) { return fs::exists(path_of(out, name, file)); };
  std::vector<OwnFile> files = own_files(o);
  if (o.labels == LabelFormat::png) files.erase(files.begin() + there(files[0]));  // one of the two
  for (std::size_t i = 0; i < shared_files.size(); ++i)
    if (is_wanted(i, o) && !fs::exists(out / shared_files[i])) return false;
  return std::ranges::all_of(files, there);
}

void require_free(const fs::path& out, const std::string& name, const ResultOptions& options) {
  for (const OwnFile& file : own_files(options)) require_free(path_of(out, name, file));
}

void require_free_shared(const fs::path& out, const ResultOptions& options) {
  for (std::size_t i = 0; i < shared_files.size(); ++i)
    if (is_wanted(i, options)) require_free(out / shared_files[i]);
  if (options.coco) require_free(out / "coco.json");
  for (const char* own : {"finished.jsonl", "unfinished"}) require_free(out / own);
}

void remove_results(const fs::path& out, const std::string& name, const ResultOptions& options) {
  std::error_code ignored;
  for (const OwnFile& file : own_files(options)) fs::remove(path_of(out, name, file), ignored);
}

void remove_earlier_run(const fs::path& out, const std::set<std::string>& inputs) {
  const std::optional<Finished::Earlier> run = Finished::earlier(out);
  if (!run) return;
  ResultOptions options;
  try {
    from_json(nlohmann::ordered_json::parse(run->settings), options);
  } catch (const nlohmann::json::exception&) {
    return;  // not of this program
  }
  std::vector<std::string> names{run->begun};
  for (const Finished::Entry& entry : run->entries) names.push_back(entry.name);
  std::vector<fs::path> files;
  for (const std::string& name : names)
    for (const OwnFile& file : own_files(options))
      if (!name.empty()) files.push_back(path_of(out, name, file));
  for (std::size_t i = 0; i < shared_files.size(); ++i)
    if (is_wanted(i, options)) files.push_back(out / shared_files[i]);
  if (options.coco) files.push_back(out / "coco.json");
  for (const fs::path& file : files)
    if (inputs.contains(place_of(file)))
      throw Failure(file.string() +
                    ": is a result of the earlier run, which --overwrite removes; copy it to "
                    "another folder, or choose another --out");
  files.push_back(out / "unfinished");
  files.push_back(out / "finished.jsonl");
  for (const fs::path& file : files) {
    std::error_code error;
    if (!fs::remove(file, error) && error)
      throw Failure("removing " + file.string() + ", a result of the earlier run: " + error.message());
  }
  for (const OwnFile& file : own_files(options)) {
    std::error_code not_empty;
    fs::remove(out / file.folder, not_empty);
  }
}

ImageResults::ImageResults(const fs::path& out, const ResultNames& names, const Image& header,
                           int map_channels, const ResultOptions& options)
    : out_(out), names_(names), header_(header), options_(options), map_channels_(map_channels) {
  header_.values.clear();
  if (options.rois) rois_ = std::make_unique<ZipWriter>(file("rois", ".zip"));
  if (options.geojson)
    geojson_ = std::make_unique<TextFile>(file("geojson", ".geojson"),
                                          "{\"type\":\"FeatureCollection\",\"features\":[");
  if (options.coco)
    coco_ = std::make_unique<TextFile>(file("coco", ".json"),
                                       coco_start(names.below, header.width, header.height));
}

fs::path ImageResults::file(const char* folder, const std::string& extension) {
  create_folder(out_ / folder);
  return out_ / folder / (names_.results + extension);
}

void ImageResults::begin(int count, const std::int32_t* labels) {
  const bool whole = count == header_.height;
  if (!whole) step_ = (std::max(header_.width, header_.height) + most_shown - 1) / most_shown;
  if (options_.overlays) {
    const auto shown = [&](int size) { return (size + step_ - 1) / step_; };
    shown_ = Image(shown(header_.width), shown(header_.height), header_.channels);
    shown_labels_ = LabelMap(shown_.width, shown_.height);
  }
  const auto writer = [&](const char* folder, int channels, TiffWriter::Sample sample) {
    return std::make_unique<TiffWriter>(file(folder, ".tif"), header_.width, header_.height, channels, sample,
                                        header_.pixel_width, header_.pixel_height);
  };
  if (options_.probabilities) maps_ = writer("probabilities", map_channels_, TiffWriter::Sample::f32);
  wide_ = !whole || *std::max_element(labels, labels + header_.pixels()) > most_labels16;
  if (options_.labels == LabelFormat::tiff || (options_.labels == LabelFormat::png && wide_))
    labels_ = writer("labels", 1, wide_ ? TiffWriter::Sample::u32 : TiffWriter::Sample::u16);
}

void ImageResults::write_labels(int count, const std::int32_t* labels) {
  if (options_.labels == LabelFormat::none) return;
  if (wide_) return labels_->append(labels, count);
  const Raster<std::uint16_t> narrow(header_.width, count, 1, {labels, labels + header_.pixels()});
  if (labels_) {
    labels_->append(narrow.values.data(), count);
  } else {
    write_png16(file("labels", ".png"), narrow);
  }
}

void ImageResults::show(int y, int count, const std::int32_t* labels, const float* pixels) {
  for (int row = y; row < y + count; ++row) {
    if (row % step_ != 0) continue;
    for (int x = 0; x < header_.width; x += step_) {
      const std::size_t at = pixel_count(header_.width, row - y) + static_cast<std::size_t>(x);
      shown_labels_.at(x / step_, row / step_) = labels[at];
      std::copy_n(pixels + at * header_.depth(), header_.depth(), &shown_.at(x / step_, row / step_));
    }
  }
}

void ImageResults::rows(int y, int count, const std::int32_t* labels, const float* maps,
                        const float* pixels) {
  if (y == 0) begin(count, labels);
  write_labels(count, labels);
  if (maps_) maps_->append(maps, count);
  if (options_.overlays) show(y, count, labels, pixels);
}

void ImageResults::nucleus(const Found& found) {
  const std::string comma = nuclei_++ > 0 ? ",\n" : "\n";
  areas_.push_back(found.nucleus.area);
  if (options_.table)
    table_ += csv_row(names_.results, names_.file, found.nucleus, header_.pixel_width, header_.pixel_height);
  if (options_.bowl) bowl_ += csv_field(names_.results) + ',' + bowl_runs(found.runs, header_.height) + '\n';
  if (rois_) {
    const std::string number = padded(found.nucleus.label, 5);
    rois_->add(number + ".roi", imagej_roi(found, number));
  }
  if (geojson_) geojson_->add(comma + geojson_feature(found, header_.pixel_width, header_.pixel_height));
  if (coco_) coco_->add(comma + coco_annotation(found, nuclei_, 1, header_.width, header_.height));
}

std::string ImageResults::shared_rows(std::size_t file, double zoom, const std::string& note) const {
  if (!is_wanted(file, options_)) return {};
  const std::string name = shared_files[file];
  if (name == "nuclei.csv") return table_;
  if (name == "images.csv") return images_row(names_.results, names_.file, header_, areas_, zoom, note);
  return nuclei_ == 0 ? csv_field(names_.results) + ",\n" : bowl_;
}

void ImageResults::finish() {
  if (labels_) labels_->commit();
  if (maps_) maps_->commit();
  if (rois_) rois_->finish();
  if (geojson_) geojson_->finish("\n]}\n");
  if (coco_) coco_->finish("\n]}\n");
  if (!options_.overlays) return;
  write_png8(file("overlays", ".png"), overlay(shown_, shown_labels_));
}

}  // namespace nuclei
