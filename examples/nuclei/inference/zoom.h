#pragma once

#include <cstdint>
#include <vector>

#include <karyon/karyon.h>

#include "inference/normalize.h"
#include "inference/windows.h"

namespace nuclei {

/// How many times larger the model sees a picture: 1/4, 1/2, 1, 2 or 4, or as choose_zoom() says.
inline constexpr double auto_zoom = 0;

/// The model separates touching nuclei best if they are 20 to 60 pixels wide, and loses them above 100. It
/// sees a picture of smaller ones enlarged, of larger ones shrunk. All diameters are in pixels.
inline constexpr double small_diameter = 22, large_diameter = 80;
inline constexpr double least_diameter = 7, most_diameter = 280;

/// How large the nuclei of a picture are, and at which zoom the model sees them best.
struct NucleusSize {
  double zoom = 1;
  double diameter = 0;                        // of the median nucleus, as a disc; 0 if none was found
  double typical = 0;                         // typical_area() where it was asked for; 0 if none was found
  bool too_small = false, too_large = false;  // the model sees them badly at any zoom
};

struct SizeOptions {
  double zoom = auto_zoom;  // chosen already: only the typical area is measured
  double learned = 0;       // the median diameter that the model learned from: limits for large nuclei grow
  bool typical = false;     // measure the typical area too
};

/// Measures up to 16 parts of a picture. A picture that is shrunk four times shows nuclei from about 20 to
/// 280 pixels; where they are large, it stays so. Where they may be large, the half decides: it is taken if
/// it shows large nuclei and the finer view finds less. Neither is taken if the model is surer of what it finds
/// up close: whole cells look like nuclei from afar. Otherwise the zoom is 2 if the background is dark and
/// the nuclei are small, else 1. On a light background (stained tissue, brightfield) enlarging did not help.
///   read     gives normalized pixels; it is asked for parts by ascending rows, again for each view
NucleusSize choose_zoom(karyon::UNet& model, int width, int height, const Levels& levels,
                        const ReadPixels& read, const SizeOptions& options = {});

/// The diameter of a disc with the median of these areas; 0 where there is none. Areas of 0 do not count.
double median_diameter(std::vector<std::int64_t> areas);

}  // namespace nuclei
