#include "output/formats.h"

#include <catch2/catch.hpp>

#include "found.h"

using namespace nuclei;
using nuclei::test::drawn_labels;
using nuclei::test::found_in;

TEST_CASE("nuclei: run lengths as the Bowl defines them", "[nuclei][bowl]") {
  // 1 4 7 / 2 5 8 / 3 6 9
  CHECK(bowl_runs(found_in(drawn_labels(3, 3, "a.. aa. ...")).runs, 3) == "1 2 5 1");
  CHECK(bowl_runs(found_in(drawn_labels(3, 3, ".a. aa. aaa")).runs, 3) ==
        "2 5 9 1");  // on from column to column
  CHECK(bowl_runs({}, 3).empty());
}
