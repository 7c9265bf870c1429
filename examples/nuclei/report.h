#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "segment.h"

namespace nuclei {

/// `value` with a fixed number of decimals and a point, whatever the locale.
std::string fixed(double value, int decimals);

/// A share in [0, 1] as per cent: percent(0.9031) == "90.3 %".
std::string percent(double share, int decimals = 1);

/// A field as RFC 4180 wants it: quoted if it holds a comma, a quote or a line break.
std::string csv_field(std::string_view text);

/// The nuclei of one image; `image` is how its rows name it.
struct ImageNuclei {
  std::string image;
  std::vector<Nucleus> nuclei;
};

/// Writes one row per nucleus, atomically, under the header
///   image,label,area,centroid_x,centroid_y,bbox_x0,bbox_y0,bbox_x1,bbox_y1,mean_intensity
/// with units and conventions of Nucleus. Throws Failure if the file cannot be written.
void write_nuclei_csv(const std::filesystem::path& path, std::span<const ImageNuclei> images);

}  // namespace nuclei
