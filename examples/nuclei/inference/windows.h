#pragma once

#include <functional>
#include <optional>
#include <vector>

#include <karyon/karyon.h>

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
/// The network sees the middle of a window, its core, exactly as it sees the whole picture. The window reaches
/// `halo` pixels further on every side where the picture goes on, and starts and ends at multiples of `grid`.
///
/// All in pixels of the picture, which the network may see `zoom` times larger: then a multiple of `grid` is
/// one of what the network needs.
struct Tiling {
  int core_width, core_height;  // the picture's, if one window holds it all; else multiples of grid
  int grid, halo;
  bool exact;  // to the last bit; else only as far as rounding lets sums agree that begin differently
  int zoom = 1;
};

/// Windows that fit into `memory` bytes and are no taller than `height_limit` (0: any). Above 64 megapixels
/// they overlap by the receptive field only, not by the halo that keeps every bit, which would cost two to
/// three times as long. Nothing where no window fits, or not all of the picture where the network has a norm
/// that looks at the whole of it.
///   zoom  a power of two
std::optional<Tiling> plan_tiles(const karyon::UNetOptions& options, int width, int height,
                                 std::size_t memory, int height_limit = 0, int zoom = 1);

/// Gives the network's input for a part of the picture: [height, width, 3].
using ReadPixels = std::function<void(const Rect& part, float* out)>;

/// What the network says of the pixels of `core`, after the sigmoid: [height, width, channels], with an
/// `out_stride` of so many pixels from row to row.
///   tta  the mean over the picture's eight turned and mirrored versions
/// The same whatever the core is, as far as tiling.exact says.
void predict_core(karyon::UNet& model, const Tiling& tiling, int width, int height, const Rect& core,
                  bool tta, const ReadPixels& read, float* out, std::size_t out_stride);

}  // namespace nuclei
