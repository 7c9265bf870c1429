#include "inference/windows.h"

#include <algorithm>
#include <cmath>

#include "imageio/raster.h"

namespace nuclei {
namespace {

using karyon::Tensor;

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/// One of the eight ways to turn and mirror a picture.
struct Turn {
  bool transpose, mirror_x, mirror_y;
  int width, height;  // of the picture, before

  int turned_width() const { return transpose ? height : width; }
  int turned_height() const { return transpose ? width : height; }

  /// Where a pixel of the turned picture comes from.
  std::pair<int, int> source(int u, int v) const {
    if (mirror_x) u = turned_width() - 1 - u;
    if (mirror_y) v = turned_height() - 1 - v;
    return transpose ? std::pair(v, u) : std::pair(u, v);
  }
  Rect source(const Rect& r) const {
    const auto [ax, ay] = source(r.x0, r.y0);
    const auto [bx, by] = source(r.x1 - 1, r.y1 - 1);
    return {std::min(ax, bx), std::min(ay, by), std::max(ax, bx) + 1, std::max(ay, by) + 1};
  }
  Rect turned(const Rect& r) const {
    Rect t = transpose ? Rect{r.y0, r.x0, r.y1, r.x1} : r;
    if (mirror_x) t = {turned_width() - t.x1, t.y0, turned_width() - t.x0, t.y1};
    if (mirror_y) t = {t.x0, turned_height() - t.y1, t.x1, turned_height() - t.y0};
    return t;
  }
};

Rect window_around(const Rect& core, const Tiling& tiling, int width, int height) {
  const auto before = [&](int at) { return std::max(0, at / tiling.grid * tiling.grid - tiling.halo); };
  const auto behind = [&](int at, int size) {
    return std::min(size, round_up(at, tiling.grid) + tiling.halo);
  };
  return {before(core.x0), before(core.y0), behind(core.x1, width), behind(core.y1, height)};
}

}  // namespace

std::optional<Tiling> plan_tiles(const karyon::UNetOptions& options, int width, int height,
                                 std::size_t memory, int height_limit, int zoom) {
  constexpr double exact_pixels = 64e6;  // as the network sees them
  const karyon::UNetWindow net = karyon::unet_window(options);
  const std::size_t per_pixel = net.bytes_per_pixel * static_cast<std::size_t>(zoom * zoom);
  const int grid = net.alignment / zoom;
  const auto most = static_cast<double>(memory / per_pixel);
  const double pixels = static_cast<double>(width) * height;
  // An interpolated pixel depends on one more pixel of the picture.
  const auto halo_for = [&](bool exact) {
    const int reach = exact ? net.exact_reach : net.reach;
    return round_up(zoom == 1 ? reach : reach / zoom + 2, grid);
  };
  if (pixels <= most && (height_limit == 0 || height <= height_limit))
    return Tiling{width, height, grid, halo_for(true), true, zoom};
  if (options.norm == karyon::Norm::group) return {};
  for (const bool exact : {true, false}) {
    if (exact && pixels * zoom * zoom > exact_pixels) continue;
    const int halo = halo_for(exact);
    const auto core = [&](int window, int size) {
      return window >= size ? size : (window - 2 * halo) / grid * grid;
    };
    // Square windows overlap least. Where the picture is narrow, windows are taller.
    int tall = std::min(height, static_cast<int>(std::sqrt(most)) / grid * grid);
    if (width < tall) tall = std::min(height, static_cast<int>(most / width) / grid * grid);
    if (height_limit > 0) tall = std::min(tall, height_limit);
    const int wide = static_cast<int>(std::min<double>(width, most / std::max(tall, 1))) / grid * grid;
    const Tiling tiling{core(most / std::max(tall, 1) >= width ? width : wide, width),
                        core(tall, height),
                        grid,
                        halo,
                        exact,
                        zoom};
    // If the core is smaller than a quarter of its halo, nearly all work is overlap.
    if (tiling.core_width >= std::min(width, grid) && tiling.core_height >= std::min(height, grid) &&
        (!exact || std::min(tiling.core_width, tiling.core_height) >= std::min({halo / 4, width, height})))
      return tiling;
  }
  return {};
}

void predict_core(karyon::UNet& model, const Tiling& tiling, int width, int height, const Rect& core,
                  bool tta, const ReadPixels& read, float* out, std::size_t out_stride) {
  const karyon::NoGradGuard no_grad;
  const karyon::Device device = model.parameters().front().device();
  const auto channels = static_cast<std::size_t>(model.options.out_channels);
  const int zoom = tiling.zoom;
  for (int t = 0; t < (tta ? 8 : 1); ++t) {
    const Turn turn{(t & 4) != 0, (t & 1) != 0, (t & 2) != 0, width, height};
    const Rect turned_core = turn.turned(core);
    const Rect window = window_around(turned_core, tiling, turn.turned_width(), turn.turned_height());
    const Rect part = turn.source(window);
    Tensor input = karyon::empty({1, window.height(), window.width(), 3});
    if (t == 0) {
      read(part, input.data<float>());
    } else {
      Raster<float> pixels(part.width(), part.height(), 3);
      read(part, pixels.values.data());
      float* to = input.data<float>();
      for (int v = window.y0; v < window.y1; ++v) {
        for (int u = window.x0; u < window.x1; ++u, to += 3) {
          const auto [x, y] = turn.source(u, v);
          std::copy_n(&pixels.at(x - part.x0, y - part.y0), 3, to);
        }
      }
    }
    input = input.to(device);
    if (zoom > 1)
      input = karyon::interpolate(input, {zoom * window.height(), zoom * window.width()},
                                  {.mode = karyon::InterpolateMode::bilinear});
    Tensor maps = model(input);
    input = Tensor();
    maps = karyon::sigmoid(maps.to(karyon::f32));
    if (zoom > 1) maps = karyon::avg_pool2d(maps, {.kernel_size = zoom});
    maps = maps.to(karyon::Device::cpu());
    const float* values = maps.data<float>();
    for (int v = turned_core.y0; v < turned_core.y1; ++v) {
      for (int u = turned_core.x0; u < turned_core.x1; ++u) {
        const auto [x, y] = turn.source(u, v);
        const std::size_t from =
            static_cast<std::size_t>(v - window.y0) * static_cast<std::size_t>(window.width()) +
            static_cast<std::size_t>(u - window.x0);
        const std::size_t to =
            static_cast<std::size_t>(y - core.y0) * out_stride + static_cast<std::size_t>(x - core.x0);
        for (std::size_t c = 0; c < channels; ++c) {
          const float value = tta ? values[from * channels + c] / 8 : values[from * channels + c];
          float& sum = out[to * channels + c];
          sum = t == 0 ? value : sum + value;
        }
      }
    }
  }
}

}  // namespace nuclei
