#include "instances/measure.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <numbers>

#include "common/error.h"

namespace nuclei {
namespace {

struct Point {
  std::int64_t x, y;
};

std::int64_t cross(const Point& o, const Point& a, const Point& b) {
  return (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x);
}

/// The nucleus alone, with a frame of one background pixel.
Mask framed(const LabelMap& map, const Nucleus& n) {
  Mask mask(n.x1 - n.x0 + 2, n.y1 - n.y0 + 2);
  for (int y = n.y0; y < n.y1; ++y)
    for (int x = n.x0; x < n.x1; ++x) mask.at(x - n.x0 + 1, y - n.y0 + 1) = map.at(x, y) == n.label;
  return mask;
}

/// The sum over border pixels (those with a 4-neighbour outside) of 1, sqrt(2) or the mean of both, by where
/// their neighbours on the border lie.
double perimeter(const Mask& mask) {
  const auto border = [&](int x, int y) {
    return x >= 1 && y >= 1 && x + 1 < mask.width && y + 1 < mask.height && mask.at(x, y) &&
           !(mask.at(x - 1, y) && mask.at(x + 1, y) && mask.at(x, y - 1) && mask.at(x, y + 1));
  };
  double total = 0;
  for (int y = 1; y + 1 < mask.height; ++y) {
    for (int x = 1; x + 1 < mask.width; ++x) {
      if (!border(x, y)) continue;
      const int beside = border(x - 1, y) + border(x + 1, y) + border(x, y - 1) + border(x, y + 1);
      const int diagonal =
          border(x - 1, y - 1) + border(x + 1, y - 1) + border(x - 1, y + 1) + border(x + 1, y + 1);
      // The code of Benkrid and Crookes: a border pixel beside counts 2, a diagonal one 10.
      switch (1 + 2 * beside + 10 * diagonal) {
        case 5:
        case 7:
        case 15:
        case 17:
        case 25:
        case 27: total += 1; break;
        case 21:
        case 33: total += std::numbers::sqrt2; break;
        case 13:
        case 23: total += (1 + std::numbers::sqrt2) / 2; break;
        default: break;
      }
    }
  }
  return total;
}

/// The number of pixels whose centres lie in the convex hull. The hull is that of the middles of all pixel
/// sides; coordinates are doubled, so that these are whole numbers.
std::int64_t hull_area(const Mask& mask) {
  std::vector<Point> points;  // by y, then x
  for (std::int64_t y = 1; y < 2 * mask.height; ++y) {
    std::int64_t first = -1, last = -1;
    const auto add = [&](std::int64_t x) {
      if (first < 0 || x < first) first = x;
      last = std::max(last, x);
    };
    for (int x = 1; x + 1 < mask.width; ++x) {
      if (y % 2 == 0) {
        if (y / 2 < mask.height && mask.at(x, static_cast<int>(y / 2))) add(2 * x - 1), add(2 * x + 1);
      } else if (mask.at(x, static_cast<int>(y / 2)) ||
                 (y / 2 + 1 < mask.height && mask.at(x, static_cast<int>(y / 2 + 1)))) {
        add(2 * x);
      }
    }
    if (first < 0) continue;
    points.push_back({first, y});
    if (last > first) points.push_back({last, y});
  }
  // The left and the right chain, from the top down.
  const auto chain = [&](int side) {
    std::vector<Point> hull;
    for (const Point& p : points) {
      while (hull.size() >= 2 && side * cross(hull[hull.size() - 2], hull.back(), p) <= 0) hull.pop_back();
      hull.push_back(p);
    }
    return hull;
  };
  const std::vector<Point> left = chain(-1), right = chain(1);
  const auto floor_div = [](std::int64_t a, std::int64_t b) { return a >= 0 ? a / b : -((b - 1 - a) / b); };
  std::int64_t total = 0;
  std::size_t l = 0, r = 0;
  for (std::int64_t y = 2; y < 2 * mask.height; y += 2) {
    if (y < points.front().y || y > points.back().y) continue;
    const auto segment = [&](const std::vector<Point>& hull, std::size_t& at) {
      while (at + 2 < hull.size() && hull[at + 1].y < y) ++at;
    };
    segment(left, l);
    segment(right, r);
    // x on a chain at this y is n / d; whole pixels are at even x.
    const auto across = [&](const std::vector<Point>& hull, std::size_t at, std::int64_t& d) {
      const Point a = hull[at], b = hull[std::min(at + 1, hull.size() - 1)];
      d = std::max<std::int64_t>(b.y - a.y, 1);
      return a.x * d + (b.x - a.x) * (y - a.y);
    };
    std::int64_t dl = 1, dr = 1;
    const std::int64_t nl = across(left, l, dl), nr = across(right, r, dr);
    const std::int64_t first = -floor_div(-nl, 2 * dl), last = floor_div(nr, 2 * dr);
    total += std::max<std::int64_t>(0, last - first + 1);
  }
  return total;
}

void measure_shape(const LabelMap& map, Nucleus& n) {
  const Mask mask = framed(map, n);
  const auto area = static_cast<double>(n.area);
  double xx = 0, yy = 0, xy = 0;
  for (int y = n.y0; y < n.y1; ++y) {
    for (int x = n.x0; x < n.x1; ++x) {
      if (map.at(x, y) != n.label) continue;
      const double dx = x - n.cx, dy = y - n.cy;
      xx += dx * dx;
      yy += dy * dy;
      xy += dx * dy;
    }
  }
  xx /= area, yy /= area, xy /= area;
  const double middle = (xx + yy) / 2, radius = std::hypot((xx - yy) / 2, xy);
  const double large = middle + radius, small = std::max(0.0, middle - radius);
  n.major_axis = 4 * std::sqrt(large);
  n.minor_axis = 4 * std::sqrt(small);
  n.eccentricity = large > 0 ? std::sqrt(1 - small / large) : 0;
  // Rows go down, angles up.
  n.orientation = radius > 1e-12 ? 0.5 * std::atan2(-2 * xy, xx - yy) * 180 / std::numbers::pi : 0;
  if (n.orientation <= -90) n.orientation += 180;
  n.perimeter = perimeter(mask);
  n.solidity = area / static_cast<double>(hull_area(mask));
}

}  // namespace

std::vector<Nucleus> measure(const LabelMap& map, const Image& header, const float* pixels) {
  PerLabel<Nucleus> by_label(max_label(map));
  PerLabel<std::int64_t> valued(by_label.highest());  // pixels that are no holes
  const int channels = header.channels;
  const auto value = [&](const float* pixel) {
    double sum = 0;
    for (int c = 0; c < channels; ++c) {
      const double v = header.offset + header.scale * pixel[c];
      sum += header.integers ? std::round(v) : v;
    }
    return sum / channels;
  };
  const auto for_each_pixel = [&](const auto& visit) {
    const float* pixel = pixels;
    for (int y = 0; y < map.height; ++y)
      for (int x = 0; x < map.width; ++x, pixel += channels)
        if (const std::int32_t label = map.at(x, y); label != 0) visit(by_label[label], x, y, label, pixel);
  };
  for_each_pixel([&](Nucleus& n, int x, int y, std::int32_t label, const float* pixel) {
    const double v = value(pixel);
    if (n.area == 0) n = {.label = label, .x0 = x, .y0 = y};
    ++n.area;
    n.cx += x;  // sums until the end of the scan
    n.cy += y;
    n.x0 = std::min(n.x0, x);
    n.x1 = std::max(n.x1, x + 1);
    n.y1 = y + 1;
    if (!std::isfinite(v)) return;
    if (valued[label]++ == 0) n.min_intensity = n.max_intensity = v;
    n.total_intensity += v;
    n.min_intensity = std::min(n.min_intensity, v);
    n.max_intensity = std::max(n.max_intensity, v);
  });
  for (Nucleus& n : by_label) {
    if (n.area == 0) continue;
    const auto area = static_cast<double>(n.area);
    n.cx /= area;
    n.cy /= area;
    n.mean_intensity = n.total_intensity / static_cast<double>(valued[n.label]);
    if (valued[n.label] == 0) n.min_intensity = n.max_intensity = n.mean_intensity;
  }
  for_each_pixel([&](Nucleus& n, int, int, std::int32_t, const float* pixel) {
    const double d = value(pixel) - n.mean_intensity;
    if (std::isfinite(d)) n.std_intensity += d * d;
  });
  std::vector<Nucleus> nuclei;
  std::ranges::copy_if(by_label, std::back_inserter(nuclei), [](const Nucleus& n) { return n.area > 0; });
  for (Nucleus& n : nuclei) {
    n.std_intensity = std::sqrt(n.std_intensity / static_cast<double>(valued[n.label]));
    measure_shape(map, n);
  }
  return nuclei;
}

void drop_unseen(LabelMap& map, int channels, const float* pixels) {
  PerLabel<std::uint8_t> seen(max_label(map));
  const auto is_hole = [&](const float* pixel) {
    return !std::all_of(pixel, pixel + channels, [](float v) { return std::isfinite(v); });
  };
  for (const std::int32_t label : map) {
    if (label != 0 && !is_hole(pixels)) seen[label] = 1;
    pixels += channels;
  }
  for (std::int32_t& label : map)
    if (label != 0 && !seen[label]) label = 0;
}

std::vector<Nucleus> measure(const LabelMap& map, const Image& image) {
  if (!map.same_size(image) || map.empty())
    throw Failure("measuring nuclei: expected labels for the " + size_text(image) +
                  " pixels of the image, got " + size_text(map));
  return measure(map, image, image.values.data());
}

}  // namespace nuclei
