#include "training/crop_dataset.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dataset/groups.h"
#include "inference/normalize.h"
#include "inference/windows.h"
#include "inference/zoom.h"
#include "instances/watershed.h"
#include "training/augment.h"
#include "training/targets.h"

namespace nuclei {
namespace {

using karyon::Generator;
using karyon::Tensor;

// What a pixel is, as bits.
constexpr std::uint8_t nucleus_bit = 1, border_bit = 2;
constexpr double small_nucleus = 150;  // pixels of a crop

// Weights are kept in steps of 1/16 up to 16.
constexpr float weight_step = 16;
std::uint8_t quantized(float value, float scale) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value * scale, 0.0f, 255.0f)));
}

// A position outside 0 ... size - 1 is reflected back into it.
int mirrored(int position, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  position = std::abs(position) % period;
  return position < size ? position : period - position;
}

std::vector<std::int64_t> nucleus_areas(const LabelMap& truth) {
  const PerLabel<std::int64_t> area = label_areas(truth);
  return {area.begin() + 1, area.end()};
}

// How many of a picture's pixels are to become one pixel of a crop. The few nuclei of a sparse picture may be
// unusual ones, so their set's median counts as much as `usual` nuclei.
std::vector<double> scales(const std::vector<Example>& examples, double diameter) {
  constexpr double usual = 5;
  std::vector<std::vector<std::int64_t>> of_set;
  for (const Example& e : examples) {
    of_set.resize(std::max(of_set.size(), e.set + 1));
    const std::vector<std::int64_t> areas = nucleus_areas(e.truth);
    of_set[e.set].insert(of_set[e.set].end(), areas.begin(), areas.end());
  }
  std::vector<double> set_diameter, scale;
  for (std::vector<std::int64_t>& areas : of_set) set_diameter.push_back(median_diameter(std::move(areas)));
  for (const Example& e : examples) {
    const std::vector<std::int64_t> areas = nucleus_areas(e.truth);
    const auto n = static_cast<double>(areas.size());
    const double of_all = set_diameter[e.set], own = median_diameter(areas);
    scale.push_back(of_all == 0 || own == 0
                        ? 1
                        : std::pow(own, n / (n + usual)) * std::pow(of_all, usual / (n + usual)) / diameter);
  }
  return scale;
}

// A picture of which every `shrink` x `shrink` pixels become one.
Raster<float> shrunk_picture(const Raster<float>& picture, int shrink) {
  return std::move(shrunk({{0, 0, picture.width, picture.height}}, shrink, pixels_of(picture)).front());
}
LabelMap shrunk_labels(const LabelMap& map, int width, int height, int shrink) {
  LabelMap small(width, height);
  for (int y = 0; y < height; ++y)
    for (int x = 0; x < width; ++x)
      small.at(x, y) = map.at(std::min(x * shrink + shrink / 2, map.width - 1),
                              std::min(y * shrink + shrink / 2, map.height - 1));
  return small;
}

// How many crops of each picture one pass has. A large picture has room for more crops. A picture of a small
// group has few near-duplicates, and a modality with few crops gets more. All three are balanced only in part
// (exponents below 1), because the network memorizes a picture that it sees too often.
std::vector<double> crops_per_pass(const std::vector<Example>& examples,
                                   const std::vector<Modality>& modalities, const std::vector<int>& groups,
                                   const AugmentOptions& options) {
  std::vector<double> members(examples.size()), crops(examples.size());
  for (int group : groups) ++members[static_cast<std::size_t>(group)];
  std::array<double, 3> total{};
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const double area = static_cast<double>(examples[i].image.width) * examples[i].image.height;
    crops[i] = std::clamp(std::sqrt(area / static_cast<double>(options.crop * options.crop)), 1.0, 4.0) /
               std::cbrt(members[static_cast<std::size_t>(groups[i])]);
    total[static_cast<std::size_t>(modalities[i])] += crops[i];
  }
  const double most = *std::max_element(total.begin(), total.end());
  for (std::size_t i = 0; i < examples.size(); ++i)
    crops[i] *=
        std::clamp(std::pow(most / total[static_cast<std::size_t>(modalities[i])], 2.0 / 3), 1.0, 3.0);
  for (std::size_t i = 0; i < examples.size(); ++i)
    if (examples[i].set < options.weights.size()) crops[i] *= options.weights[examples[i].set];
  const double least = *std::min_element(crops.begin(), crops.end());
  for (double& c : crops) c /= least;
  return crops;
}

}  // namespace

CropDataset::Source CropDataset::make_source(const Example& e, bool grey, double scale) {
  const int shrink = std::max(1, static_cast<int>(std::lround(scale)));
  Raster<float> picture = normalize(e.image);
  LabelMap truth = e.truth;
  if (shrink > 1) {
    picture = shrunk_picture(picture, shrink);
    truth = shrunk_labels(truth, picture.width, picture.height, shrink);
    scale /= shrink;
  }
  const int width = picture.width, height = picture.height;
  Source s{.set = e.set,
           .grey = grey,
           .scale = scale,
           .rgb = {width, height, 3},
           .kind = {width, height},
           .depth = {width, height},
           .weight = {width, height}};
  // 0 ... 255 stands for -0.25 ... 1.5, the range of normalize().
  std::ranges::transform(picture, s.rgb.begin(), [](float v) { return quantized(v + 0.25f, 255 / 1.75f); });
  const PerLabel<std::int64_t> area = label_areas(truth);
  const Mask border = contact_borders(truth);
  const Raster<float> depth = depth_inside(truth);
  Raster<float> weight = border_weights(truth, {.w0 = 4});
  const auto small = static_cast<float>(small_nucleus * scale * scale);
  for (std::size_t i = 0; i < border.size(); ++i) {
    const std::int32_t label = truth[i];
    s.kind[i] = static_cast<std::uint8_t>((label > 0 ? nucleus_bit : 0) | (border[i] ? border_bit : 0));
    s.depth[i] = quantized(depth[i], 255);
    // A small nucleus is found as often as a large one only if its few pixels count more.
    if (label > 0) weight[i] = std::clamp(std::sqrt(small / static_cast<float>(area[label])), 1.0f, 3.0f);
    s.weight[i] = quantized(weight[i], weight_step);
  }
  return s;
}

CropDataset::CropDataset(const std::vector<Example>& examples, const AugmentOptions& options)
    : options_(options) {
  std::vector<ImageStats> stats;
  std::vector<Modality> modalities;
  for (const Example& e : examples) {
    stats.push_back(image_stats(e.image));
    modalities.push_back(modality(stats.back()));
  }
  const std::vector<double> scale =
      options.diameter > 0 ? scales(examples, options.diameter) : std::vector<double>(examples.size(), 1);
  sources_.resize(examples.size());
  karyon::parallel_for(
      static_cast<std::int64_t>(examples.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
          sources_[i] = make_source(examples[i], modalities[i] != Modality::stained, scale[i]);
      });
  const std::vector<double> crops = crops_per_pass(examples, modalities, group_by_similarity(stats), options);
  for (std::size_t i = 0; i < crops.size(); ++i)
    for (std::int64_t k = 0; k < std::lround(crops[i]); ++k) order_.push_back(i);
  diameter_ = options.diameter;
  if (diameter_ > 0) return;
  std::vector<std::int64_t> areas;
  for (const Example& e : examples) {
    const std::vector<std::int64_t> of_image = nucleus_areas(e.truth);
    areas.insert(areas.end(), of_image.begin(), of_image.end());
  }
  diameter_ = median_diameter(std::move(areas));
}

std::int64_t CropDataset::crops_of(std::size_t set) const {
  return std::ranges::count_if(order_, [&](std::size_t i) { return sources_[i].set == set; });
}

std::vector<Tensor> CropDataset::get(std::int64_t index, Generator& generator) const {
  const Source& s = sources_[order_[static_cast<std::size_t>(index)]];
  const std::int64_t crop = options_.crop;
  Tensor input = karyon::empty({crop, crop, 3}), target = karyon::empty({crop, crop, map_count}),
         weight = karyon::empty({crop, crop, map_count});
  const Placement p = random_placement(s.kind.width, s.kind.height, s.grey, s.scale, crop, generator);
  // Bends the crop as soft tissue bends (Simard et al. 2003); the strength is in crop pixels.
  const double strength = generator.uniform() < 0.3 ? generator.uniform(1, 5) : 0;
  const SmoothNoise bend(crop, 6, 2, generator);
  float *rgb = input.data<float>(), *t = target.data<float>(), *w = weight.data<float>();
  for (std::int64_t y = 0; y < crop; ++y) {
    for (std::int64_t x = 0; x < crop; ++x) {
      auto bx = static_cast<double>(x), by = static_cast<double>(y);
      if (strength > 0) {
        bx += strength * bend(static_cast<double>(x), static_cast<double>(y), 0);
        by += strength * bend(static_cast<double>(x), static_cast<double>(y), 1);
      }
      const double sx = p.x0 + p.xx * bx + p.xy * by;
      const double sy = p.y0 + p.yx * bx + p.yy * by;
      const auto fx = std::floor(sx), fy = std::floor(sy);
      const auto dx = static_cast<float>(sx - fx), dy = static_cast<float>(sy - fy);
      const int xs[] = {mirrored(static_cast<int>(fx), s.kind.width),
                        mirrored(static_cast<int>(fx) + 1, s.kind.width)};
      const int ys[] = {mirrored(static_cast<int>(fy), s.kind.height),
                        mirrored(static_cast<int>(fy) + 1, s.kind.height)};
      auto at = [&](int row, int col) { return s.kind.index(xs[col], ys[row]); };
      const std::size_t corners[] = {at(0, 0), at(0, 1), at(1, 0), at(1, 1)};
      const std::int64_t i = y * crop + x;
      for (std::size_t c = 0; c < 3; ++c) {
        const float top = (1 - dx) * s.rgb[3 * corners[0] + c] + dx * s.rgb[3 * corners[1] + c];
        const float bottom = (1 - dx) * s.rgb[3 * corners[2] + c] + dx * s.rgb[3 * corners[3] + c];
        rgb[3 * i + static_cast<std::int64_t>(c)] = ((1 - dy) * top + dy * bottom) * (1.75f / 255) - 0.25f;
      }
      const std::size_t nearest = at(dy >= 0.5f, dx >= 0.5f);
      const std::uint8_t kind = s.kind[nearest];
      const float at_gap = static_cast<float>(s.weight[nearest]) / weight_step;
      t[map_count * i] = (kind & nucleus_bit) != 0;
      t[map_count * i + 1] = (kind & border_bit) != 0;
      t[map_count * i + 2] = static_cast<float>(s.depth[nearest]) / 255;
      w[map_count * i] = w[map_count * i + 1] = w[map_count * i + 2] = at_gap;
    }
  }
  relight(rgb, crop, s.grey, generator);
  return {input, target, weight};
}

}  // namespace nuclei
