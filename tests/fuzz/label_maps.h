#pragma once
#include "fuzz.h"
#include "instances/label_map.h"
#include "instances/outline.h"

namespace fuzz {

/// A small map of rectangles, frames and dots, whose labels need not be dense.
inline nuclei::LabelMap any_labels(ByteReader& in) {
  nuclei::LabelMap map(in.whole(1, 20), in.whole(1, 20));
  const std::int32_t step = in.one_of(std::array{1, 1, 1, 7, 4000});
  for (int shapes = in.whole(0, 12); shapes > 0; --shapes) {
    const std::int32_t label = step * in.whole(0, 9);
    const int x0 = in.whole(0, map.width - 1), y0 = in.whole(0, map.height - 1);
    const int x1 = in.whole(x0, map.width - 1), y1 = in.whole(y0, map.height - 1);
    const int kind = in.whole(0, 3);
    for (int y = y0; y <= y1; ++y)
      for (int x = x0; x <= x1; ++x) {
        const bool edge = x == x0 || x == x1 || y == y0 || y == y1;
        if (kind < 2 || (kind == 2 && edge) || (kind == 3 && (x + y) % 2 == 0)) map.at(x, y) = label;
      }
  }
  return map;
}

/// Which pixels lie inside an odd number of rings.
class Painting {
 public:
  Painting(int width, int height) : inside_(width, height) {}
  void add(const nuclei::Ring& ring) {
    for (std::size_t i = 0; i < ring.size(); ++i) {
      const nuclei::Corner a = ring[i], b = ring[(i + 1) % ring.size()];
      expect(a.x == b.x || a.y == b.y, "a ring with a slanted side");
      for (int y = std::min(a.y, b.y); y < std::max(a.y, b.y); ++y)
        for (int x = a.x; x < inside_.width; ++x) inside_.at(x, y) ^= 1;
    }
  }
  void expect_label(const char* what, const nuclei::LabelMap& map, std::int32_t label) const {
    for (std::size_t i = 0; i < map.size(); ++i)
      expect((inside_[i] != 0) == (map[i] == label), what, ": pixel ", i, " of label ", label);
  }

 private:
  nuclei::Raster<std::uint8_t> inside_;
};

}  // namespace fuzz
