#include "dataset/groups.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>
#include <numeric>
#include <utility>

#include "common/error.h"

namespace nuclei {
namespace {

/// A point per picture, such that pictures of one experiment lie close together. Square roots make
/// photon noise uniform over the brightness range. The background counts most: camera offset and
/// stain are constant within an experiment, while the means follow the number of nuclei.
std::array<float, 7> features(const ImageStats& stats) {
  constexpr float background_weight = 3;
  const float channel_weight = std::sqrt(1.0f / 3);
  std::array<float, 7> result{};
  for (std::size_t c = 0; c < 3; ++c) {
    result[c] = channel_weight * std::sqrt(stats.mean[c]);
    result[3 + c] = channel_weight * std::sqrt(stats.spread[c]);
  }
  result[6] = background_weight * std::sqrt(stats.background);
  return result;
}

bool same_kind(const ImageStats& a, const ImageStats& b) {
  return a.width == b.width && a.height == b.height && a.grey == b.grey;
}

/// Images that may only be held out together.
struct Unit {
  Modality modality;
  std::vector<std::size_t> images;
};

void check_groups(const char* task, const std::vector<int>& groups, const std::vector<Modality>& modalities) {
  if (!groups.empty() && groups.size() == modalities.size()) return;
  throw Failure(std::string(task) + ": expected a group and a modality per image, got " +
                std::to_string(groups.size()) + " and " + std::to_string(modalities.size()));
}

/// Each group as a unit, by first appearance.
std::vector<Unit> units_of(const std::vector<int>& groups, const std::vector<Modality>& modalities) {
  std::vector<Unit> units;
  std::map<int, std::size_t> unit_of_group;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    const auto [unit, added] = unit_of_group.try_emplace(groups[i], units.size());
    if (added) units.push_back({modalities[i], {}});
    units[unit->second].images.push_back(i);
  }
  return units;
}

/// Marks about `fraction` of each modality's images. Whole units are taken in random order, each if it brings
/// the count closer to the target, but at most half of the units: a network learns how pictures differ from
/// many small units rather than from a few large ones. At least one unit of a modality stays unmarked and, if
/// there are two, at least one is marked.
std::vector<bool> hold_out(const std::vector<Unit>& units, std::size_t image_count, double fraction,
                           std::uint64_t seed, std::string& warning) {
  std::vector<bool> held_out(image_count, false);
  if (fraction <= 0) return held_out;
  for (const Modality kind : {Modality::fluorescence, Modality::brightfield, Modality::stained}) {
    std::vector<const Unit*> of_kind;
    double total = 0;
    for (const Unit& unit : units) {
      if (unit.modality != kind) continue;
      of_kind.push_back(&unit);
      total += static_cast<double>(unit.images.size());
    }
    if (of_kind.size() == 1) {
      if (!warning.empty()) warning += "; ";
      warning += std::string("all ") + name(kind) + " images look alike and are for training only";
    }
    if (of_kind.size() < 2) continue;

    std::vector<const Unit*> order, taken;
    for (const std::size_t i : split_order(of_kind.size(), seed)) order.push_back(of_kind[i]);
    double missing = fraction * total;
    for (const Unit* unit : order) {
      const auto size = static_cast<double>(unit->images.size());
      if (taken.size() == order.size() / 2) break;
      if (std::abs(missing - size) >= missing) continue;
      taken.push_back(unit);
      missing -= size;
    }
    if (taken.empty()) {
      taken.push_back(
          *std::ranges::min_element(order, {}, [](const Unit* unit) { return unit->images.size(); }));
    }
    for (const Unit* unit : taken) {
      for (const std::size_t image : unit->images) held_out[image] = true;
    }
  }
  return held_out;
}

constexpr int bin_count = 256;
using Histogram = std::array<std::size_t, bin_count>;

/// Up to 8 bits, brightness is what a screen shows. The scale of more bits says little: pixels of 500 to 700 lie
/// in its middle. There the background is light if it is closer to the light end of the pixels.
bool is_light(const Histogram& histogram, std::ptrdiff_t background, std::size_t pixels, int bit_depth) {
  constexpr double light = 0.35, extreme = 0.0005;
  const auto few = static_cast<std::size_t>(extreme * static_cast<double>(pixels));
  const auto end_of = [few](auto bin) {
    for (std::size_t seen = *bin; seen <= few; seen += *bin) ++bin;
    return bin;
  };
  if (bit_depth > 8 && pixels > 0) {
    const std::ptrdiff_t low = end_of(histogram.begin()) - histogram.begin(),
                         high = bin_count - 1 - (end_of(histogram.rbegin()) - histogram.rbegin());
    if (low < high) return background - low > high - background;
  }
  return static_cast<double>(background) / (bin_count - 1) >= light;
}

}  // namespace

ImageStats image_stats(const Image& image) {
  constexpr double grey_saturation = 0.01;  // mean (max - min): JPEG may tint grey a little

  if (image.empty()) throw Failure("measuring an image: expected at least one pixel, it is empty");
  std::array<double, 3> sum{}, squares{};
  Histogram histogram{};
  double saturation = 0;
  std::size_t seen = 0;  // pixels
  for (std::size_t i = 0; i < image.pixels(); ++i) {
    const float* pixel = image.pixel(i);
    std::array<double, 3> color{};
    for (std::size_t c = 0; c < 3; ++c) color[c] = pixel[std::min(c, image.depth() - 1)];
    const double brightness = (color[0] + color[1] + color[2]) / 3;
    if (!std::isfinite(brightness)) continue;  // a hole
    ++seen;
    for (std::size_t c = 0; c < 3; ++c) {
      sum[c] += color[c];
      squares[c] += color[c] * color[c];
    }
    saturation += std::ranges::max(color) - std::ranges::min(color);
    ++histogram[static_cast<std::size_t>(std::clamp(brightness, 0.0, 1.0) * (bin_count - 1) + 0.5)];
  }
  const auto n = static_cast<double>(std::max<std::size_t>(seen, 1));
  ImageStats stats{.width = image.width, .height = image.height};
  stats.grey = saturation / n < grey_saturation;
  for (std::size_t c = 0; c < 3; ++c) {
    const double mean = sum[c] / n;
    stats.mean[c] = static_cast<float>(mean);
    stats.spread[c] = static_cast<float>(std::sqrt(std::max(0.0, squares[c] / n - mean * mean)));
  }
  const auto mode = std::ranges::max_element(histogram) - histogram.begin();
  stats.background = static_cast<float>(mode) / (bin_count - 1);
  stats.light_background = is_light(histogram, mode, seen, image.bit_depth);
  return stats;
}

Modality modality(const ImageStats& stats) {
  if (!stats.light_background) return Modality::fluorescence;  // pseudo-coloured ones too
  return stats.grey ? Modality::brightfield : Modality::stained;
}

const char* name(Modality modality) {
  constexpr std::array names{"fluorescence", "brightfield", "stained"};
  return names[static_cast<std::size_t>(modality)];
}

std::vector<int> group_by_similarity(const std::vector<ImageStats>& stats) {
  // Between 0.035 and 0.045 the groups of the Data Science Bowl set hardly change (about 60 of
  // them); below that experiments fall apart, above it they chain together.
  constexpr float reach = 0.04f;

  std::vector<std::array<float, 7>> points(stats.size());
  std::ranges::transform(stats, points.begin(), features);
  const auto close = [&](std::size_t a, std::size_t b) {
    if (!same_kind(stats[a], stats[b])) return false;
    float squared = 0;
    for (std::size_t k = 0; k < points[a].size(); ++k) {
      squared += (points[a][k] - points[b][k]) * (points[a][k] - points[b][k]);
    }
    return squared <= reach * reach;
  };

  // Single linkage, grown group by group: whatever is close to a member becomes a member.
  constexpr int no_index = -1;
  std::vector<int> groups(stats.size(), no_index);
  int next = 0;
  for (std::size_t first = 0; first < stats.size(); ++first) {
    if (groups[first] != no_index) continue;
    groups[first] = next;
    for (std::vector<std::size_t> open{first}; !open.empty();) {
      const std::size_t member = open.back();
      open.pop_back();
      for (std::size_t other = first + 1; other < stats.size(); ++other) {
        if (groups[other] != no_index || !close(member, other)) continue;
        groups[other] = next;
        open.push_back(other);
      }
    }
    ++next;
  }
  return groups;
}

std::vector<std::size_t> split_order(std::size_t count, std::uint64_t seed) {
  std::vector<std::size_t> order(count);
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t left = count; left > 1; --left) {
    seed += 0x9e3779b97f4a7c15u;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    std::swap(order[left - 1], order[(z ^ (z >> 31)) % left]);
  }
  return order;
}

Split split_validation(const std::vector<int>& groups, const std::vector<Modality>& modalities,
                       double fraction, std::uint64_t seed) {
  check_groups("splitting off validation images", groups, modalities);
  if (!(fraction >= 0 && fraction < 1)) {
    throw Failure("splitting off validation images: expected a fraction of at least 0 and below 1, got " +
                  std::to_string(fraction));
  }
  const std::vector<Unit> by_group = units_of(groups, modalities);
  std::vector<Unit> by_image;
  for (std::size_t i = 0; i < groups.size(); ++i) by_image.push_back({modalities[i], {i}});

  Split split;
  std::vector<bool> held_out = hold_out(by_group, groups.size(), fraction, seed, split.warning);
  if (fraction > 0 && std::ranges::none_of(held_out, std::identity())) {
    split.warning =
        "all images of a kind look alike, so validation cannot hold out a whole group of "
        "similar images: its scores may be too good";
    std::string ignored;
    held_out = hold_out(by_image, groups.size(), fraction, seed, ignored);
    if (std::ranges::none_of(held_out, std::identity())) {
      split.warning = "too few images to hold some out: there is no validation";
    }
  }
  for (std::size_t i = 0; i < groups.size(); ++i) {
    (held_out[i] ? split.validation : split.train).push_back(i);
  }
  return split;
}

std::vector<int> split_folds(const std::vector<int>& groups, const std::vector<Modality>& modalities,
                             int folds, std::uint64_t seed) {
  check_groups("dealing out folds", groups, modalities);
  const std::vector<Unit> by_appearance = units_of(groups, modalities);
  if (folds < 2 || static_cast<std::size_t>(folds) > by_appearance.size()) {
    throw Failure("dealing out folds: expected 2 to " + std::to_string(by_appearance.size()) +
                  " folds for as many groups of similar images, got " + std::to_string(folds));
  }
  std::vector<Unit> units;
  for (const std::size_t i : split_order(by_appearance.size(), seed)) units.push_back(by_appearance[i]);
  std::ranges::stable_sort(units, std::greater(), [](const Unit& unit) { return unit.images.size(); });
  std::vector<int> fold_of(groups.size());
  std::map<Modality, std::vector<std::size_t>> filled;  // pictures per fold
  std::vector<std::size_t> total(static_cast<std::size_t>(folds));
  for (const Unit& unit : units) {
    std::vector<std::size_t>& mine = filled.try_emplace(unit.modality, total.size()).first->second;
    std::size_t least = 0;
    for (std::size_t f = 1; f < mine.size(); ++f)
      if (std::pair(mine[f], total[f]) < std::pair(mine[least], total[least])) least = f;
    mine[least] += unit.images.size();
    total[least] += unit.images.size();
    for (const std::size_t image : unit.images) fold_of[image] = static_cast<int>(least);
  }
  return fold_of;
}

}  // namespace nuclei
