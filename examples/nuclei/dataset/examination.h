#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "dataset/bowl_layout.h"
#include "dataset/faults.h"
#include "dataset/groups.h"

namespace nuclei {

struct StoredMask;

/// What the examination of the whole set needs to know of one image's folder.
struct Facts {
  std::string image;  // below the data folder
  bool readable = false, any_mask = false, any_nucleus = false;
  ImageStats stats;
  Modality kind = Modality::fluorescence;
  std::uint64_t hash = 0;        // of size and pixels
  std::vector<float> thumbnail;  // few pixels, mean 0, length 1; empty for a flat image
  std::uint64_t truth_hash = 0;  // of which pixels are nuclei
  std::vector<std::pair<std::string, std::int64_t>> areas;  // mask file, pixels
};

/// Looks at one image and its masks.
class Examination {
 public:
  /// `keep`: the image and its nuclei stay in memory, for take_example().
  Examination(const std::filesystem::path& root, const std::filesystem::path& folder, bool keep = false)
      : root_(root), folder_(folder), keep_(keep) {}

  void run();

  /// The image with its true nuclei, as read_example() reads it. Once, after run(). Nothing if a file could
  /// not be read as it is meant.
  std::optional<Example> take_example();

  std::vector<Finding> findings;
  Facts facts;
  std::size_t images = 0, masks = 0;

 private:
  void find(const char* key, const std::filesystem::path& file, std::string what) {
    findings.push_back({&fault(key), file.lexically_relative(root_).string(), std::move(what)});
  }
  std::vector<std::filesystem::path> pictures(const char* name);
  void look_at_image(const std::filesystem::path& file);
  void look_at_brightness(const std::filesystem::path& file);
  /// Nothing where the file cannot be read as it is meant.
  std::optional<StoredMask> read_mask(const std::filesystem::path& file);
  void look_at_mask(const std::filesystem::path& file, bool only);
  /// Whether it shows one nucleus on a background of 0.
  bool is_plain(const std::filesystem::path& file, const StoredMask& mask);
  void look_at_parts(const std::filesystem::path& file, const StoredMask& mask, bool only);
  /// The mask takes its pixels where no other was before.
  void paint(const std::filesystem::path& file, const StoredMask& mask);
  void look_at_overlaps();
  void look_at_truth();
  bool is_background_marked();
  std::string reason(const std::exception& e, const std::filesystem::path& file) const {
    const std::string text = e.what(), prefix = "reading " + file.string() + ": ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  }

  const std::filesystem::path &root_, folder_;
  bool keep_;
  std::optional<Image> image_;
  bool as_meant_ = true;                           // every mask was painted, but for those that are all 0
  std::vector<std::filesystem::path> mask_files_;  // those that were painted
  std::vector<std::int64_t> mask_areas_;
  std::vector<std::int32_t> owner_;  // per pixel: which mask came first, -1 none
  std::map<std::pair<std::size_t, std::size_t>, std::int64_t> shared_;  // two masks, pixels of both
};

}  // namespace nuclei
