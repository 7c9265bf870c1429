#include "dataset/examination.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>
#include <unordered_map>

#include "common/error.h"
#include "common/quantile.h"
#include "common/text.h"
#include "dataset/background.h"
#include "dataset/listing.h"
#include "imageio/image_source.h"
#include "imageio/label_image.h"
#include "instances/components.h"

namespace nuclei {

namespace fs = std::filesystem;

namespace {

constexpr int tiny_area = 16;  // what predict drops as a speck, pixels

bool looks_like_picture(const fs::path& file) {
  static const std::set<std::string> known{".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif",
                                           ".png", ".webp", ".czi", ".nd2",  ".lif"};
  return known.contains(lower(file.extension().string()));
}

constexpr int thumb = 24;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) { return (hash ^ value) * 0x100000001b3u; }

std::uint64_t hash_of(const Image& image) {
  std::uint64_t hash = mix(mix(0xcbf29ce484222325u, static_cast<std::uint64_t>(image.width)),
                           static_cast<std::uint64_t>(image.height));
  for (const float value : image) hash = mix(hash, static_cast<std::uint64_t>(value * 65535.0f + 0.5f));
  return hash;
}

/// Means over thumb x thumb fields, as a vector of mean 0 and length 1; empty for a flat image.
std::vector<float> thumbnail_of(const Image& image) {
  Raster<double> sum(thumb, thumb), count(thumb, thumb);
  for (int y = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x) {
      const int u = x * thumb / image.width, v = y * thumb / image.height;
      for (int c = 0; c < image.channels; ++c) sum.at(u, v) += image.at(x, y, c);
      count.at(u, v) += image.channels;
    }
  }
  for (std::size_t f = 0; f < sum.size(); ++f) sum[f] = count[f] > 0 ? sum[f] / count[f] : 0;
  const double mean = std::accumulate(sum.begin(), sum.end(), 0.0) / static_cast<double>(sum.size());
  double length = 0;
  for (double& value : sum) value -= mean, length += value * value;
  std::vector<float> thumbnail;
  if (length > 1e-9)
    for (const double value : sum) thumbnail.push_back(static_cast<float>(value / std::sqrt(length)));
  return thumbnail;
}

/// The areas of a mask's connected parts from number `first` on, largest first.
std::vector<int> part_areas(const Mask& mask, bool diagonal, int first = 1) {
  const Components parts = connect(mask, diagonal);
  std::vector<int> areas(parts.area.begin() + first, parts.area.end());
  std::ranges::sort(areas, std::greater());
  return areas;
}

}  // namespace

/// A mask as it is stored.
struct StoredMask {
  LabelImage values;
  Mask set;  // 1 where the value is not 0
  std::int64_t area = 0;
  int x0 = 0, y0 = 0, x1 = -1, y1 = -1;  // the smallest box that holds what is set

  explicit StoredMask(LabelImage labels)
      : values(std::move(labels)), set(values.width, values.height), x0(values.width), y0(values.height) {
    const std::uint64_t* value = values.values.data();
    for (int y = 0; y < set.height; ++y)
      for (int x = 0; x < set.width; ++x, ++value)
        if (*value != 0) add(x, y);
  }
  double share() const { return static_cast<double>(area) / static_cast<double>(set.size()); }
  bool is_full() const { return std::cmp_equal(area, set.size()); }

 private:
  void add(int x, int y) {
    set.at(x, y) = 1;
    ++area;
    x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
  }
};

namespace {

/// The values a mask has besides zero, and how they lie.
struct Values {
  std::size_t distinct = 0;
  double compact = 0;  // the median over values of pixels per start of a region; 1 for scattered pixels
  double weak = 0;     // share of the set pixels below half of the highest value
};

Values look_at_values(const StoredMask& mask) {
  struct Use {
    double pixels = 0, beginnings = 0;
  };
  std::unordered_map<std::uint64_t, Use> uses;
  std::int64_t weak = 0;
  for (int y = mask.y0; y <= mask.y1; ++y) {
    for (int x = mask.x0; x <= mask.x1; ++x) {
      const std::uint64_t value = mask.values.at(x, y);
      if (value == 0) continue;
      // A region starts at a pixel whose left and upper neighbours have other values. A round region has a
      // few such pixels.
      const bool left = x > 0 && mask.values.at(x - 1, y) == value;
      const bool above = y > 0 && mask.values.at(x, y - 1) == value;
      Use& use = uses[value];
      ++use.pixels;
      use.beginnings += !left && !above;
      weak += 2 * (mask.values.colours ? value & 0xffff : value) < mask.values.highest;
    }
  }
  if (uses.empty()) return {};
  std::vector<double> compact;
  for (const auto& [value, use] : uses) compact.push_back(use.pixels / use.beginnings);
  std::ranges::sort(compact);
  return {uses.size(), compact[(compact.size() - 1) / 2],
          static_cast<double>(weak) / static_cast<double>(mask.area)};
}

}  // namespace

std::vector<fs::path> Examination::pictures(const char* name) {
  std::error_code ignored;
  const fs::path folder = folder_ / name;
  std::vector<fs::path> files;
  if (!fs::is_directory(folder, ignored)) return files;
  for (const fs::path& file : list_folder(folder)) {
    if (is_bowl_picture(file)) {
      files.push_back(file);
    } else if (looks_like_picture(file)) {
      find("ignored-picture", file, "only .png files are read here");
    } else {
      find("ignored-file", file, fs::is_directory(file, ignored) ? "a folder" : "not an image");
    }
  }
  return files;
}

void Examination::run() {
  const std::vector<fs::path> image_files = pictures("images"), masks_here = pictures("masks");
  images = image_files.size();
  masks = masks_here.size();
  facts.any_mask = !masks_here.empty();
  if (image_files.empty()) {
    find("no-image", folder_, "no .png file in its folder images, " + counted(masks, "mask"));
  } else if (image_files.size() > 1) {
    find("several-images", folder_, std::to_string(image_files.size()) + " .png files in its folder images");
  } else {
    look_at_image(image_files.front());
  }
  if (masks_here.empty() && !image_files.empty())
    find("no-masks", folder_, "no .png file in its folder masks");
  if (image_) owner_.assign(image_->pixels(), -1);
  for (const fs::path& file : masks_here) look_at_mask(file, masks_here.size() == 1);
  if (!image_) return;
  look_at_overlaps();
  look_at_truth();
  if (!keep_) image_.reset();
}

std::optional<Example> Examination::take_example() {
  if (!image_ || !as_meant_) return {};
  Example example{folder_.filename().string(), std::move(*image_), {}};
  image_.reset();
  example.truth = LabelMap(example.image.width, example.image.height);
  std::vector<std::int32_t> label(mask_files_.size());
  for (const std::int32_t owner : owner_)
    if (owner >= 0) label[static_cast<std::size_t>(owner)] = 1;
  std::int32_t count = 0;
  for (std::int32_t& l : label) l = l > 0 ? ++count : 0;  // a mask that lies below others has no pixel
  std::ranges::transform(owner_, example.truth.begin(), [&](std::int32_t owner) {
    return owner < 0 ? 0 : label[static_cast<std::size_t>(owner)];
  });
  return example;
}

void Examination::look_at_image(const fs::path& file) {
  facts.image = file.lexically_relative(root_).string();
  try {
    std::string note;
    image_ = read_image(file, {}, &note);
    if (!note.empty()) find("one-colour", file, note);
  } catch (const Failure& e) {
    find("unreadable", file, reason(e, file));
    return;
  }
  const Image& image = *image_;
  facts.readable = true;
  facts.stats = image_stats(image);
  facts.kind = modality(facts.stats);

  look_at_brightness(file);
  facts.hash = hash_of(image);
  facts.thumbnail = thumbnail_of(image);
}

void Examination::look_at_brightness(const fs::path& file) {
  const Image& image = *image_;
  const double levels = std::abs(image.scale);
  std::vector<float> values = image.values;
  const double high = quantile(values, 0.999), low = quantile(values, 0.001), highest = quantile(values, 1);
  const double range = (high - low) * levels;
  if (highest == quantile(values, 0)) {
    find("blank-image", file, "every pixel is " + fixed(highest * levels, 0));
  } else if (range < 6) {
    find("low-contrast", file,
         "brightness from " + fixed(low * levels, 0) + " to " + fixed(high * levels, 0) + " of " +
             fixed(levels, 0));
  } else if (image.bit_depth == 16 && highest * levels < 6554) {
    find("dark-in-viewers", file,
         "16 bits a pixel, the lightest is " + fixed(highest * levels, 0) + " of 65535");
  }
  const auto full = static_cast<double>(std::ranges::count(image, 1.0f)) / static_cast<double>(image.size());
  if (highest == 1 && facts.kind == Modality::fluorescence && full > 0.05)
    find("saturated", file, percent(full) + " of the values are at the upper end");
}

std::optional<StoredMask> Examination::read_mask(const fs::path& file) {
  std::optional<StoredMask> mask;
  try {
    mask.emplace(read_label_image(file));
  } catch (const Failure& e) {
    find("unreadable", file, reason(e, file));
    return {};
  }
  if (image_ && !mask->set.same_size(*image_)) {
    find("size-mismatch", file, size_text(mask->set) + " pixels, its image is " + size_text(*image_));
    return {};
  }
  if (mask->values.alpha_varies && (mask->area == 0 || mask->is_full())) {
    find("mask-in-alpha", file, mask->area == 0 ? "the colours are all 0" : "the colours are all set");
    return {};
  }
  return mask;
}

void Examination::look_at_mask(const fs::path& file, bool only) {
  const std::optional<StoredMask> mask = read_mask(file);
  if (!mask) {
    as_meant_ = false;
    return;
  }
  if (mask->area == 0) {
    find("empty-mask", file, "no pixel is set");
    return;
  }
  facts.any_nucleus = true;
  const LabelImage& labels = mask->values;
  const bool plain = is_plain(file, *mask);
  if (plain) look_at_parts(file, *mask, only);
  if (plain && labels.highest < (labels.bit_depth > 8 ? 6554 : 26))
    find("dark-mask", file,
         std::to_string(labels.bit_depth) + " bits a pixel, the highest value is " +
             std::to_string(labels.highest));
  if (labels.alpha && !labels.alpha_varies)
    find("opaque-mask", file, "an alpha channel that is the same everywhere");
  if (owner_.empty()) return;
  if (plain) facts.areas.emplace_back(file.lexically_relative(root_).string(), mask->area);
  paint(file, *mask);
}

bool Examination::is_plain(const fs::path& file, const StoredMask& mask) {
  const Values values = look_at_values(mask);
  if (mask.is_full() && values.distinct == 1) {
    find("full-mask", file, "every pixel is set");
  } else if (values.distinct >= 2 && values.compact >= 3) {
    find("label-image", file,
         std::to_string(values.distinct) + " values besides 0, each in a region of its own");
  } else if (values.distinct >= 2 && values.weak > 0.01) {
    find("grey-mask", file,
         std::to_string(values.distinct) + " values besides 0, " + percent(values.weak) +
             " of the set pixels are darker than half");
  } else if (rival_of_background(mask.values).value != 0) {
    find("inverted-mask", file, percent(mask.share()) + " of the pixels are set");
  } else {
    return true;
  }
  return false;
}

void Examination::paint(const fs::path& file, const StoredMask& mask) {
  const std::size_t index = mask_files_.size();
  mask_files_.push_back(file);
  mask_areas_.push_back(mask.area);
  for (int y = mask.y0; y <= mask.y1; ++y) {
    for (int x = mask.x0; x <= mask.x1; ++x) {
      if (mask.set.at(x, y) == 0) continue;
      std::int32_t& owner = owner_[mask.set.index(x, y)];
      if (owner >= 0) {
        ++shared_[{static_cast<std::size_t>(owner), index}];
      } else {
        owner = static_cast<std::int32_t>(index);
      }
    }
  }
}

void Examination::look_at_parts(const fs::path& file, const StoredMask& mask, bool only) {
  const Mask& set = mask.set;
  const int x0 = mask.x0, y0 = mask.y0, x1 = mask.x1, y1 = mask.y1;
  // A frame of background joins all background that is no hole.
  Mask cut(x1 - x0 + 3, y1 - y0 + 3);
  for (int y = y0; y <= y1; ++y)
    for (int x = x0; x <= x1; ++x) cut.at(x - x0 + 1, y - y0 + 1) = set.at(x, y);
  const std::vector<int> parts = part_areas(cut, true);
  const auto large =
      static_cast<std::size_t>(std::ranges::count_if(parts, [](int area) { return area >= tiny_area; }));
  if (only && large >= 2) {
    find("all-in-one", file, "the only mask, and it has " + counted(large, "separate part"));
  } else if (large >= 2) {
    find("several-parts", file,
         std::to_string(large) + " separate parts of " + std::to_string(parts[0]) + ", " +
             std::to_string(parts[1]) + (large > 2 ? ", ..." : "") + " pixels");
  } else if (parts.size() > 1) {
    const int rest = std::accumulate(parts.begin() + 1, parts.end(), 0);
    find("specks", file,
         counted(parts.size() - 1, "speck") + " (" + counted(static_cast<std::size_t>(rest), "pixel") +
             ") beside a part of " + std::to_string(parts[0]));
  }
  for (std::uint8_t& pixel : cut) pixel = !pixel;
  const std::vector<int> holes = part_areas(cut, false, 2);  // part 1 is the background that the frame is in
  if (!holes.empty())
    find("holes", file,
         counted(holes.size(), "hole") + ", the largest of " +
             counted(static_cast<std::size_t>(holes[0]), "pixel"));
}

void Examination::look_at_overlaps() {
  std::map<std::size_t, std::int64_t> touched;  // by the mask that comes second
  for (const auto& [pair, pixels] : shared_) {
    const auto [first, second] = pair;
    const std::string other = mask_files_[first].filename().string();
    const std::int64_t smaller = std::min(mask_areas_[first], mask_areas_[second]);
    if (pixels == mask_areas_[first] && pixels == mask_areas_[second]) {
      find("identical-masks", mask_files_[second], "the same pixels as " + other);
    } else if (4 * pixels >= smaller) {
      find("overlapping-masks", mask_files_[second],
           counted(static_cast<std::size_t>(pixels), "pixel") + " in common with " + other + ", " +
               percent(static_cast<double>(pixels) / static_cast<double>(smaller)) + " of the smaller");
    } else {
      touched[second] += pixels;
    }
  }
  if (touched.empty()) return;
  std::int64_t pixels = 0;
  for (const auto& [mask, n] : touched) pixels += n;
  find("small-overlaps", folder_,
       counted(static_cast<std::size_t>(pixels), "pixel") + " of " + counted(touched.size(), "mask") +
           (pixels == 1 ? " belongs" : " belong") + " to another as well");
}

void Examination::look_at_truth() {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::int32_t owner : owner_) hash = mix(hash, owner >= 0);
  facts.truth_hash = hash;
  if (facts.any_mask && !facts.any_nucleus && !mask_files_.empty()) return;
  std::size_t tiny = 0;
  for (const auto& [file, area] : facts.areas) tiny += area < tiny_area;
  if (tiny > 0)
    find("tiny-nuclei", folder_,
         std::to_string(tiny) + " of " + std::to_string(facts.areas.size()) + " masks");

  // Masks with errors need not follow the image.
  const auto is_error = [](const Finding& finding) { return finding.fault->severity == Severity::error; };
  if (std::ranges::any_of(findings, is_error) || is_background_marked()) return;
  // The masks follow the image if brightness inside and outside differ.
  double in = 0, out = 0, n_in = 0, n_out = 0, squares = 0;
  for (std::size_t i = 0; i < owner_.size(); ++i) {
    double value = 0;
    for (int c = 0; c < image_->channels; ++c) value += image_->pixel(i)[c];
    squares += value * value;
    (owner_[i] >= 0 ? in : out) += value;
    (owner_[i] >= 0 ? n_in : n_out) += 1;
  }
  if (n_in < tiny_area || n_out < tiny_area) return;
  const double n = n_in + n_out, mean = (in + out) / n,
               spread = std::sqrt(std::max(0.0, squares / n - mean * mean));
  if (spread < 1e-6) return;  // nothing to follow
  const double contrast = (in / n_in - out / n_out) / spread;
  if (facts.kind == Modality::fluorescence ? contrast < 0.4 : std::abs(contrast) < 0.2)
    find("off-target", folder_,
         "inside the masks it is no " +
             std::string(facts.kind == Modality::fluorescence ? "brighter" : "different") +
             " than outside (difference " + fixed(contrast, 2) + " standard deviations)");
}

bool Examination::is_background_marked() {
  LabelMap marked(image_->width, image_->height);
  std::ranges::transform(owner_, marked.begin(), [](std::int32_t owner) { return owner + 1; });
  const std::vector<std::int32_t> labels = background_labels(*image_, marked, facts.kind);
  for (const std::int32_t label : labels) {
    const auto mask = static_cast<std::size_t>(label - 1);
    find("background-mask", mask_files_[mask],
         percent(static_cast<double>(mask_areas_[mask]) / static_cast<double>(marked.size())) +
             " of the pixels, from edge to edge, and the image is " +
             (facts.kind == Modality::fluorescence ? "darkest" : "lightest") + " there");
  }
  return !labels.empty();
}

}  // namespace nuclei
