#include "contour.h"

#include <array>

namespace nuclei {
namespace {

// The sides of a pixel in walking order, clockwise: top, right, bottom, left.
struct Side {
  int ahead_x, ahead_y;    // where the line goes along this side
  int out_x, out_y;        // what lies beyond it
  int middle_x, middle_y;  // its middle, in half pixels from the pixel's corner
};
constexpr std::array<Side, 4> kSides{
    {{1, 0, 0, -1, 1, 0}, {0, 1, 1, 0, 2, 1}, {-1, 0, 0, 1, 1, 2}, {0, -1, -1, 0, 0, 1}}};

/// Adds a point, and takes the last one back if it lies on the straight way to this one.
void add(std::vector<Contour::Point>& points, Contour::Point point) {
  if (points.size() >= 2) {
    const Contour::Point &a = points[points.size() - 2], &b = points.back();
    if ((b.x - a.x) * (point.y - b.y) == (b.y - a.y) * (point.x - b.x)) points.pop_back();
  }
  points.push_back(point);
}

}  // namespace

std::vector<Contour> trace_contours(const LabelMap& map) {
  const auto label_at = [&](int x, int y) {
    if (x < 0 || y < 0 || x >= map.width || y >= map.height) return 0;
    return map.labels[static_cast<std::size_t>(y) * static_cast<std::size_t>(map.width) +
                      static_cast<std::size_t>(x)];
  };
  std::vector<std::array<bool, 4>> walked(map.labels.size());
  std::vector<Contour> contours;
  for (int y0 = 0; y0 < map.height; ++y0) {
    for (int x0 = 0; x0 < map.width; ++x0) {
      const std::int32_t label = label_at(x0, y0);
      if (label == 0) continue;
      for (std::size_t first = 0; first < kSides.size(); ++first) {
        int x = x0, y = y0;
        std::size_t side = first;
        Contour contour{label, {}};
        for (;;) {
          const Side& s = kSides[side];
          bool& done = walked[static_cast<std::size_t>(y) * static_cast<std::size_t>(map.width) +
                              static_cast<std::size_t>(x)][side];
          if (done || label_at(x + s.out_x, y + s.out_y) == label) break;
          done = true;
          add(contour.points, {2 * x + s.middle_x, 2 * y + s.middle_y});
          if (label_at(x + s.ahead_x, y + s.ahead_y) != label) {
            side = (side + 1) % 4;
            continue;
          }
          x += s.ahead_x;
          y += s.ahead_y;
          if (label_at(x + s.out_x, y + s.out_y) == label) {
            x += s.out_x;
            y += s.out_y;
            side = (side + 3) % 4;
          }
        }
        if (!contour.points.empty()) contours.push_back(std::move(contour));
      }
    }
  }
  return contours;
}

}  // namespace nuclei
