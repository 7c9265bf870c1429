#include "report.h"

#include <charconv>

#include "atomic_file.h"

namespace nuclei {

std::string fixed(double value, int decimals) {
  char buffer[400];  // the largest double has 309 digits before the point
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals);
  return error == std::errc() ? std::string(buffer, end) : std::to_string(value);
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals) + " %"; }

std::string csv_field(std::string_view text) {
  if (text.find_first_of(",\"\r\n") == std::string_view::npos) return std::string(text);
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

void write_nuclei_csv(const std::filesystem::path& path, std::span<const ImageNuclei> images) {
  std::string csv = "image,label,area,centroid_x,centroid_y,bbox_x0,bbox_y0,bbox_x1,bbox_y1,mean_intensity\n";
  for (const ImageNuclei& image : images) {
    const std::string name = csv_field(image.image);
    for (const Nucleus& n : image.nuclei) {
      csv += name + ',' + std::to_string(n.label) + ',' + std::to_string(n.area) + ',' + fixed(n.cx, 2) +
             ',' + fixed(n.cy, 2) + ',' + std::to_string(n.x0) + ',' + std::to_string(n.y0) + ',' +
             std::to_string(n.x1) + ',' + std::to_string(n.y1) + ',' + fixed(n.mean_intensity, 2) + '\n';
    }
  }
  write_file_atomically(path, csv);
}

}  // namespace nuclei
