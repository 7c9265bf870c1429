#include "inference/bands.h"

#include <catch2/catch.hpp>

using namespace nuclei;

namespace {

constexpr int height = 300, start = 16;  // rows of a map, the first row of its band

/// Nuclei as rectangles in columns of their own.
struct Drawing {
  LabelMap map{20, height};
  std::int32_t labels = 0;

  /// Rows y0 ... y1 - 1 of two columns.
  Drawing& nucleus(int x, int y0, int y1) {
    ++labels;
    for (int y = y0; y < y1; ++y)
      for (int u = x; u < x + 2; ++u) map.at(u, y) = labels;
    return *this;
  }
  BandCut cut(bool last = false, bool after_cut = false) const {
    return cut_band(Clumps(map), start, last, after_cut);
  }
};

using Keep = std::vector<std::int32_t>;

}  // namespace

TEST_CASE("nuclei: a band takes the clumps that it sees as a whole", "[nuclei][bands]") {
  const BandCut band = Drawing().nucleus(0, 20, 60).nucleus(2, 50, 90).nucleus(6, 100, 120).cut();
  CHECK(band.end == height - tail_rows);
  CHECK_FALSE(band.cut);
  CHECK(band.keep == Keep{0, 1, 1, 1});
}

TEST_CASE("nuclei: a band ends above a clump that goes on below", "[nuclei][bands]") {
  Drawing drawing;
  drawing.nucleus(0, 20, 60).nucleus(4, 90, 110).nucleus(6, 105, height);  // the second touches the third
  drawing.nucleus(10, 85, 95).nucleus(14, 95, 120).nucleus(18, height - 10, height - 2);
  const BandCut band = drawing.cut();
  CHECK(band.end == 90);
  CHECK_FALSE(band.cut);
  CHECK(band.keep == Keep{0, 1, 0, 0, 1, 0, 0});
  // Nothing goes on below the picture.
  const BandCut last = drawing.cut(true);
  CHECK(last.end == height);
  CHECK(last.keep == Keep{0, 1, 1, 1, 1, 1, 1});
}

TEST_CASE("nuclei: what begins above a band is not its own", "[nuclei][bands]") {
  Drawing drawing;
  drawing.nucleus(0, 5, 40).nucleus(4, start, 40).nucleus(8, 10, 30).nucleus(10, 25, 60);
  CHECK(drawing.cut().keep == Keep{0, 0, 1, 0, 0});
  CHECK(drawing.cut(false, true).keep == Keep{0, 1, 1, 1, 1});  // but what a cut left is
}

TEST_CASE("nuclei: a clump taller than a band is cut between its nuclei", "[nuclei][bands]") {
  Drawing drawing;
  drawing.nucleus(0, start, 120).nucleus(2, 110, 200).nucleus(4, 130, height).nucleus(10, 100, 115);
  const BandCut band = drawing.cut();
  CHECK(band.cut);
  CHECK(band.end == 130);
  CHECK(band.keep == Keep{0, 1, 1, 0, 1});
  // A nucleus taller than a band is taken as far as it is seen.
  const BandCut tall = Drawing().nucleus(0, start, height).nucleus(4, 50, 70).cut();
  CHECK(tall.cut);
  CHECK(tall.end == start + tail_rows);
  CHECK(tall.keep == Keep{0, 1, 1});
}
