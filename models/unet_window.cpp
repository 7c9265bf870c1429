#include <algorithm>
#include <vector>

#include <karyon/models/unet_window.h>

namespace karyon {
namespace {

// The fastest 3x3 convolutions (Winograd's) compute tiles of 4 x 4 outputs, counted from the window's first
// pixel. All outputs of a tile are computed from all inputs of the tile.
constexpr int winograd_tile = 4;

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

// Goes backwards through the network and adds up how far each layer looks beyond an output. Outputs are
// computed in tiles.
int reach_of(const UNetOptions& options, int tile) {
  const auto double_conv = [&](int reach) {
    for (int i = 0; i < 2; ++i) reach = round_up(reach, tile) + 1;
    return reach;
  };
  const int bilinear = options.up == UpMode::bilinear ? 1 : 0;
  std::vector<int> skip;
  int reach = 0;
  for (std::int64_t level = 0; level < options.depth; ++level) {
    reach = double_conv(reach);
    skip.push_back(reach);
    reach = (reach + 1) / 2 + bilinear;
  }
  reach = double_conv(reach);
  for (; !skip.empty(); skip.pop_back()) reach = double_conv(std::max(2 * reach, skip.back()));
  return reach;
}

// Most memory is in use at the last step up. The skip connection, the enlarged values, both joined, and the
// result of the first convolution have 5 base widths. The allocator keeps about one more for later.
std::size_t bytes_per_pixel(const UNetOptions& options, DType dtype) {
  const auto activations = static_cast<std::size_t>(6 * options.base_width),
             ends = static_cast<std::size_t>(2 * options.in_channels + 3 * options.out_channels);
  return element_size(dtype) * activations + sizeof(float) * ends;
}

}  // namespace

UNetWindow unet_window(const UNetOptions& options, DType dtype) {
  check(options.depth >= 1 && options.depth <= 10, "unet_window: expects a depth of 1 to 10, got ",
        options.depth);
  check(dtype == f32 || dtype == bf16, "unet_window: expects f32 or bf16, got ", dtype);
  return {.reach = reach_of(options, 1),
          .exact_reach = reach_of(options, winograd_tile),
          .alignment = winograd_tile << options.depth,
          .bytes_per_pixel = bytes_per_pixel(options, dtype)};
}

}  // namespace karyon
