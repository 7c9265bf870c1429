#include "training/input.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace nuclei {
namespace {

using karyon::Generator;
using karyon::Tensor;

float luminance(const Image& image, std::size_t pixel) {
  const float* p = image.pixel(pixel);
  float sum = 0;
  for (int c = 0; c < image.channels; ++c) sum += p[c];
  return sum / static_cast<float>(image.channels);
}

// What a pixel is, as bits.
constexpr std::uint8_t nucleus_bit = 1, border_bit = 2;
constexpr float small_nucleus = 150;  // pixels

// Weights are kept in steps of 1/16 up to 16.
constexpr float weight_step = 16;
std::uint8_t quantized(float value, float scale) {
  return static_cast<std::uint8_t>(std::lround(std::clamp(value * scale, 0.0f, 255.0f)));
}

// The shares of pixels that are darker than what the levels of a picture are made of. Where nuclei cover less
// than half a percent, what lies half a percent from the end is background and its noise; the most extreme
// few pixels say so.
constexpr std::array level_shares{0.0005, 0.005, 0.5, 0.995, 0.9995};
Levels levels_of(const std::vector<float>& q) {
  const float least = (q[4] - q[0]) / 4;
  return {std::min(q[1], q[4] - least), q[2], std::max(q[3], q[0] + least)};
}

// Position folded back into 0 ... size - 1 as in a mirror.
int mirrored(int position, int size) {
  if (size == 1) return 0;
  const int period = 2 * (size - 1);
  position = std::abs(position) % period;
  return position < size ? position : period - position;
}

// Where crop pixel (x, y) lies in the source.
struct Placement {
  double x0, y0, xx, xy, yx, yy;
};

// Independent smooth random functions of the place in a crop: normal numbers at the knots of a coarse grid,
// interpolated. Mean 0, standard deviation 1 at the knots.
class SmoothNoise {
 public:
  SmoothNoise(std::int64_t crop, std::size_t knots, std::size_t functions, Generator& generator)
      : knots_(knots),
        functions_(functions),
        per_pixel_(static_cast<double>(knots - 1) / static_cast<double>(crop)) {
    const auto n = static_cast<std::int64_t>(knots);
    values_ = karyon::randn({n, n, static_cast<std::int64_t>(functions)}, generator).to_vector<float>();
  }
  // The function at (x, y); places outside the crop are folded back into it.
  double operator()(double x, double y, std::size_t function = 0) const {
    const auto limit = static_cast<double>(knots_ - 1);
    auto fold = [&](double g) {
      g = std::fmod(std::abs(g), 2 * limit);
      return g < limit ? g : 2 * limit - g;
    };
    const double gx = fold(x * per_pixel_), gy = fold(y * per_pixel_);
    const std::size_t ix = std::min(static_cast<std::size_t>(gx), knots_ - 2),
                      iy = std::min(static_cast<std::size_t>(gy), knots_ - 2);
    auto smooth = [](double t) { return t * t * (3 - 2 * t); };
    const double tx = smooth(gx - static_cast<double>(ix)), ty = smooth(gy - static_cast<double>(iy));
    const float* top = values_.data() + (iy * knots_ + ix) * functions_ + function;
    const float* bottom = top + knots_ * functions_;
    return (1 - ty) * ((1 - tx) * top[0] + tx * top[functions_]) +
           ty * ((1 - tx) * bottom[0] + tx * bottom[functions_]);
  }

 private:
  std::size_t knots_, functions_;
  double per_pixel_;
  std::vector<float> values_;
};

// Stained tissue is photographed at very different magnifications.
Placement random_placement(int width, int height, bool grey, std::int64_t crop, Generator& generator) {
  const double angle = generator.uniform() < 0.5
                           ? std::numbers::pi / 2 * static_cast<double>(generator.below(4))
                           : generator.uniform(0, 2 * std::numbers::pi);
  const double scale = std::exp(
      generator.uniform(std::log(grey ? 0.55 : 0.35), std::log(1.7)));  // source pixels per crop pixel
  const double mirror = generator.uniform() < 0.5 ? -1 : 1;
  const double c = std::cos(angle) * scale, s = std::sin(angle) * scale;
  // The crop's centre, so that the crop stays inside where the picture is large enough.
  const double reach = 0.5 * static_cast<double>(crop) * (std::abs(c) + std::abs(s));
  auto centre = [&](int size) {
    const double free = size - 2 * reach;
    return free > 0 ? reach + free * generator.uniform()
                    : size / 2.0 + free * (generator.uniform() - 0.5) * 0.5;
  };
  const double cx = centre(width), cy = centre(height), half = 0.5 * static_cast<double>(crop - 1);
  Placement p{.x0 = 0, .y0 = 0, .xx = c * mirror, .xy = -s, .yx = s * mirror, .yy = c};
  p.x0 = cx - 0.5 - half * (p.xx + p.xy);
  p.y0 = cy - 0.5 - half * (p.yx + p.yy);
  return p;
}

void blur(float* rgb, std::int64_t crop, float strength) {
  const auto n = static_cast<std::size_t>(crop * crop * 3);
  std::vector<float> before(rgb, rgb + n);
  const float side = strength / 4, middle = 1 - 2 * side;
  auto pass = [&](std::int64_t step, auto position) {
    for (std::int64_t y = 0; y < crop; ++y)
      for (std::int64_t x = 0; x < crop; ++x) {
        const std::int64_t at = position(y, x);
        const std::int64_t i = (y * crop + x) * 3;
        for (std::int64_t c = 0; c < 3; ++c) {
          const float low = before[static_cast<std::size_t>(at > 0 ? i - step + c : i + c)];
          const float high = before[static_cast<std::size_t>(at < crop - 1 ? i + step + c : i + c)];
          rgb[i + c] = middle * before[static_cast<std::size_t>(i + c)] + side * (low + high);
        }
      }
    std::copy(rgb, rgb + n, before.begin());
  };
  pass(3, [](std::int64_t, std::int64_t x) { return x; });
  pass(3 * crop, [](std::int64_t y, std::int64_t) { return y; });
}

// The colours of haematoxylin, eosin and diaminobenzidine as optical densities of red, green and blue
// (Ruifrok & Johnston 2001), and its inverse. Rows are stains.
constexpr float stains[3][3] = {{0.65f, 0.70f, 0.29f}, {0.07f, 0.99f, 0.11f}, {0.27f, 0.57f, 0.78f}};
constexpr float unstain[3][3] = {{1.87798274f, -1.00767869f, -0.55611582f},
                                 {-0.06590806f, 1.13473037f, -0.1355218f},
                                 {-0.60190736f, -0.48041419f, 1.57358807f}};

using Density = std::array<float, 3>;  // optical densities of red, green and blue

// More or less of each stain, which multiplies light (Tellez et al. 2018), and each dye of a somewhat other
// colour. Values are inverted light.
void restain(float* rgb, std::int64_t pixels, Generator& generator) {
  auto random = [&](double low, double high) { return static_cast<float>(generator.uniform(low, high)); };
  std::array<float, 3> gain{random(0.75, 1.3), random(0.6, 1.8), random(0.75, 1.3)}, shift;
  std::array<Density, 3> dye;
  for (float& s : shift) s = random(-0.05, 0.05);
  for (std::size_t k = 0; k < 3; ++k)
    for (std::size_t c = 0; c < 3; ++c) dye[k][c] = std::max(0.0f, stains[k][c] + random(-0.08, 0.08));
  for (std::int64_t p = 0; p < pixels; ++p) {
    float* v = rgb + 3 * p;
    std::array<float, 3> stain{};
    Density density;
    for (std::size_t c = 0; c < 3; ++c) density[c] = -std::log(std::clamp(1 - v[c], 0.02f, 1.5f));
    for (std::size_t k = 0; k < 3; ++k)
      for (std::size_t c = 0; c < 3; ++c) stain[k] += density[c] * unstain[c][k];
    for (std::size_t k = 0; k < 3; ++k) stain[k] = stain[k] * gain[k] + shift[k];
    for (std::size_t c = 0; c < 3; ++c)
      v[c] = 1 - std::exp(-(stain[0] * dye[0][c] + stain[1] * dye[1][c] + stain[2] * dye[2][c]));
  }
}

// Fibres, blood cells and cytoplasm: whatever eosin stains lies in long or round patches with sharp or soft
// edges over and under the nuclei, and darkens green and blue. Values are inverted light.
void counterstain(float* rgb, std::int64_t crop, Generator& generator) {
  const double angle = generator.uniform(0, std::numbers::pi), length = std::exp(generator.uniform(0, 1.6));
  const double c = std::cos(angle), s = std::sin(angle);
  const SmoothNoise patches(crop, 4 + static_cast<std::size_t>(generator.below(9)), 1, generator);
  const SmoothNoise grain(crop, 12 + static_cast<std::size_t>(generator.below(30)), 1, generator);
  const double threshold = generator.uniform(-0.2, 0.8), edge = std::exp(generator.uniform(0, 3));
  const double texture = generator.uniform(0, 0.4), amount = std::exp(generator.uniform(-1.6, 0.9));
  const Density eosin{static_cast<float>(generator.uniform(0.02, 0.15)), 1,
                      static_cast<float>(generator.uniform(0.1, 0.7))};
  for (std::int64_t y = 0; y < crop; ++y)
    for (std::int64_t x = 0; x < crop; ++x) {
      const auto px = static_cast<double>(x), py = static_cast<double>(y);
      const double patch =
          std::clamp((patches((c * px + s * py) / length, c * py - s * px) - threshold) * edge, 0.0, 1.0);
      if (patch == 0) continue;
      const double density = amount * patch * std::max(0.0, 1 + texture * grain(px, py));
      float* v = rgb + 3 * (y * crop + x);
      for (std::size_t k = 0; k < 3; ++k)
        v[k] = 1 - (1 - v[k]) * static_cast<float>(std::exp(-density * eosin[k]));
    }
}

// Brighter on one side than on the other, as under a lamp that is not centred.
void shade(float* rgb, std::int64_t crop, Generator& generator) {
  const double angle = generator.uniform(0, 2 * std::numbers::pi), strength = generator.uniform(0, 0.6);
  const double half = 0.5 * static_cast<double>(crop);
  const double by_x = std::cos(angle) * strength / half, by_y = std::sin(angle) * strength / half;
  for (std::int64_t y = 0; y < crop; ++y)
    for (std::int64_t x = 0; x < crop; ++x) {
      const auto factor = static_cast<float>(1 + by_x * (static_cast<double>(x) - half) +
                                             by_y * (static_cast<double>(y) - half));
      for (std::int64_t c = 0; c < 3; ++c) rgb[(y * crop + x) * 3 + c] *= factor;
    }
}

// What microscopes, stains and cameras do to the same cells.
void relight(float* rgb, std::int64_t crop, bool grey, Generator& generator) {
  const std::int64_t pixels = crop * crop;
  if (!grey) {
    if (generator.uniform() < 0.8) restain(rgb, pixels, generator);
    if (generator.uniform() < 0.5) counterstain(rgb, crop, generator);
    if (generator.uniform() < 0.1)
      for (std::int64_t p = 0; p < pixels; ++p) {
        float* v = rgb + 3 * p;
        v[0] = v[1] = v[2] = (v[0] + v[1] + v[2]) / 3;
      }
  }
  if (generator.uniform() < 0.3) shade(rgb, crop, generator);
  if (generator.uniform() < 0.3) blur(rgb, crop, static_cast<float>(generator.uniform(0.3, 1)));
  // Little, since how far a nucleus reaches into its halo is known by its brightness alone.
  const auto gamma = static_cast<float>(std::exp(generator.uniform(-0.2, 0.2)));
  const auto gain = static_cast<float>(generator.uniform(0.85, 1.15));
  const auto shift = static_cast<float>(generator.uniform(-0.03, 0.03));
  const bool invert = generator.uniform() < 0.02;
  for (std::int64_t i = 0; i < 3 * pixels; ++i) {
    float v = std::pow(std::clamp(rgb[i], 0.0f, 1.5f), gamma) * gain + shift;
    rgb[i] = invert ? 1 - v : v;
  }
  if (generator.uniform() < 0.4) {
    Tensor noise = karyon::randn({crop, crop, grey ? 1 : 3}, generator);
    const auto sigma = static_cast<float>(generator.uniform(0, 0.04));
    const float* n = noise.data<float>();
    for (std::int64_t i = 0; i < 3 * pixels; ++i) rgb[i] += sigma * n[grey ? i / 3 : i];
  }
}

// How often each picture is cut. A large picture has room for more crops; one of few of its group has no
// near-duplicates to speak for it; and a modality with few crops gets more. Only part of the way each time
// (exponents below 1): a picture seen too often is learned by heart.
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

Levels find_levels(ImageSource& source) {
  return levels_of(brightness_quantiles(source, {level_shares.begin(), level_shares.end()}));
}

void normalize(const float* pixels, std::size_t count, int channels, const Levels& levels, float* out) {
  // A nearly flat picture is not stretched into noise.
  const float low = levels.low, range = std::max(levels.high - low, 0.02f);
  const bool light_background = levels.light_background();
  for (std::size_t i = 0; i < count; ++i) {
    const float* p = pixels + i * static_cast<std::size_t>(channels);
    for (std::size_t c = 0; c < 3; ++c) {
      const float v = (p[channels == 3 ? c : 0] - low) / range;
      out[3 * i + c] = std::clamp(light_background ? 1 - v : v, -0.25f, 1.5f);
    }
  }
}

Levels find_levels(const Image& image) {
  const std::size_t pixels = image.pixels();
  std::vector<float> brightness(pixels);
  for (std::size_t i = 0; i < pixels; ++i) brightness[i] = luminance(image, i);
  std::vector<float> quantiles;
  for (const double share : level_shares) {
    const auto at = brightness.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(pixels - 1));
    std::nth_element(brightness.begin(), at, brightness.end());
    quantiles.push_back(*at);
  }
  return levels_of(quantiles);
}

Raster<float> normalize(const Image& image) { return normalize(image, find_levels(image)); }

Raster<float> normalize(const Image& image, const Levels& levels) {
  Raster<float> out(image.width, image.height, 3);
  normalize(image.values.data(), image.pixels(), image.channels, levels, out.values.data());
  return out;
}

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
