#include "report.h"

#include <catch2/catch.hpp>
#include <limits>

#include "error.h"
#include "temp_folder.h"

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

TEST_CASE("nuclei: nuclei are written one per row", "[nuclei][report]") {
  const TempFolder folder;
  const Nucleus nucleus{.label = 1,
                        .area = 12,
                        .cx = 3.25,
                        .cy = 4,
                        .x0 = 1,
                        .y0 = 2,
                        .x1 = 6,
                        .y1 = 7,
                        .mean_intensity = 99.999};
  write_nuclei_csv(folder / "n.csv", std::vector<ImageNuclei>{{"a,b.png", {nucleus}}, {"c", {}}});
  CHECK(read_text(folder / "n.csv") ==
        "image,label,area,centroid_x,centroid_y,bbox_x0,bbox_y0,bbox_x1,bbox_y1,mean_intensity\n"
        "\"a,b.png\",1,12,3.25,4.00,1,2,6,7,100.00\n");
  CHECK_THROWS_AS(write_nuclei_csv("/dev/full", std::vector<ImageNuclei>{}), Failure);
}
