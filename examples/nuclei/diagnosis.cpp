#include "diagnosis.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <unordered_map>

#include <karyon/karyon.h>

#include "bowl.h"
#include "error.h"
#include "progress.h"
#include "report.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr int kTinyArea = 16;  // what predict drops as a speck, pixels

const Fault& fault(const std::string& key) {
  return *std::ranges::find_if(faults(), [&](const Fault& f) { return f.key == key; });
}

std::string counted(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

std::string size_text(int width, int height) {
  return std::to_string(width) + " x " + std::to_string(height);
}

std::string lower(std::string text) {
  for (char& c : text) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return text;
}

bool looks_like_picture(const fs::path& file) {
  static const std::set<std::string> known{".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".gif",
                                           ".png", ".webp", ".czi", ".nd2",  ".lif"};
  return known.contains(lower(file.extension().string()));
}

/// What one image's folder is known by when all have been looked at.
struct Facts {
  std::string image;  // below the data folder
  bool readable = false, any_mask = false, any_nucleus = false;
  ImageStats stats;
  Modality kind = Modality::fluorescence;
  std::uint64_t hash = 0;        // of size and pixels
  std::vector<float> thumbnail;  // kThumb x kThumb, mean 0, length 1; empty for a flat image
  std::uint64_t truth_hash = 0;  // of which pixels are nuclei
  std::vector<std::pair<std::string, std::int64_t>> areas;  // mask file, pixels
};
constexpr int kThumb = 24;

std::uint64_t mix(std::uint64_t hash, std::uint64_t value) { return (hash ^ value) * 0x100000001b3u; }

/// Connected parts of the pixels where mask == value, by descending area; diagonal neighbours belong together
/// if asked. Of `value` 0 those that reach the border are left out: what stays are holes.
std::vector<int> part_areas(const std::vector<std::uint8_t>& mask, int width, int height, std::uint8_t value,
                            bool diagonal) {
  std::vector<bool> seen(mask.size());
  std::vector<int> areas, open;
  for (int start = 0; start < width * height; ++start) {
    if (seen[static_cast<std::size_t>(start)] || mask[static_cast<std::size_t>(start)] != value) continue;
    int area = 0;
    bool border = false;
    seen[static_cast<std::size_t>(start)] = true;
    open = {start};
    while (!open.empty()) {
      const int at = open.back(), x = at % width, y = at / width;
      open.pop_back();
      ++area;
      border |= x == 0 || y == 0 || x == width - 1 || y == height - 1;
      for (int dy = -1; dy <= 1; ++dy) {
        for (int dx = -1; dx <= 1; ++dx) {
          if ((!diagonal && dx != 0 && dy != 0) || x + dx < 0 || y + dy < 0 || x + dx >= width ||
              y + dy >= height)
            continue;
          const auto next = static_cast<std::size_t>(at + dy * width + dx);
          if (seen[next] || mask[next] != value) continue;
          seen[next] = true;
          open.push_back(static_cast<int>(next));
        }
      }
    }
    if (value != 0 || !border) areas.push_back(area);
  }
  std::ranges::sort(areas, std::greater());
  return areas;
}

/// A mask as it is stored.
struct Mask {
  int width = 0, height = 0;
  std::vector<std::uint64_t> values;  // the colour of each pixel
  std::vector<std::uint8_t> set;      // 1 where any colour channel is above zero
  std::int64_t area = 0;
  int highest = 0;  // of all colour samples
  int bit_depth = 8;
  bool alpha = false, alpha_varies = false;

  explicit Mask(const RawImage& raw) : width(raw.width), height(raw.height), bit_depth(raw.bit_depth) {
    const auto channels = static_cast<std::size_t>(raw.channels), colors = channels <= 2 ? std::size_t{1} : 3;
    alpha = channels > colors;
    const std::size_t count = raw.samples.size() / channels;
    values.reserve(count);
    set.reserve(count);
    for (std::size_t i = 0; i < count; ++i) {
      const std::uint16_t* sample = &raw.samples[i * channels];
      std::uint64_t value = 0;
      for (std::size_t c = 0; c < colors; ++c) {
        value = value << 16 | sample[c];
        highest = std::max<int>(highest, sample[c]);
      }
      values.push_back(value);
      set.push_back(value != 0);
      area += value != 0;
      if (alpha) alpha_varies |= sample[colors] != raw.samples[colors];
    }
  }
  double share() const { return static_cast<double>(area) / static_cast<double>(set.size()); }
};

/// The values a mask has besides zero, and how they lie.
struct Values {
  std::size_t distinct = 0;
  double compact = 0;  // pixels per beginning of a region, of the median value: 1 for scattered ones
  double weak = 0;     // share of the set pixels below half of the highest value
};

Values look_at_values(const Mask& mask) {
  struct Use {
    double pixels = 0, beginnings = 0;
  };
  std::unordered_map<std::uint64_t, Use> uses;
  std::int64_t weak = 0;
  const auto width = static_cast<std::size_t>(mask.width);
  for (std::size_t i = 0; i < mask.values.size(); ++i) {
    const std::uint64_t value = mask.values[i];
    if (value == 0) continue;
    // A region begins where neither the pixel before nor the one above has its value; a round one does so a
    // few times.
    const bool left = i % width > 0 && mask.values[i - 1] == value;
    const bool above = i >= width && mask.values[i - width] == value;
    Use& use = uses[value];
    ++use.pixels;
    use.beginnings += !left && !above;
    weak += 2 * static_cast<int>(value & 0xffff) < mask.highest;
  }
  if (uses.empty()) return {};
  std::vector<double> compact;
  for (const auto& [value, use] : uses) compact.push_back(use.pixels / use.beginnings);
  std::ranges::sort(compact);
  return {uses.size(), compact[(compact.size() - 1) / 2],
          static_cast<double>(weak) / static_cast<double>(mask.area)};
}

/// Looks at one image and its masks.
class Examination {
 public:
  Examination(const fs::path& root, const fs::path& folder) : root_(root), folder_(folder) {}

  void run();

  std::vector<Finding> findings;
  Facts facts;
  std::size_t images = 0, masks = 0;

 private:
  void find(const char* key, const fs::path& file, std::string what) {
    findings.push_back({&fault(key), file.lexically_relative(root_).string(), std::move(what)});
  }
  std::vector<fs::path> pictures(const char* name);
  void look_at_image(const fs::path& file);
  void look_at_mask(const fs::path& file, bool only);
  void look_at_parts(const fs::path& file, const Mask& mask, bool only);
  void look_at_overlaps();
  void look_at_truth();
  std::string reason(const std::exception& e, const fs::path& file) const {
    const std::string text = e.what(), prefix = "reading " + file.string() + ": ";
    return text.starts_with(prefix) ? text.substr(prefix.size()) : text;
  }

  const fs::path &root_, folder_;
  std::optional<Image> image_;
  std::vector<fs::path> mask_files_;  // those that were painted
  std::vector<std::int64_t> mask_areas_;
  std::vector<std::int32_t> owner_;  // per pixel: which mask came first, -1 none
  std::map<std::pair<std::size_t, std::size_t>, std::int64_t> shared_;  // two masks, pixels of both
};

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
  if (image_)
    owner_.assign(static_cast<std::size_t>(image_->width) * static_cast<std::size_t>(image_->height), -1);
  for (const fs::path& file : masks_here) look_at_mask(file, masks_here.size() == 1);
  if (!image_) return;
  look_at_overlaps();
  look_at_truth();
  image_.reset();
}

void Examination::look_at_image(const fs::path& file) {
  facts.image = file.lexically_relative(root_).string();
  try {
    image_ = read_image(file);
  } catch (const Failure& e) {
    find("unreadable", file, reason(e, file));
    return;
  }
  const Image& image = *image_;
  facts.readable = true;
  facts.stats = image_stats(image);
  facts.kind = modality(facts.stats);

  const double levels = image.bit_depth == 16 ? 65535 : 255;
  std::vector<float> values = image.pixels;
  const auto percentile = [&](double share) {
    const auto at =
        values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::nth_element(values.begin(), at, values.end());
    return static_cast<double>(*at);
  };
  const double high = percentile(0.999), low = percentile(0.001), highest = percentile(1);
  const double range = (high - low) * levels;
  if (highest == percentile(0)) {
    find("blank-image", file, "every pixel is " + fixed(highest * levels, 0));
  } else if (range < 6) {
    find("low-contrast", file,
         "brightness from " + fixed(low * levels, 0) + " to " + fixed(high * levels, 0) + " of " +
             fixed(levels, 0));
  } else if (image.bit_depth == 16 && highest < 0.1) {
    find("dark-in-viewers", file,
         "16 bits a pixel, the lightest is " + fixed(highest * levels, 0) + " of 65535");
  }
  const auto full =
      static_cast<double>(std::ranges::count(image.pixels, 1.0f)) / static_cast<double>(image.pixels.size());
  if (highest == 1 && facts.kind == Modality::fluorescence && full > 0.05)
    find("saturated", file, percent(full) + " of the values are at the upper end");

  std::uint64_t hash = mix(mix(0xcbf29ce484222325u, static_cast<std::uint64_t>(image.width)),
                           static_cast<std::uint64_t>(image.height));
  for (const float value : image.pixels)
    hash = mix(hash, static_cast<std::uint64_t>(value * 65535.0f + 0.5f));
  facts.hash = hash;

  // Means over kThumb x kThumb fields, as a vector of length 1.
  const auto channels = static_cast<std::size_t>(image.channels);
  std::vector<double> sum(kThumb * kThumb), count(kThumb * kThumb);
  for (int y = 0, i = 0; y < image.height; ++y) {
    for (int x = 0; x < image.width; ++x, ++i) {
      const auto field =
          static_cast<std::size_t>(y * kThumb / image.height * kThumb + x * kThumb / image.width);
      for (std::size_t c = 0; c < channels; ++c)
        sum[field] += image.pixels[static_cast<std::size_t>(i) * channels + c];
      count[field] += static_cast<double>(channels);
    }
  }
  for (std::size_t f = 0; f < sum.size(); ++f) sum[f] = count[f] > 0 ? sum[f] / count[f] : 0;
  const double mean = std::accumulate(sum.begin(), sum.end(), 0.0) / static_cast<double>(sum.size());
  double length = 0;
  for (double& value : sum) value -= mean, length += value * value;
  if (length > 1e-9)
    for (const double value : sum) facts.thumbnail.push_back(static_cast<float>(value / std::sqrt(length)));
}

void Examination::look_at_mask(const fs::path& file, bool only) {
  std::optional<Mask> read;
  try {
    read.emplace(read_raw(file));
  } catch (const Failure& e) {
    find("unreadable", file, reason(e, file));
    return;
  }
  const Mask& mask = *read;
  if (image_ && (mask.width != image_->width || mask.height != image_->height)) {
    find("size-mismatch", file,
         size_text(mask.width, mask.height) + " pixels, its image is " +
             size_text(image_->width, image_->height));
    return;
  }
  const auto all = static_cast<std::int64_t>(mask.set.size());
  if (mask.alpha_varies && (mask.area == 0 || mask.area == all)) {
    find("mask-in-alpha", file, mask.area == 0 ? "the colours are all 0" : "the colours are all set");
    return;
  }
  if (mask.area == 0) {
    find("empty-mask", file, "no pixel is set");
    return;
  }
  facts.any_nucleus = true;

  // Of the image's frame a nucleus covers a part, what is not nucleus nearly all.
  std::int64_t frame = 0, frame_set = 0;
  for (int y = 0, i = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x, ++i) {
      if (x > 0 && y > 0 && x + 1 < mask.width && y + 1 < mask.height) continue;
      ++frame;
      frame_set += mask.set[static_cast<std::size_t>(i)];
    }
  }
  const Values values = look_at_values(mask);
  bool plain = false;
  if (mask.area == all && values.distinct == 1) {
    find("full-mask", file, "every pixel is set");
  } else if (values.distinct >= 2 && values.compact >= 3) {
    find("label-image", file,
         std::to_string(values.distinct) + " values besides 0, each in a region of its own");
  } else if (values.distinct >= 2 && values.weak > 0.01) {
    find("grey-mask", file,
         std::to_string(values.distinct) + " values besides 0, " + percent(values.weak) +
             " of the set pixels are darker than half");
  } else if (mask.share() > 0.5 && 10 * frame_set > 9 * frame) {
    find("inverted-mask", file, percent(mask.share()) + " of the pixels are set");
  } else {
    plain = true;
    look_at_parts(file, mask, only);
  }
  if (plain && mask.highest < (mask.bit_depth == 16 ? 6554 : 26))
    find("dark-mask", file,
         std::to_string(mask.bit_depth) + " bits a pixel, the highest value is " +
             std::to_string(mask.highest));
  if (mask.alpha && !mask.alpha_varies)
    find("opaque-mask", file, "an alpha channel that is the same everywhere");

  if (owner_.empty()) return;
  const std::size_t index = mask_files_.size();
  mask_files_.push_back(file);
  mask_areas_.push_back(mask.area);
  if (plain) facts.areas.emplace_back(file.lexically_relative(root_).string(), mask.area);
  for (std::size_t i = 0; i < mask.set.size(); ++i) {
    if (mask.set[i] == 0) continue;
    if (owner_[i] >= 0) {
      ++shared_[{static_cast<std::size_t>(owner_[i]), index}];
    } else {
      owner_[i] = static_cast<std::int32_t>(index);
    }
  }
}

void Examination::look_at_parts(const fs::path& file, const Mask& mask, bool only) {
  int x0 = mask.width, y0 = mask.height, x1 = 0, y1 = 0;
  for (int y = 0, i = 0; y < mask.height; ++y) {
    for (int x = 0; x < mask.width; ++x, ++i) {
      if (mask.set[static_cast<std::size_t>(i)] == 0) continue;
      x0 = std::min(x0, x), x1 = std::max(x1, x), y0 = std::min(y0, y), y1 = std::max(y1, y);
    }
  }
  // With a frame of background, so that holes are what does not reach the border.
  const int width = x1 - x0 + 3, height = y1 - y0 + 3;
  std::vector<std::uint8_t> cut(static_cast<std::size_t>(width) * static_cast<std::size_t>(height));
  for (int y = y0; y <= y1; ++y) {
    for (int x = x0; x <= x1; ++x)
      cut[static_cast<std::size_t>((y - y0 + 1) * width + x - x0 + 1)] =
          mask.set[static_cast<std::size_t>(y) * static_cast<std::size_t>(mask.width) +
                   static_cast<std::size_t>(x)];
  }
  const std::vector<int> parts = part_areas(cut, width, height, 1, true);
  const auto large =
      static_cast<std::size_t>(std::ranges::count_if(parts, [](int area) { return area >= kTinyArea; }));
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
  const std::vector<int> holes = part_areas(cut, width, height, 0, false);
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
           " belong to another as well");
}

void Examination::look_at_truth() {
  std::uint64_t hash = 0xcbf29ce484222325u;
  for (const std::int32_t owner : owner_) hash = mix(hash, owner >= 0);
  facts.truth_hash = hash;
  if (facts.any_mask && !facts.any_nucleus && !mask_files_.empty()) return;
  std::size_t tiny = 0;
  for (const auto& [file, area] : facts.areas) tiny += area < kTinyArea;
  if (tiny > 0)
    find("tiny-nuclei", folder_,
         std::to_string(tiny) + " of " + std::to_string(facts.areas.size()) + " masks");

  // What is wrong already need not follow the image.
  const auto is_error = [](const Finding& finding) { return finding.fault->severity == Severity::error; };
  if (std::ranges::any_of(findings, is_error)) return;
  // Do the masks follow what is to be seen? Brightness inside against brightness around.
  const auto channels = static_cast<std::size_t>(image_->channels);
  double in = 0, out = 0, n_in = 0, n_out = 0, squares = 0;
  for (std::size_t i = 0; i < owner_.size(); ++i) {
    double value = 0;
    for (std::size_t c = 0; c < channels; ++c) value += image_->pixels[i * channels + c];
    squares += value * value;
    (owner_[i] >= 0 ? in : out) += value;
    (owner_[i] >= 0 ? n_in : n_out) += 1;
  }
  if (n_in < kTinyArea || n_out < kTinyArea) return;
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

// --- The set as a whole

class SetExamination {
 public:
  SetExamination(const std::vector<Facts>& facts, std::vector<Finding>& findings)
      : facts_(facts), findings_(findings) {}

  void run() {
    look_for_duplicates();
    look_for_near_duplicates();
    look_at_names();
    look_at_sizes();
    look_at_brightness();
    look_at_truth();
  }

 private:
  void find(const char* key, const std::string& file, std::string what) {
    findings_.push_back({&fault(key), file, std::move(what)});
  }
  void look_for_duplicates();
  void look_for_near_duplicates();
  void look_at_names();
  void look_at_sizes();
  void look_at_brightness();
  void look_at_truth();

  const std::vector<Facts>& facts_;
  std::vector<Finding>& findings_;
};

void SetExamination::look_for_duplicates() {
  std::map<std::uint64_t, const Facts*> first;
  for (const Facts& f : facts_) {
    if (!f.readable || f.thumbnail.empty()) continue;
    const auto [at, added] = first.try_emplace(f.hash, &f);
    if (added) continue;
    find("duplicate-image", f.image,
         "the same pixels as " + at->second->image +
             (f.truth_hash == at->second->truth_hash ? "" : ", but other masks"));
  }
}

void SetExamination::look_for_near_duplicates() {
  constexpr float kAlike = 0.95f;
  std::vector<std::size_t> match(facts_.size(), facts_.size());
  karyon::parallel_for(
      static_cast<std::int64_t>(facts_.size()), 8, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i) {
          for (std::size_t j = 0; j < i && match[i] == facts_.size(); ++j) {
            const Facts &a = facts_[i], &b = facts_[j];
            if (a.thumbnail.empty() || b.thumbnail.empty() || a.hash == b.hash) continue;
            const float alike =
                std::inner_product(a.thumbnail.begin(), a.thumbnail.end(), b.thumbnail.begin(), 0.0f);
            if (alike > kAlike) match[i] = j;
          }
        }
      });
  for (std::size_t i = 0; i < facts_.size(); ++i) {
    if (match[i] == facts_.size()) continue;
    const Facts& other = facts_[match[i]];
    find("near-duplicate", facts_[i].image,
         "nearly the same as " + other.image +
             (facts_[i].stats.width == other.stats.width && facts_[i].stats.height == other.stats.height
                  ? ""
                  : " in another size"));
  }
}

void SetExamination::look_at_names() {
  std::map<std::string, std::string> first;
  for (const Facts& f : facts_) {
    const std::string id = fs::path(f.image).begin()->string();
    if (f.image.empty()) continue;
    const auto [at, added] = first.try_emplace(lower(id), id);
    if (!added) find("case-only", id, "differs from " + at->second + " in upper and lower case only");
  }
}

double median(std::vector<double> values) {
  const auto at = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::nth_element(values.begin(), at, values.end());
  return *at;
}

void SetExamination::look_at_sizes() {
  constexpr std::size_t kEnough = 5;
  constexpr double kHuge = 12;
  for (const Facts& f : facts_) {
    if (f.areas.size() < kEnough) continue;
    std::vector<double> areas;
    for (const auto& [file, area] : f.areas) areas.push_back(static_cast<double>(area));
    // Many may be fragments, or cut by the image's edge; the upper quartile tells how large whole ones are.
    const auto at = areas.begin() + static_cast<std::ptrdiff_t>((areas.size() - 1) * 3 / 4);
    std::nth_element(areas.begin(), at, areas.end());
    const double usual = *at, pixels = static_cast<double>(f.stats.width) * f.stats.height;
    for (const auto& [file, area] : f.areas) {
      const auto size = static_cast<double>(area);
      if (size > kHuge * usual && size > 0.02 * pixels)
        find("huge-nucleus", file,
             std::to_string(area) + " pixels, " + fixed(size / usual, 0) +
                 " times as many as three of four nuclei of its image have at most");
    }
  }
}

void SetExamination::look_at_brightness() {
  constexpr std::size_t kEnough = 10;
  constexpr double kFar = 6;  // robust standard deviations
  for (const Modality kind : {Modality::fluorescence, Modality::brightfield, Modality::stained}) {
    std::vector<double> levels;
    const auto level = [](const Facts& f) {
      return std::log((f.stats.mean[0] + f.stats.mean[1] + f.stats.mean[2]) / 3 + 0.004);
    };
    for (const Facts& f : facts_) {
      if (f.readable && f.kind == kind) levels.push_back(level(f));
    }
    if (levels.size() < kEnough) continue;
    const double middle = median(levels);
    std::vector<double> distances;
    for (const double value : levels) distances.push_back(std::abs(value - middle));
    const double spread = std::max(1.4826 * median(distances), 0.1);
    for (const Facts& f : facts_) {
      if (!f.readable || f.kind != kind || std::abs(level(f) - middle) <= kFar * spread) continue;
      find("odd-brightness", f.image,
           fixed(std::exp(level(f) - middle), 2) + " times the brightness that is usual among the " +
               name(kind) + " images");
    }
  }
}

void SetExamination::look_at_truth() {
  std::size_t with_masks = 0, empty = 0;
  for (const Facts& f : facts_) {
    with_masks += f.any_mask;
    empty += f.any_mask && !f.any_nucleus;
  }
  if (with_masks > 0 && 2 * empty > with_masks)
    find("nothing-to-learn", ".",
         std::to_string(empty) + " of " + counted(with_masks, "image") + " have no pixel of a nucleus");
}

/// What a folder that is not in the layout holds instead.
std::string what_lies_there(const fs::path& root) {
  std::error_code ignored;
  if (fs::is_directory(root / "images", ignored) && list_folder(root / "images").size() > 1)
    return "its folder images holds " + std::to_string(list_folder(root / "images").size()) +
           " files; every image needs a folder of its own; nuclei arrange makes them";
  try {
    scan_bowl(root, false);
  } catch (const Failure& e) {
    return e.what();
  }
  return "nothing that could be read";
}

}  // namespace

const char* name(Severity severity) {
  switch (severity) {
    case Severity::error: return "error";
    case Severity::warning: return "warning";
    case Severity::note: return "note";
  }
  return "unknown";
}

std::size_t Diagnosis::count(Severity severity) const {
  return static_cast<std::size_t>(std::ranges::count_if(
      findings, [&](const Finding& finding) { return finding.fault->severity == severity; }));
}

const std::vector<Fault>& faults() {
  using enum Severity;
  static const std::vector<Fault> all{
      {"layout", error, "the folder is not in the layout <id>/images/*.png, <id>/masks/*.png",
       "nothing would be found to train on",
       "one folder per image, with the image in its folder images and one mask per nucleus in its folder "
       "masks"},
      {"nothing-to-learn", error, "most images have no pixel of a nucleus in their masks",
       "your Dice would be 0 because the truth is empty: the network learns to answer \"background\"",
       "look at the mask files' values; perhaps the nuclei are not above 0, or the wrong folder was copied"},
      {"unreadable", error, "files that cannot be read", "training stops at the first of them",
       "copy the file again from its source, or save it anew as PNG"},
      {"no-image", error, "masks without an image",
       "training stops: there is nothing to learn these masks on",
       "add the image as <id>/images/NAME.png, or remove the folder"},
      {"several-images", error, "folders with several images",
       "training stops: the masks belong to one of them",
       "keep one image per folder (several channels: merge them into one RGB or grey PNG)"},
      {"no-masks", error, "images without masks",
       "training and evaluation stop; read as background they would teach that nuclei are none",
       "add one mask per nucleus to <id>/masks; an image that truly has no nuclei gets one mask that is all "
       "0"},
      {"size-mismatch", error, "masks of another size than their image",
       "training stops: mask and image pixels would not lie on each other, and your Dice would be near 0",
       "export the masks again at the image's size, without scaling or cropping"},
      {"mask-in-alpha", error, "masks kept in the alpha channel",
       "your Dice would be 0 because only the colours are read, and they are the same everywhere",
       "save the alpha channel as a grey 8-bit PNG: 0 background, 255 nucleus"},
      {"full-mask", error, "masks in which every pixel is set",
       "the whole image would be one nucleus, and every true one be lost below it",
       "check the export: the background must be 0, not 1 or white"},
      {"inverted-mask", error, "inverted masks: nearly everything is set",
       "your Dice would be near 0 because the background is learnt as a nucleus, and the nuclei as "
       "background",
       "invert the file: 0 is background, anything above it nucleus"},
      {"label-image", error, "label images in place of one mask per nucleus",
       "every value above 0 counts as set, so all nuclei of the file would become a single one; Dice looks "
       "right, and the Bowl score is 0",
       "nuclei arrange writes one file per value"},
      {"all-in-one", error, "all nuclei in one mask",
       "the parts would be one nucleus, and the network never learns where one ends and the next begins",
       "nuclei arrange writes one file per connected part; nuclei that touch must be drawn apart"},
      {"blank-image", error, "images with a single value everywhere",
       "there is nothing to see, so nothing to learn", "export the image again, or remove its folder"},
      {"ignored-picture", warning, "image files of a kind that is not read here",
       "they are passed over, so their nuclei would be taught as background",
       "save them as PNG beside the others"},
      {"off-target", warning, "masks that do not follow the image",
       "your Dice would be near 0 if the masks belong to another image, or are flipped or shifted",
       "lay the masks over the image and look; pair the files again by name"},
      {"identical-masks", warning, "masks that are the same as another",
       "the second one is left without a pixel and dropped", "remove one, or put in the mask that was meant"},
      {"overlapping-masks", warning, "masks that overlap by a quarter or more",
       "a pixel belongs to one nucleus: the first by file name keeps it, the other is cut",
       "redraw the border between the two"},
      {"several-parts", warning, "masks with several separate parts",
       "they would be taught as one nucleus that is in several places", "write one file per part"},
      {"huge-nucleus", warning, "masks far larger than the others of their image",
       "a filled background or several nuclei in one drown the true sizes", "look at the file"},
      {"grey-mask", warning, "masks with values between background and nucleus",
       "every value above 0 counts as set: what JPEG compression or smoothing left around a nucleus makes it "
       "larger, and your Dice smaller",
       "save masks as PNG without smoothing, or set what is below half to 0"},
      {"empty-mask", warning, "masks without a pixel", "the nucleus it should show is taught as background",
       "draw it, or remove the file; as the only mask of an image without nuclei it is right"},
      {"low-contrast", warning, "images with hardly any contrast",
       "stretched to the usual contrast they are mostly noise",
       "check exposure and export; leave them out if nothing is to be seen"},
      {"saturated", warning, "overexposed images",
       "where brightness is cut off, touching nuclei cannot be told apart",
       "export without stretching the contrast, or expose for less"},
      {"duplicate-image", warning, "images that are there twice",
       "they count double, and on both sides of a split of your own they flatter the scores",
       "keep one of them"},
      {"case-only", warning, "names that differ in upper and lower case only",
       "on Windows and macOS they are one folder, and one of the two is lost when copied", "rename one"},
      {"near-duplicate", note, "images that look nearly like another",
       "fine for training, which holds out similar images together; on both sides of a split of your own "
       "they flatter "
       "the scores",
       "keep them on one side"},
      {"small-overlaps", note, "masks that overlap a little",
       "the first by file name keeps the shared pixels", "nothing, unless you want the borders exact"},
      {"specks", note, "masks with a few pixels apart from the rest",
       "they are taught as part of the nucleus; a slip of the pen, mostly", "erase them if you can"},
      {"holes", note, "masks with holes",
       "holes are taught as background, while what is found has its holes closed",
       "fill them, unless they are meant"},
      {"tiny-nuclei", note, "images with nuclei below 16 pixels",
       "predict drops so small ones as specks, so they count as missed",
       "check for slips of the pen; enlarge the images if nuclei are truly that small"},
      {"odd-brightness", note, "images much darker or lighter than others of their kind",
       "fine if you mean to work on such images; else a wrong exposure or export", "look at the image"},
      {"dark-mask", note, "masks that look black in a viewer", "read right: everything above 0 is nucleus",
       "nothing"},
      {"opaque-mask", note, "masks with an alpha channel",
       "read right here; programs that count it as a colour see a full mask",
       "nothing, or save them without"},
      {"dark-in-viewers", note, "16-bit images that use little of their range",
       "read right: contrast is stretched by percentiles; viewers may show them black", "nothing"},
      {"ignored-file", note, "other files", "they are passed over", "nothing"},
  };
  return all;
}

Diagnosis diagnose(const fs::path& root) {
  std::error_code ignored;
  if (!fs::is_directory(root, ignored))
    throw Failure("examining " + root.string() +
                  ": expected a folder, there is none of this name; check the path");
  Diagnosis diagnosis;
  std::vector<fs::path> folders;
  for (const fs::path& entry : list_folder(root)) {
    if (!fs::is_directory(entry, ignored) || entry.filename() == "__MACOSX") continue;
    if (fs::is_directory(entry / "images", ignored) || fs::is_directory(entry / "masks", ignored)) {
      folders.push_back(entry);
    } else {
      diagnosis.findings.push_back(
          {&fault("ignored-file"), entry.filename().string(), "a folder without images"});
    }
  }
  if (folders.empty()) {
    diagnosis.findings = {{&fault("layout"), ".", what_lies_there(root)}};
    return diagnosis;
  }

  std::vector<Facts> facts;
  Progress progress("examining", static_cast<std::int64_t>(folders.size()));
  constexpr std::size_t kAtOnce = 32;
  for (std::size_t first = 0; first < folders.size(); first += kAtOnce) {
    std::vector<Examination> some;
    for (std::size_t i = first; i < std::min(first + kAtOnce, folders.size()); ++i)
      some.emplace_back(root, folders[i]);
    karyon::parallel_for(static_cast<std::int64_t>(some.size()), 1,
                         [&](std::int64_t begin, std::int64_t end) {
                           for (std::int64_t i = begin; i < end; ++i) some[static_cast<std::size_t>(i)].run();
                         });
    for (Examination& one : some) {
      std::ranges::move(one.findings, std::back_inserter(diagnosis.findings));
      facts.push_back(std::move(one.facts));
      diagnosis.images += one.images;
      diagnosis.masks += one.masks;
    }
    progress.update(static_cast<std::int64_t>(first + some.size()));
  }
  progress.finish();
  SetExamination(facts, diagnosis.findings).run();
  std::ranges::stable_sort(diagnosis.findings, {}, [](const Finding& finding) { return finding.fault; });
  return diagnosis;
}

}  // namespace nuclei
