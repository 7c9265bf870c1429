#include "training/augment.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace nuclei {

using karyon::Generator;
using karyon::Tensor;

SmoothNoise::SmoothNoise(std::int64_t crop, std::size_t knots, std::size_t functions, Generator& generator)
    : knots_(knots),
      functions_(functions),
      per_pixel_(static_cast<double>(knots - 1) / static_cast<double>(crop)) {
  const auto n = static_cast<std::int64_t>(knots);
  values_ = karyon::randn({n, n, static_cast<std::int64_t>(functions)}, generator).to_vector<float>();
}

double SmoothNoise::operator()(double x, double y, std::size_t function) const {
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

Placement random_placement(int width, int height, bool grey, double usual_scale, std::int64_t crop,
                           Generator& generator) {
  const double angle = generator.uniform() < 0.5
                           ? std::numbers::pi / 2 * static_cast<double>(generator.below(4))
                           : generator.uniform(0, 2 * std::numbers::pi);
  const double scale =
      usual_scale * std::exp(generator.uniform(std::log(grey ? 0.55 : 0.35),
                                               std::log(1.7)));  // source pixels per crop pixel
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

namespace {

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

// Changes the amount of each stain (Tellez et al. 2018) and, a little, the colour of each dye. Values are
// inverted light.
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

// Adds patches of what eosin stains: fibres, blood cells and cytoplasm. They are long or round, have sharp or
// soft edges, lie over and under the nuclei, and darken green and blue. Values are inverted light.
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

// Makes one side brighter than the other, as a lamp that is not centred does.
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

}  // namespace

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
  // Changes are small, because only brightness tells where a nucleus ends in its halo.
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

}  // namespace nuclei
