#include "output/formats.h"

#include <algorithm>
#include <catch2/catch.hpp>

#include "found.h"

using namespace nuclei;
using Catch::Matchers::Contains;
using nuclei::test::drawn_labels;
using nuclei::test::found_in;

TEST_CASE("nuclei: rows of the table, with micrometres where they are known", "[nuclei][csv]") {
  const Nucleus n = found_in(drawn_labels(3, 3, "... .aa .aa")).nucleus;
  const std::string header = csv_header(), plain = csv_row("a,b", "in/a,b.tif", n, 0, 0),
                    scaled = csv_row("x", "in/x.png", n, 0.5, 0.5);
  const auto commas = [](const std::string& text) { return std::count(text.begin(), text.end(), ','); };
  CHECK(commas(header) == 27);
  CHECK(commas(plain) == 29);  // two in quoted names
  CHECK(commas(scaled) == 27);
  CHECK(plain.starts_with("\"a,b\",1,4,1.50,1.50,1,1,3,3,51.00,"));
  CHECK(plain.ends_with(",,,,,,,\"in/a,b.tif\"\n"));
  CHECK_THAT(scaled, Contains(",0.50000,1.000,"));
  CHECK(scaled.ends_with(",0.750,0.750,in/x.png\n"));
}
