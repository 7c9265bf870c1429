#include "output/results.h"

#include <algorithm>

#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"
#include "output/formats.h"
#include "output/render.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr int most_shown = 3000;  // pixels a side of a reduced overlay
constexpr std::int32_t most_labels16 = 65535;

}  // namespace

bool are_there(const fs::path& out, const std::string& name, const ResultOptions& o) {
  const auto there = [&](const char* folder, const char* extension) {
    return fs::exists(out / folder / (name + extension));
  };
  return (o.labels == LabelFormat::none || there("labels", ".tif") ||
          (o.labels == LabelFormat::png && there("labels", ".png"))) &&
         (!o.overlays || there("overlays", ".png")) && (!o.probabilities || there("probabilities", ".tif")) &&
         (!o.rois || there("rois", ".zip")) && (!o.geojson || there("geojson", ".geojson")) &&
         (!o.coco || there("coco", ".json")) && (!o.table || fs::exists(out / "nuclei.csv")) &&
         (!o.bowl || fs::exists(out / "bowl.csv"));
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

std::string ImageResults::bowl_rows() const {
  return options_.bowl && nuclei_ == 0 ? csv_field(names_.results) + ",\n" : bowl_;
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
