#pragma once
#include <array>

#include <karyon/core/cpu/conv/winograd.h>

// Private to core/cpu: Winograd's backward-weights. Transformed tiles of x and dy are multiplied in each
// plane, and the sums over all tiles are transformed to the 3 x 3 taps.
namespace karyon::cpu {

/// Transformed tiles of dy: [panel][plane][tile][width of the panel], as the products read them.
template <class T>
struct WinogradGradientTiles {
  T* data;
  std::int64_t tiles, planes, panel_width;

  std::int64_t plane(std::int64_t width) const { return tiles * width + winograd_skew<T>; }
  std::int64_t panel() const { return planes * plane(panel_width); }
  T* at(std::int64_t panel_index, std::int64_t tile, std::int64_t width) const {
    return data + panel_index * panel() + tile * width;
  }
};

/// Sums over tiles for one panel: [plane][input channel][width].
struct WinogradSums {
  float* data;
  std::int64_t plane, width;
};

/// The product of one plane: sums[c][k] (+)= the sum over tiles of x[tile][c] * dy[tile][k].
template <class T>
struct WinogradWeightProduct {
  const T* x;
  std::int64_t x_step;  // from tiles_at_once tiles to the next ones
  std::int64_t depth;   // input channels
  const T* dy;
  std::int64_t tiles, width;
  float* sums;
  bool accumulate;    // add to the sums instead of writing them
  const float* next;  // sums that are needed next, fetched meanwhile, or nullptr
};

/// The part of backward-weights that both arithmetics share. Beside WinogradConv's members, the arithmetic A
/// has
///   Gradient            dy, to read tiles from
///   tiles_at_once       tiles whose transforms are interleaved
///   transform_x         of that many tiles, all input channels
///   transform_dy        of that many tiles, for some panels
///   multiply_gradients  WinogradWeightProduct
///   adds_to_sums        whether products always add to the sums, which must be zero at first
///   transform_sums      sums of up to 16 input channels to their taps
template <class A>
class WinogradWeightGradient {
 public:
  using Value = typename A::Value;
  using GradientTiles = WinogradGradientTiles<Value>;

  WinogradWeightGradient(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight)
      : g_(g),
        tiling_(A::tile_size(g.h_out, g.w_out), A::tiles_at_once, g.n, g.h_out, g.w_out),
        panels_{g.k, A::panel_width(), A::vector()},
        in_(x),
        dy_(dy),
        dweight_(dweight.data<Value>()),
        depth_(A::depth(g.c)),
        plane_(A::tiles_at_once * round_up(g.c, A::vector()) + winograd_skew<Value>),
        step_(tiling_.planes * plane_) {}

 protected:
  WinogradStages stages(std::int64_t least) const {
    const std::int64_t channels = round_up(g_.c, A::vector()) + round_up(g_.k, A::vector());
    const std::int64_t bytes = tiling_.planes * channels * static_cast<std::int64_t>(sizeof(Value));
    return tiling_.stages(A::stage_bytes / bytes, least);
  }
  std::int64_t sum_plane(std::int64_t depth, std::int64_t width) const {
    return depth * width + winograd_skew<float>;
  }
  std::int64_t sum_panel(std::int64_t depth) const {
    return tiling_.planes * sum_plane(depth, panels_.width);
  }

  // The places of tiles_at_once tiles. Tiles from `end` on are outside of every image.
  std::array<WinogradPlace, A::tiles_at_once> places(std::int64_t first, std::int64_t end) const {
    std::array<WinogradPlace, A::tiles_at_once> all;
    for (WinogradPlace& at : all) {
      at = tiling_.place(first);
      if (first++ >= end) at.y = -2 * (g_.h + g_.kernel.h);
    }
    return all;
  }

  // Each chunk has as many stages as the others, so that threads have equal shares, and sums of its own.
  // These are added up in order, so the number of threads changes no bit. `shares` tasks share the panels of
  // a chunk, and each of them transforms x.
  void sum_in_chunks(const WinogradStages& wanted, std::int64_t chunks, std::int64_t shares) const {
    const WinogradStages stages = tiling_.even(wanted, chunks);
    const std::int64_t size = panels_.count() * sum_panel(depth_);
    Tensor sums = empty({chunks * size});
    float* const data = sums.data<float>();
    parallel_for(chunks * shares, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t chunk = task / shares;
        sum_chunk(stages, {chunk, chunks, stages.count}, {task % shares, shares, panels_.count()},
                  data + chunk * size);
      }
    });
    add_chunks(data, chunks);
  }

  // Products of all planes, for input channels from x on and one panel of dy.
  void multiply(const Value* x, std::int64_t depth, const GradientTiles& dy, std::int64_t dy_panel,
                std::int64_t tiles, const WinogradSums& sums, bool accumulate, bool prefetch) const {
    for (std::int64_t q = 0; q < tiling_.planes; ++q)
      A::multiply_gradients({.x = x + q * plane_,
                             .x_step = step_,
                             .depth = depth,
                             .dy = dy.at(dy_panel, 0, sums.width) + q * dy.plane(sums.width),
                             .tiles = tiles,
                             .width = sums.width,
                             .sums = sums.data + q * sums.plane,
                             .accumulate = accumulate,
                             .next = prefetch ? sums.data + (q + 1) * sums.plane : nullptr});
  }

  // Sums of input channels c0 ... c0 + n - 1 to their taps in dweight.
  void transform_sums(WinogradSums sums, std::int64_t panel_index, std::int64_t c0, std::int64_t n) const {
    const WinogradPanel panel = panels_[panel_index];
    for (; n > 0 && c0 < g_.c; c0 += sum_step, n -= sum_step, sums.data += sum_step * panel.width)
      A::transform_sums(tiling_.m, sums, panel, c0, std::min(sum_step, n), g_.c, dweight_);
  }

  const ConvGeometry& g_;
  const WinogradTiling tiling_;
  const WinogradPanels panels_;
  const typename A::Input in_;
  const typename A::Gradient dy_;
  Value* const dweight_;
  const std::int64_t depth_;
  const std::int64_t plane_,
      step_;  // of transformed tiles of x: to the next plane, to the next tiles_at_once

 private:
  static constexpr std::int64_t sum_step = 16;  // input channels that are transformed to taps at once

  void sum_chunk(const WinogradStages& stages, const Share& chunk, const Share& panels, float* sums) const {
    Value* x = A::scratch(stages.tiles / A::tiles_at_once * step_, 0);
    GradientTiles dy{nullptr, stages.tiles, tiling_.planes, panels_.width};
    dy.data = A::scratch(panels.size() * dy.panel(), 1);
    const std::int64_t sum_size = sum_panel(depth_);
    if (A::adds_to_sums) std::fill(sums + panels.begin * sum_size, sums + panels.end * sum_size, 0.0f);
    for (std::int64_t stage = chunk.begin; stage < chunk.end; ++stage) {
      const std::int64_t first = stage * stages.tiles, tiles = std::min(stages.tiles, tiling_.count - first);
      for (std::int64_t i = 0; i < tiles; i += A::tiles_at_once) {
        const auto at = places(first + i, first + tiles);
        A::transform_x(in_, tiling_.m, at, g_.padding, x + i / A::tiles_at_once * step_, plane_);
        A::transform_dy(dy_, tiling_.m, at, panels_, panels.begin, panels.end, dy, i);
      }
      for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
        const std::int64_t width = panels_[panel].width;
        multiply(x, depth_, dy, panel - panels.begin, tiles,
                 {sums + panel * sum_size, sum_plane(depth_, width), width}, stage > chunk.begin, true);
      }
    }
  }

  void add_chunks(float* all, std::int64_t chunks) const {
    const std::int64_t steps = ceil_div(depth_, sum_step), size = panels_.count() * sum_panel(depth_);
    parallel_for(panels_.count() * steps, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t panel = task / steps, c0 = task % steps * sum_step;
        const std::int64_t n = std::min(sum_step, depth_ - c0), width = panels_[panel].width;
        const WinogradSums sums{all + panel * sum_panel(depth_) + c0 * width, sum_plane(depth_, width),
                                width};
        for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
          vectorized([planes = tiling_.planes, sums, more = sums.data + chunk * size, count = n * width] {
            for (std::int64_t q = 0; q < planes; ++q)
              for (std::int64_t at = q * sums.plane; at < q * sums.plane + count; ++at)
                sums.data[at] += more[at];
          });
        transform_sums(sums, panel, c0, n);
      }
    });
  }
};

}  // namespace karyon::cpu
