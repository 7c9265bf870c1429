#include "common/text.h"

#include <catch2/catch.hpp>
#include <limits>

using namespace nuclei;

TEST_CASE("nuclei: numbers are formatted without regard to the locale", "[nuclei][report]") {
  CHECK(fixed(1234.5678, 2) == "1234.57");
  CHECK(fixed(-0.5, 0) == "-0");
  CHECK(fixed(std::numeric_limits<double>::max(), 1).size() == 311);
  CHECK(percent(0.90314) == "90.3 %");
}

TEST_CASE("nuclei: CSV fields are quoted where needed", "[nuclei][report]") {
  CHECK(csv_field("plain name.png") == "plain name.png");
  CHECK(csv_field("a,b") == "\"a,b\"");
  CHECK(csv_field("say \"hi\"") == "\"say \"\"hi\"\"\"");
  CHECK(csv_field("two\nlines") == "\"two\nlines\"");
}
