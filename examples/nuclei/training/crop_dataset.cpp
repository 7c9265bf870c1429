#include "training/crop_dataset.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "dataset/groups.h"
#include "inference/normalize.h"
#include "instances/watershed.h"
#include "training/augment.h"
#include "training/targets.h"

namespace nuclei {
namespace {

using karyon::Generator;
using karyon::Tensor;

// What a pixel is, as bits.
constexpr std::uint8_t nucleus_bit = 1, border_bit = 2;
constexpr float small_nucleus = 150;  // pixels

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

// How many crops of each picture one pass has. A large picture has room for more crops. A picture of a small
// group has few near-duplicates, and a modality with few crops gets more. All three are balanced only in part
// (exponents below 1), because the network memorizes a picture that it sees too often.
std::vector<double> crops_per_pass(const std::vector<Example>& examples,
                                   const std::vector<Modality>& modalities, const std::vector<int>& groups,
                                   std::int64_t crop) {
  std::vector<double> members(examples.size()), crops(examples.size());
  for (int group : groups) ++members[static_cast<std::size_t>(group)];
  std::array<double, 3> total{};
  for (std::size_t i = 0; i < examples.size(); ++i) {
    const double area = static_cast<double>(examples[i].image.width) * examples[i].image.height;
    crops[i] = std::clamp(std::sqrt(area / static_cast<double>(crop * crop)), 1.0, 4.0) /
               std::cbrt(members[static_cast<std::size_t>(groups[i])]);
    total[static_cast<std::size_t>(modalities[i])] += crops[i];
  }
  const double most = *std::max_element(total.begin(), total.end());
  for (std::size_t i = 0; i < examples.size(); ++i)
    crops[i] *=
        std::clamp(std::pow(most / total[static_cast<std::size_t>(modalities[i])], 2.0 / 3), 1.0, 3.0);
  const double least = *std::min_element(crops.begin(), crops.end());
  for (double& c : crops) c /= least;
  return crops;
}

}  // namespace

CropDataset::Source CropDataset::make_source(const Example& e, bool grey) {
  const int width = e.image.width, height = e.image.height;
  Source s{.grey = grey,
           .rgb = {width, height, 3},
           .kind = {width, height},
           .depth = {width, height},
           .weight = {width, height}};
  // 0 ... 255 stands for -0.25 ... 1.5, the range of normalize().
  std::ranges::transform(normalize(e.image), s.rgb.begin(),
                         [](float v) { return quantized(v + 0.25f, 255 / 1.75f); });
  const PerLabel<std::int64_t> area = label_areas(e.truth);
  const Mask border = contact_borders(e.truth);
  const Raster<float> depth = depth_inside(e.truth);
  Raster<float> weight = border_weights(e.truth, {.w0 = 4});
  for (std::size_t i = 0; i < border.size(); ++i) {
    const std::int32_t label = e.truth[i];
    s.kind[i] = static_cast<std::uint8_t>((label > 0 ? nucleus_bit : 0) | (border[i] ? border_bit : 0));
    s.depth[i] = quantized(depth[i], 255);
    // A small nucleus is found as often as a large one only if its few pixels count more.
    if (label > 0)
      weight[i] = std::clamp(std::sqrt(small_nucleus / static_cast<float>(area[label])), 1.0f, 3.0f);
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
  sources_.resize(examples.size());
  karyon::parallel_for(
      static_cast<std::int64_t>(examples.size()), 1, [&](std::int64_t begin, std::int64_t end) {
        for (auto i = static_cast<std::size_t>(begin); i < static_cast<std::size_t>(end); ++i)
          sources_[i] = make_source(examples[i], modalities[i] != Modality::stained);
      });
  const std::vector<double> crops =
      crops_per_pass(examples, modalities, group_by_similarity(stats), options.crop);
  for (std::size_t i = 0; i < crops.size(); ++i)
    for (std::int64_t k = 0; k < std::lround(crops[i]); ++k) order_.push_back(i);
}

std::vector<Tensor> CropDataset::get(std::int64_t index, Generator& generator) const {
  const Source& s = sources_[order_[static_cast<std::size_t>(index)]];
  const std::int64_t crop = options_.crop;
  Tensor input = karyon::empty({crop, crop, 3}), target = karyon::empty({crop, crop, map_count}),
         weight = karyon::empty({crop, crop, map_count});
  const Placement p = random_placement(s.kind.width, s.kind.height, s.grey, crop, generator);
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
