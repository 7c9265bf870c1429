#pragma once

#include <functional>
#include <optional>
#include <vector>

#include <karyon/karyon.h>

#include "imageio/raster.h"

namespace nuclei {

/// Pixels [x0, x1) x [y0, y1) of a picture.
struct Rect {
  int x0, y0, x1, y1;
  int width() const { return x1 - x0; }
  int height() const { return y1 - y0; }
  bool operator==(const Rect&) const = default;
};

/// How a picture is cut into overlapping windows for the network (see karyon::unet_window).
///
/// The network sees the middle of a window, its core, exactly as it sees the whole picture. The window
/// reaches `halo` pixels further on every side where the picture goes on, and starts and ends at multiples of
/// `grid`.
///
/// All sizes are in pixels of the picture. The network may see it `zoom` times larger; then `zoom` times
/// `grid` is the alignment that the network needs. Where zoom is below 1, it sees means of pixels, and its
/// maps are interpolated.
struct Tiling {
  int core_width, core_height;  // the picture's, if one window holds it all; else multiples of grid
  int grid, halo;
  bool exact;  // results are those of one window to the last bit; else up to rounding
  double zoom = 1;
};

/// Windows that fit into `memory` bytes and are no taller than `height_limit` (0: any). Above 64 megapixels
/// they overlap by the receptive field only: the halo that keeps every bit would take two to three times as
/// long. The limit is 32 and 16 megapixels where the network sees a half and a quarter. Returns nothing if no
/// window fits. A network with group norms needs one window for the whole picture.
///   zoom  a power of two, 1/4 to 4
std::optional<Tiling> plan_tiles(const karyon::UNetOptions& options, int width, int height,
                                 std::size_t memory, int height_limit = 0, double zoom = 1);

/// Gives the network's input for a part of the picture: [height, width, 3].
using ReadPixels = std::function<void(const Rect& part, float* out)>;

/// The network's maps of the pixels of `core`, after the sigmoid.
///   out         [height, width, channels]
///   out_stride  pixels from row to row of `out`
///   tta  the mean over the picture's eight turned and mirrored versions
/// The maps of a pixel do not depend on the core that holds it, within what tiling.exact promises.
void predict_core(karyon::UNet& model, const Tiling& tiling, int width, int height, const Rect& core,
                  bool tta, const ReadPixels& read, float* out, std::size_t out_stride);

/// Gives parts of a picture in memory, [height, width, 3], which must outlive the result.
ReadPixels pixels_of(const Raster<float>& picture);

/// Parts of a picture, shrunk: the mean of each `shrink` x `shrink` pixels, or of fewer at a part's ends. The
/// parts begin and end at the same rows.
std::vector<Raster<float>> shrunk(const std::vector<Rect>& parts, int shrink, const ReadPixels& read);

/// The network's maps of a picture as one window.
Raster<float> whole_maps(karyon::UNet& model, const Raster<float>& picture, double zoom = 1,
                         bool tta = false);

}  // namespace nuclei
