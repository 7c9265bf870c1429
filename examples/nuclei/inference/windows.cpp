#include "inference/windows.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "imageio/raster.h"

namespace nuclei {
namespace {

using karyon::Tensor;

int enlarge_of(double zoom) { return zoom > 1 ? static_cast<int>(zoom) : 1; }
int shrink_of(double zoom) { return zoom < 1 ? static_cast<int>(1 / zoom) : 1; }

int round_up(int n, int multiple) { return (n + multiple - 1) / multiple * multiple; }

/// One of the eight ways to turn and mirror a picture.
struct Turn {
  bool transpose, mirror_x, mirror_y;
  int width, height;  // of the picture, before

  bool turns() const { return transpose || mirror_x || mirror_y; }
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
                                 std::size_t memory, int height_limit, double zoom) {
  constexpr double exact_pixels = 64e6;  // as the network sees them
  const karyon::UNetWindow net = karyon::unet_window(options);
  const int enlarge = enlarge_of(zoom), shrink = shrink_of(zoom);
  const auto per_pixel = static_cast<std::size_t>(static_cast<double>(net.bytes_per_pixel) * zoom * zoom);
  const int grid = std::max(1, net.alignment / enlarge) * shrink;
  const auto most = static_cast<double>(memory / per_pixel);
  const double pixels = static_cast<double>(width) * height;
  // An interpolated pixel depends on one more pixel of the picture or of the maps.
  const auto halo_for = [&](bool exact) {
    const int reach = exact ? net.exact_reach : net.reach;
    return round_up(zoom == 1 ? reach : zoom > 1 ? reach / enlarge + 2 : (reach + 2) * shrink, grid);
  };
  if (pixels <= most && (height_limit == 0 || height <= height_limit))
    return Tiling{width, height, grid, halo_for(true), true, zoom};
  if (options.norm == karyon::Norm::group) return {};
  for (const bool exact : {true, false}) {
    // A shrunk picture needs so many more rows around a window that they would fill the memory.
    if (exact && pixels * (zoom < 1 ? 1 / zoom : zoom * zoom) > exact_pixels) continue;
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

namespace {

/// Where an enlarged row takes its pixels from: between `at` and `next`, `share` of the way.
struct Between {
  std::size_t at, next;
  float share;
};

/// For the pixels begin ... end - 1 of a row of `size` pixels that is enlarged `times` times.
std::vector<Between> between(int begin, int end, int times, int size) {
  std::vector<Between> result;
  for (int i = begin; i < end; ++i) {
    const float at = std::max(0.0f, (static_cast<float>(i) + 0.5f) / static_cast<float>(times) - 0.5f);
    const int first = std::min(static_cast<int>(at), size - 1);
    result.push_back({static_cast<std::size_t>(first),
                      static_cast<std::size_t>(std::min(first + 1, size - 1)),
                      at - static_cast<float>(first)});
  }
  return result;
}

/// The network's input for a window of the turned picture.
Tensor input_of(const Rect& window, int shrink, const Turn& turn, const ReadPixels& read) {
  const auto turned = [&](const Rect& rows, float* out) {
    if (!turn.turns()) return read(rows, out);
    const Rect part = turn.source(rows);
    Raster<float> pixels(part.width(), part.height(), 3);
    read(part, pixels.values.data());
    for (int v = rows.y0; v < rows.y1; ++v) {
      for (int u = rows.x0; u < rows.x1; ++u, out += 3) {
        const auto [x, y] = turn.source(u, v);
        std::copy_n(&pixels.at(x - part.x0, y - part.y0), 3, out);
      }
    }
  };
  if (shrink == 1) {
    Tensor input = karyon::empty({1, window.height(), window.width(), 3});
    turned(window, input.data<float>());
    return input;
  }
  const Raster<float> small = shrunk({window}, shrink, turned).front();
  Tensor input = karyon::empty({1, small.height, small.width, 3});
  std::ranges::copy(small, input.data<float>());
  return input;
}

/// What the network says of its input, after the sigmoid; one value for each pixel that was enlarged.
Tensor maps_of(karyon::UNet& model, Tensor input, int enlarge) {
  const std::int64_t height = input.size(1), width = input.size(2);
  input = input.to(model.parameters().front().device());
  if (enlarge > 1)
    input = karyon::interpolate(input, {enlarge * height, enlarge * width},
                                {.mode = karyon::InterpolateMode::bilinear});
  Tensor maps = model(input);
  input = Tensor();
  maps = karyon::sigmoid(maps.to(karyon::f32));
  if (enlarge > 1) maps = karyon::avg_pool2d(maps, {.kernel_size = enlarge});
  return maps.to(karyon::Device::cpu());
}

}  // namespace

void predict_core(karyon::UNet& model, const Tiling& tiling, int width, int height, const Rect& core,
                  bool tta, const ReadPixels& read, float* out, std::size_t out_stride) {
  const karyon::NoGradGuard no_grad;
  const auto channels = static_cast<std::size_t>(model.options.out_channels);
  const int shrink = shrink_of(tiling.zoom);
  for (int t = 0; t < (tta ? 8 : 1); ++t) {
    const Turn turn{(t & 4) != 0, (t & 1) != 0, (t & 2) != 0, width, height};
    const Rect turned_core = turn.turned(core);
    const Rect window = window_around(turned_core, tiling, turn.turned_width(), turn.turned_height());
    const Tensor maps = maps_of(model, input_of(window, shrink, turn, read), enlarge_of(tiling.zoom));
    const float* values = maps.data<float>();
    const auto across = static_cast<std::size_t>(maps.size(2));
    // Which pixels of the maps a pixel of the core lies between.
    const auto columns = between(turned_core.x0 - window.x0, turned_core.x1 - window.x0, shrink,
                                 static_cast<int>(maps.size(2)));
    const auto rows = between(turned_core.y0 - window.y0, turned_core.y1 - window.y0, shrink,
                              static_cast<int>(maps.size(1)));
    for (int v = turned_core.y0; v < turned_core.y1; ++v) {
      const Between& row = rows[static_cast<std::size_t>(v - turned_core.y0)];
      for (int u = turned_core.x0; u < turned_core.x1; ++u) {
        const Between& column = columns[static_cast<std::size_t>(u - turned_core.x0)];
        const auto [x, y] = turn.source(u, v);
        const std::size_t to =
            static_cast<std::size_t>(y - core.y0) * out_stride + static_cast<std::size_t>(x - core.x0);
        const auto map = [&](std::size_t at_row, std::size_t at_column, std::size_t c) {
          return values[(at_row * across + at_column) * channels + c];
        };
        for (std::size_t c = 0; c < channels; ++c) {
          float value = map(row.at, column.at, c);
          if (shrink > 1) {
            const auto mix = [](float p, float q, float share) { return p + share * (q - p); };
            value =
                mix(mix(value, map(row.at, column.next, c), column.share),
                    mix(map(row.next, column.at, c), map(row.next, column.next, c), column.share), row.share);
          }
          if (tta) value /= 8;
          float& sum = out[to * channels + c];
          sum = t == 0 ? value : sum + value;
        }
      }
    }
  }
}

ReadPixels pixels_of(const Raster<float>& picture) {
  return [&picture](const Rect& part, float* out) {
    for (int y = part.y0; y < part.y1; ++y)
      out = std::copy(&picture.at(part.x0, y), picture.row(y) + 3 * part.x1, out);
  };
}

std::vector<Raster<float>> shrunk(const std::vector<Rect>& parts, int shrink, const ReadPixels& read) {
  std::vector<Raster<float>> result;
  const auto small = [&](int size) { return (size + shrink - 1) / shrink; };
  for (const Rect& part : parts) result.emplace_back(small(part.width()), small(part.height()), 3);
  const Rect& first = parts.front();
  std::vector<float> rows;
  for (int y = first.y0; y < first.y1; y += shrink) {
    const int count = std::min(shrink, first.y1 - y);
    for (std::size_t i = 0; i < parts.size(); ++i) {
      const Rect& part = parts[i];
      const std::size_t row = 3 * static_cast<std::size_t>(part.width());
      rows.resize(row * static_cast<std::size_t>(count));
      read({part.x0, y, part.x1, y + count}, rows.data());
      float* out = result[i].row((y - first.y0) / shrink);
      for (int x = 0; x < part.width(); x += shrink) {
        const int wide = std::min(shrink, part.width() - x);
        for (std::size_t c = 0; c < 3; ++c) {
          float sum = 0;
          for (int v = 0; v < count; ++v)
            for (int u = 0; u < wide; ++u)
              sum += rows[static_cast<std::size_t>(v) * row + 3 * static_cast<std::size_t>(x + u) + c];
          *out++ = sum / static_cast<float>(count * wide);
        }
      }
    }
  }
  return result;
}

Raster<float> whole_maps(karyon::UNet& model, const Raster<float>& picture, double zoom, bool tta) {
  const Tiling whole = *plan_tiles(model.options, picture.width, picture.height,
                                   std::numeric_limits<std::size_t>::max(), 0, zoom);
  Raster<float> maps(picture.width, picture.height, static_cast<int>(model.options.out_channels));
  predict_core(model, whole, picture.width, picture.height, {0, 0, picture.width, picture.height}, tta,
               pixels_of(picture), maps.values.data(), static_cast<std::size_t>(picture.width));
  return maps;
}

}  // namespace nuclei
