#include "output/csv.h"

#include <cmath>

#include "common/text.h"

namespace nuclei {

std::string csv_header() {
  return "image,label,area,centroid_x,centroid_y,bbox_x0,bbox_y0,bbox_x1,bbox_y1,mean_intensity,"
         "min_intensity,max_intensity,std_intensity,total_intensity,perimeter,major_axis,minor_axis,"
         "eccentricity,orientation,solidity,pixel_size_um,area_um2,perimeter_um,major_axis_um,minor_axis_um,"
         "centroid_x_um,centroid_y_um,file\n";
}

std::string csv_row(std::string_view image, std::string_view file, const Nucleus& n, double pixel_width,
                    double pixel_height) {
  std::string row = csv_field(image);
  const auto add = [&](double value, int decimals) { row += ',' + fixed(value, decimals); };
  const auto add_whole = [&](std::int64_t value) { row += ',' + std::to_string(value); };
  add_whole(n.label);
  add_whole(n.area);
  add(n.cx, 2);
  add(n.cy, 2);
  for (const int edge : {n.x0, n.y0, n.x1, n.y1}) add_whole(edge);
  // Float images may have values of 0 to 1, which need more digits.
  const int digits = std::abs(n.max_intensity) > 10 ? 2 : 5;
  add(n.mean_intensity, digits);
  for (const double v : {n.min_intensity, n.max_intensity}) add(v, v == std::round(v) ? 0 : digits);
  add(n.std_intensity, digits);
  add(n.total_intensity, digits);
  add(n.perimeter, 2);
  add(n.major_axis, 2);
  add(n.minor_axis, 2);
  add(n.eccentricity, 4);
  add(n.orientation, 1);
  add(n.solidity, 4);
  if (pixel_width > 0 && pixel_height > 0) {
    const double side = std::sqrt(pixel_width * pixel_height);
    add(side, 5);
    add(static_cast<double>(n.area) * pixel_width * pixel_height, 3);
    for (const double length : {n.perimeter, n.major_axis, n.minor_axis}) add(length * side, 3);
    add(n.cx * pixel_width, 3);
    add(n.cy * pixel_height, 3);
  } else {
    row += std::string(7, ',');
  }
  return row + ',' + csv_field(file) + '\n';
}

}  // namespace nuclei
