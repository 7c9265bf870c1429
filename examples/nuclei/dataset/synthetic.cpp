#include "dataset/synthetic.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include <karyon/core/random.h>

#include "common/error.h"
#include "common/text.h"
#include "imageio/limits.h"

// Drawing uses only +, -, *, / and sqrt, which give the same bits on every machine. sin and exp do not.

namespace nuclei {
namespace {

using karyon::Generator;
using Plane = Raster<float>;

/// Mean 0, variance 1: the sum of four uniform numbers. Generator::normal() calls log and cos.
double nearly_normal(Generator& random) {
  constexpr double scale = 1.7320508075688772;  // sqrt(12 / 4)
  double sum = 0;
  for (int i = 0; i < 4; ++i) sum += random.uniform();
  return (sum - 2) * scale;
}

/// A uniformly random direction, as (cos, sin).
std::array<double, 2> direction(Generator& random) {
  for (;;) {
    const double x = random.uniform(-1, 1), y = random.uniform(-1, 1), squared = x * x + y * y;
    if (squared > 1 || squared < 1e-6) continue;
    const double length = std::sqrt(squared);
    return {x / length, y / length};
  }
}

/// The mean over 2 radius + 1 samples along one line, which is continued by its end values.
void box_blur_line(float* line, int count, std::ptrdiff_t stride, int radius, std::vector<float>& scratch) {
  scratch.resize(static_cast<std::size_t>(count));
  for (int i = 0; i < count; ++i) scratch[static_cast<std::size_t>(i)] = line[i * stride];
  const auto sample = [&](int i) {
    return double{scratch[static_cast<std::size_t>(std::clamp(i, 0, count - 1))]};
  };
  double sum = 0;
  for (int i = -radius; i <= radius; ++i) sum += sample(i);
  for (int i = 0; i < count; ++i) {
    line[i * stride] = static_cast<float>(sum / (2 * radius + 1));
    sum += sample(i + radius + 1) - sample(i - radius);
  }
}

/// Repeated box blurs approach a Gaussian and cost the same for every radius.
void blur(Plane& plane, int radius, int times) {
  std::vector<float> scratch;
  for (int pass = 0; pass < times; ++pass) {
    for (int y = 0; y < plane.height; ++y) {
      box_blur_line(&plane.at(0, y), plane.width, 1, radius, scratch);
    }
    for (int x = 0; x < plane.width; ++x) {
      box_blur_line(&plane.at(x, 0), plane.height, plane.width, radius, scratch);
    }
  }
}

/// Random values in [-1, 1] on a grid of the given pitch in pixels, interpolated smoothly.
Plane smooth_noise(Generator& random, int width, int height, int pitch) {
  Plane grid(width / pitch + 2, height / pitch + 2);
  for (float& value : grid) value = static_cast<float>(random.uniform(-1, 1));
  const auto ease = [pitch](int i) {
    const float t = static_cast<float>(i % pitch) / static_cast<float>(pitch);
    return t * t * (3 - 2 * t);
  };
  Plane plane(width, height);
  for (int y = 0; y < height; ++y) {
    const float ty = ease(y);
    for (int x = 0; x < width; ++x) {
      const float tx = ease(x);
      const int gx = x / pitch, gy = y / pitch;
      const float upper = grid.at(gx, gy) * (1 - tx) + grid.at(gx + 1, gy) * tx;
      const float lower = grid.at(gx, gy + 1) * (1 - tx) + grid.at(gx + 1, gy + 1) * tx;
      plane.at(x, y) = upper * (1 - ty) + lower * ty;
    }
  }
  return plane;
}

/// An ellipse whose radius is modulated by a few harmonics of the polar angle.
class Shape {
 public:
  Shape(Generator& random, double x, double y, double radius)
      : x_(x),
        y_(y),
        long_(radius * random.uniform(0.9, 1.3)),
        short_(long_ * random.uniform(0.65, 0.95)),
        axis_(direction(random)) {
    for (std::size_t k = 0; k < lumps_.size(); ++k) {
      const double amplitude = random.uniform(0, 0.12) / static_cast<double>(k + 1);
      lumps_[k] = direction(random);
      for (double& part : lumps_[k]) part *= amplitude;
    }
  }

  double x() const { return x_; }
  double y() const { return y_; }
  double reach() const { return 1.3 * long_; }

  /// 0 in the centre, 1 on the outline, above 1 outside.
  double depth(double x, double y) const {
    const double dx = x - x_, dy = y - y_;
    const double u = (dx * axis_[0] + dy * axis_[1]) / long_;
    const double v = (dy * axis_[0] - dx * axis_[1]) / short_;
    const double r = std::sqrt(u * u + v * v);
    if (r < 1e-9) return 0;
    // (cos, sin) of 2, 3, 4 times the angle come from multiplying by (u, v) / r as complex numbers.
    const double cosine = u / r, sine = v / r;
    double c = cosine, s = sine, outline = 1;
    for (const auto& [real, imaginary] : lumps_) {
      const double next = c * cosine - s * sine;
      s = c * sine + s * cosine;
      c = next;
      outline += real * c + imaginary * s;
    }
    return r / outline;
  }

 private:
  double x_, y_, long_, short_;
  std::array<double, 2> axis_;
  std::array<std::array<double, 2>, 3> lumps_;
};

struct Scene {
  LabelMap truth;
  Plane depth;                    // of the nucleus at a pixel, see Shape::depth; 1 in the background
  PerLabel<float> brightness{0};  // of each nucleus, about 1
};

/// Visits the pixels inside a shape with their depth.
template <class Visit>
void for_each_pixel(const Shape& shape, int width, int height, const Visit& visit) {
  const auto first = [](double v) { return std::max(0, static_cast<int>(v)); };
  const int x_end = std::min(width, static_cast<int>(shape.x() + shape.reach()) + 1);
  const int y_end = std::min(height, static_cast<int>(shape.y() + shape.reach()) + 1);
  for (int y = first(shape.y() - shape.reach()); y < y_end; ++y) {
    for (int x = first(shape.x() - shape.reach()); x < x_end; ++x) {
      const double depth = shape.depth(x, y);
      if (depth < 1) visit(x, y, static_cast<float>(depth));
    }
  }
}

/// Scatters nuclei, about a third of them against an earlier one. Where two overlap a little, the
/// first keeps the pixels.
Scene scatter(Generator& random, int width, int height, double radius, double coverage) {
  constexpr int smallest = 25;
  constexpr double largest_overlap = 0.08;
  Scene scene{LabelMap(width, height), Plane(width, height)};
  std::ranges::fill(scene.depth, 1.0f);
  const double area = 1.0 * width * height;
  const int attempts = std::max(3, static_cast<int>(coverage * area / (3 * radius * radius)));

  std::vector<Shape> placed;
  for (int attempt = 0; attempt < attempts; ++attempt) {
    double x = random.uniform(0, width), y = random.uniform(0, height);
    if (!placed.empty() && random.uniform() < 0.35) {
      const Shape& neighbour =
          placed[static_cast<std::size_t>(random.below(static_cast<std::int64_t>(placed.size())))];
      const auto [cosine, sine] = direction(random);
      const double distance = radius * random.uniform(1.7, 2.3);
      x = neighbour.x() + distance * cosine;
      y = neighbour.y() + distance * sine;
    }
    const Shape shape(random, x, y, radius * random.uniform(0.75, 1.2));
    int total = 0, taken = 0;
    for_each_pixel(shape, width, height, [&](int px, int py, float) {
      ++total;
      taken += scene.depth.at(px, py) < 1;
    });
    if (total - taken < smallest || taken > largest_overlap * total) continue;
    placed.push_back(shape);
    scene.brightness.push_back(static_cast<float>(std::max(0.45, 1 + 0.25 * nearly_normal(random))));
    for_each_pixel(shape, width, height, [&](int px, int py, float depth) {
      if (scene.depth.at(px, py) < 1) return;
      scene.depth.at(px, py) = depth;
      scene.truth.at(px, py) = static_cast<std::int32_t>(placed.size());
    });
  }
  return scene;
}

float quantized(double value) {
  return static_cast<float>(static_cast<int>(std::clamp(value, 0.0, 1.0) * 255 + 0.5)) / 255.0f;
}

Image draw_fluorescence(Generator& random, const Scene& scene) {
  const int width = scene.truth.width, height = scene.truth.height;
  const Plane coarse = smooth_noise(random, width, height, 6);
  const Plane fine = smooth_noise(random, width, height, 3);
  Plane signal(width, height);
  for (std::size_t i = 0; i < signal.size(); ++i) {
    const std::int32_t label = scene.truth[i];
    if (label == 0) continue;
    const float depth = scene.depth[i];
    const float texture = 1 + 0.22f * coarse[i] + 0.12f * fine[i];
    signal[i] = scene.brightness[label] * texture * (1 - 0.35f * depth * depth);
  }
  blur(signal, 1, 2);
  Plane glow = signal;  // light from out of focus
  blur(glow, 14, 2);

  const double exposure = random.uniform(0.25, 0.6), offset = random.uniform(0.01, 0.06);
  const double falloff = random.uniform(0.1, 0.45);
  const double light_x = random.uniform(0.3, 0.7), light_y = random.uniform(0.3, 0.7);
  Image image(width, height);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      const double dx = (x + 0.5) / width - light_x, dy = (y + 0.5) / height - light_y;
      const double light = 1 - falloff * 2 * (dx * dx + dy * dy);
      const double value = offset + exposure * light * (0.02 + 0.9 * signal.at(x, y) + 0.12 * glow.at(x, y));
      const double noise = std::sqrt(3e-5 + 8e-4 * value);  // of the camera, and of the photons
      image.at(x, y) = quantized(value + noise * nearly_normal(random));
    }
  }
  return image;
}

Image draw_stained(Generator& random, const Scene& scene) {
  constexpr std::array<double, 3> eosin_stain{0.07, 0.5, 0.24}, hematoxylin_stain{0.66, 0.78, 0.4};
  const int width = scene.truth.width, height = scene.truth.height;
  const Plane patches = smooth_noise(random, width, height, 45);
  const Plane fibres = smooth_noise(random, width, height, 9);
  const Plane chromatin = smooth_noise(random, width, height, 4);
  const Plane grain = smooth_noise(random, width, height, 2);
  const double eosin_level = random.uniform(0.3, 0.6), hematoxylin_level = random.uniform(0.5, 0.75);

  Plane eosin(width, height), hematoxylin(width, height);
  for (std::size_t i = 0; i < eosin.size(); ++i) {
    const double tissue = eosin_level * (1 + 0.5 * patches[i] + 0.35 * fibres[i] + 0.2 * grain[i]);
    eosin[i] = static_cast<float>(std::clamp(tissue, 0.02, 1.0));
    const std::int32_t label = scene.truth[i];
    if (label == 0) continue;
    const double rim = scene.depth[i] > 0.8f ? 0.15 : 0;  // chromatin lines the membrane
    const double texture = 0.9 + 0.3 * chromatin[i] + 0.15 * grain[i] + rim;
    const double level = 0.4 + 0.6 * scene.brightness[label];
    hematoxylin[i] = static_cast<float>(std::clamp(hematoxylin_level * level * texture, 0.0, 1.0));
  }
  blur(eosin, 1, 1);
  blur(hematoxylin, 1, 1);

  const std::array<double, 3> lamp{random.uniform(0.93, 0.98), random.uniform(0.92, 0.97),
                                   random.uniform(0.94, 0.99)};
  Image image(width, height, 3);
  for (std::size_t i = 0; i < eosin.size(); ++i) {
    for (std::size_t c = 0; c < 3; ++c) {
      const double light = lamp[c] * (1 - eosin_stain[c] * double{eosin[i]}) *
                           (1 - hematoxylin_stain[c] * double{hematoxylin[i]});
      image.pixel(i)[c] = quantized(light + 0.012 * nearly_normal(random));
    }
  }
  return image;
}

}  // namespace

Example make_synthetic(std::uint64_t seed, int width, int height, Style style) {
  constexpr int smallest = 32;
  if (width < smallest || height < smallest || std::int64_t{width} * height > max_pixels) {
    throw Failure("drawing a synthetic image: expected sides of at least " + std::to_string(smallest) +
                  " and at most " + std::to_string(max_pixels >> 20) + " Mi pixels, got " +
                  size_text(width, height));
  }
  Generator random(seed);
  if (random.uniform() < 0.3 && style == Style::mixed) style = Style::stained;
  const bool stained = style == Style::stained;
  const double radius = stained ? random.uniform(7, 10) : random.uniform(7.5, 12.5);
  const double coverage = stained ? random.uniform(0.3, 0.6) : random.uniform(0.12, 0.5);
  Scene scene = scatter(random, width, height, radius, coverage);
  Image image = stained ? draw_stained(random, scene) : draw_fluorescence(random, scene);
  return {"synthetic-" + padded(static_cast<std::int64_t>(seed), 5), std::move(image),
          std::move(scene.truth)};
}

}  // namespace nuclei
