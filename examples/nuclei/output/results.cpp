#include "output/results.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <fstream>
#include <system_error>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "common/text.h"
#include "imageio/atomic_file.h"
#include "output/render.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr int most_shown = 3000;  // pixels a side of a reduced overlay
constexpr std::int32_t most_labels16 = 65535;

[[noreturn]] void fail(const fs::path& path) {
  throw Failure("writing " + path.string() + ": " + std::generic_category().message(errno));
}

Json coco_start() {
  return {{"info", {{"description", "Nuclei found by Karyon's nuclei predict"}}},
          {"categories", Json::array({{{"id", 1}, {"name", "nucleus"}, {"supercategory", "cell"}}})}};
}

}  // namespace

GrowingFile::GrowingFile(const fs::path& path, const std::string& header, std::uint64_t keep) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0666);
  if (descriptor_ < 0) fail(path);
  const off_t there = ::lseek(descriptor_, 0, SEEK_END);
  if (keep > 0 && there < static_cast<off_t>(keep)) {
    ::close(descriptor_);
    throw Failure("continuing " + path.string() + ": expected at least " + std::to_string(keep) +
                  " bytes, it has " + std::to_string(there) + "; start over with --overwrite");
  }
  if (::ftruncate(descriptor_, static_cast<off_t>(keep)) != 0 ||
      ::lseek(descriptor_, static_cast<off_t>(keep), SEEK_SET) < 0) {
    ::close(descriptor_);
    fail(path);
  }
  size_ = keep;
  if (keep == 0) add(header);
}

GrowingFile::~GrowingFile() { ::close(descriptor_); }

void GrowingFile::add(const std::string& text) {
  for (std::size_t done = 0; done < text.size();) {
    const ssize_t n = ::write(descriptor_, text.data() + done, text.size() - done);
    if (n < 0 && errno != EINTR) fail(path_);
    if (n > 0) done += static_cast<std::size_t>(n);
  }
  if (::fdatasync(descriptor_) != 0) fail(path_);
  size_ += text.size();
}

void TextFile::add(const std::string& text) {
  constexpr std::size_t block = 1 << 20;
  text_ += text;
  if (text_.size() < block) return;
  file_.write(text_.data(), text_.size());
  text_.clear();
}

void TextFile::finish(const std::string& end) {
  text_ += end;
  file_.write(text_.data(), text_.size());
  file_.commit();
}

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
  if (options.coco) {
    Json start = coco_start();
    start["images"] = Json::array(
        {{{"id", 1}, {"file_name", names.below}, {"width", header.width}, {"height", header.height}}});
    std::string text =
        start.dump(-1, ' ', false, Json::error_handler_t::replace);  // a path need not be UTF-8
    text.pop_back();
    coco_ = std::make_unique<TextFile>(file("coco", ".json"), text + ",\"annotations\":[");
  }
}

fs::path ImageResults::file(const char* folder, const std::string& extension) {
  std::error_code error;
  fs::create_directories(out_ / folder, error);
  if (error) throw Failure((out_ / folder).string() + ": cannot create the folder: " + error.message());
  return out_ / folder / (names_.results + extension);
}

void ImageResults::rows(int y, int count, const std::int32_t* labels, const float* maps,
                        const float* pixels) {
  const auto width = static_cast<std::size_t>(header_.width), rows = static_cast<std::size_t>(count);
  if (y == 0) {
    whole_ = count == header_.height;
    if (!whole_) step_ = (std::max(header_.width, header_.height) + most_shown - 1) / most_shown;
    const auto shown = [&](int size) { return (size + step_ - 1) / step_; };
    if (options_.overlays) {
      shown_ = Image(shown(header_.width), shown(header_.height), header_.channels);
      shown_labels_ = LabelMap(shown_.width, shown_.height);
    }
    const auto writer = [&](const char* folder, int channels, TiffWriter::Sample sample) {
      return std::make_unique<TiffWriter>(file(folder, ".tif"), header_.width, header_.height, channels,
                                          sample, header_.pixel_width, header_.pixel_height);
    };
    if (options_.probabilities) maps_ = writer("probabilities", map_channels_, TiffWriter::Sample::f32);
    if (options_.labels != LabelFormat::none) {
      const bool many = !whole_ || *std::max_element(labels, labels + rows * width) > most_labels16;
      if (many || options_.labels == LabelFormat::tiff)
        labels_ = writer("labels", 1, many ? TiffWriter::Sample::u32 : TiffWriter::Sample::u16);
      if (whole_ && !many) {
        const Raster<std::uint16_t> narrow(header_.width, count, 1, {labels, labels + rows * width});
        if (labels_) {
          labels_->append(narrow.values.data(), count);
        } else {
          write_png16(file("labels", ".png"), narrow);
        }
      } else {
        labels_->append(labels, count);
      }
    }
  } else if (labels_) {
    labels_->append(labels, count);
  }
  if (maps_) maps_->append(maps, count);
  if (!options_.overlays) return;
  for (int row = y; row < y + count; ++row) {
    if (row % step_ != 0) continue;
    for (int x = 0; x < header_.width; x += step_) {
      const std::size_t at = pixel_count(header_.width, row - y) + static_cast<std::size_t>(x);
      shown_labels_.at(x / step_, row / step_) = labels[at];
      std::copy_n(pixels + at * header_.depth(), header_.depth(), &shown_.at(x / step_, row / step_));
    }
  }
}

void ImageResults::nucleus(const Found& found) {
  const std::string comma = nuclei_++ > 0 ? ",\n" : "\n";
  if (options_.table)
    table_ += csv_row(names_.results, names_.file, found.nucleus, header_.pixel_width, header_.pixel_height);
  if (options_.bowl) bowl_ += csv_field(names_.results) + ',' + bowl_runs(found.runs, header_.height) + '\n';
  if (rois_) {
    std::string number = std::to_string(found.nucleus.label);
    number.insert(0, number.size() < 5 ? 5 - number.size() : 0, '0');
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

void join_coco(const fs::path& out, const std::vector<std::string>& names) {
  Json all = coco_start();
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
