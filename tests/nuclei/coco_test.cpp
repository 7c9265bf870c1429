#include "output/formats.h"

#include <catch2/catch.hpp>

#include "found.h"

using namespace nuclei;
using nuclei::test::drawn_labels;
using nuclei::test::found_in;

TEST_CASE("nuclei: run lengths as COCO packs them", "[nuclei][coco]") {
  // By pycocotools.mask.encode.
  CHECK(coco_counts(found_in(drawn_labels(3, 3, "a.. aa. ...")).runs, 3, 3) == "022O2");
  CHECK(coco_counts(found_in(drawn_labels(3, 2, "aaa aaa")).runs, 3, 2) == "06");
}
