#pragma once
#include <algorithm>
#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/chunks.h>
#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/parallel.h>
#include <karyon/core/storage.h>
#include <karyon/core/weight_cache.h>

// Private to core/cpu: 3 x 3 convolution with stride 1 by Winograd's minimal filtering F(m x m, 3 x 3). One
// schedule serves all; an arithmetic A (WinogradF32 or WinogradBf16) supplies the transforms and products.
//
// Transforms turn a tile of t x t inputs (t = m + 2) and a filter into t * t planes. In each plane the
// convolution is a product of matrices, [tiles, C] x [C, K]. It takes t * t multiplications, not 9 * m * m: a
// quarter for m = 4. Backward-data is the same with turned filters. Backward-weights is the transposed
// algorithm, [C, tiles] x [tiles, K] in each plane.
namespace karyon::cpu {

/// Images [n, h, w, c]. Tiles may reach beyond them: zeros are read there, and nothing is written.
template <class T>
struct WinogradImages {
  T* data;
  std::int64_t h, w, c;

  T* pixel(std::int64_t image, std::int64_t y, std::int64_t x) const {
    return data + ((image * h + y) * w + x) * c;
  }
  bool contains(std::int64_t y, std::int64_t x, std::int64_t size) const {
    return y >= 0 && x >= 0 && y + size <= h && x + size <= w;
  }
};

/// The first output of a tile.
struct WinogradPlace {
  std::int64_t image, y, x;

  /// The first input of its window.
  WinogradPlace window(Pair padding) const { return {image, y - padding.h, x - padding.w}; }
};

/// Tiles whose planes stay in the L2 cache while they are worked on.
struct WinogradStages {
  std::int64_t count, tiles;  // tiles in each but the last
};

/// How an output [n, h_out, w_out] is cut into tiles.
struct WinogradTiling {
  std::int64_t m, multiple;                // of tiles in a stage
  std::int64_t planes, rows, cols, count;  // t * t planes; tiles in an image; tiles in all

  WinogradTiling(std::int64_t m, std::int64_t multiple, std::int64_t n, std::int64_t h_out,
                 std::int64_t w_out);
  WinogradPlace place(std::int64_t tile) const {
    return {tile / (rows * cols), tile / cols % rows * m, tile % cols * m};
  }
  /// Moves `at` on to the next tile.
  void advance(WinogradPlace& at) const {
    at.x += m;
    if (at.x < cols * m) return;
    at.x = 0;
    at.y += m;
    if (at.y < rows * m) return;
    at.y = 0;
    ++at.image;
  }
  /// Stages of about `fit` tiles, but at least `least`.
  WinogradStages stages(std::int64_t fit, std::int64_t least) const;
  /// About as many stages as given, but the same number in each of `chunks`.
  WinogradStages even(const WinogradStages& stages, std::int64_t chunks) const;
};

constexpr std::int64_t winograd_tile_step = 28;  // fills the register tiles of every instruction set
/// Elements in 64 bytes, see WinogradPlan.
template <class T>
constexpr std::int64_t winograd_skew = 64 / static_cast<std::int64_t>(sizeof(T));

/// Output channels that a register tile multiplies at once.
struct WinogradPanel {
  std::int64_t first, outputs, width;  // width: outputs rounded up to whole vectors
};
struct WinogradPanels {
  std::int64_t channels, width, vector;

  std::int64_t count() const { return ceil_div(channels, width); }
  WinogradPanel operator[](std::int64_t i) const {
    const std::int64_t outputs = std::min(width, channels - i * width);
    return {i * width, outputs, round_up(outputs, vector)};
  }
};

/// The last step of all outputs. It has values for whole vectors, so no kernel reads beyond the end.
struct WinogradEpilogue {
  std::vector<float> scales, shifts;  // 1 and 0 where undefined
  float floor;
  FinishPass finish;  // steps after these

  WinogradEpilogue(const Tensor& scale, const Tensor& shift, bool relu, std::int64_t channels);
  WinogradEpilogue(const Tensor& scale, const Tensor& shift, const FinishPlan& last, const Tensor& y);
  Epilogue from(std::int64_t k) const { return {scales.data() + k, shifts.data() + k, floor}; }
};

/// Where outputs are written: to one tensor, or to the parts of a lazy cat, each of which begins a panel.
template <class T>
struct WinogradOutput {
  struct Part {
    Tensor held;
    T* data;
    std::int64_t first, channels;
  };
  std::int64_t n, h, w, c = 0;
  std::vector<Part> parts;

  explicit WinogradOutput(Tensor& y) : n(y.size(0)), h(y.size(1)), w(y.size(2)) {
    if (const auto joined = lazy_as<LazyCat>(y)) {
      for (const SavedTensor& part : joined->parts) add(part.get());
    } else {
      add(y);
    }
  }
  /// The images that hold channel k, from that channel on.
  WinogradImages<T> from(std::int64_t k) const {
    const auto part = std::find_if(parts.rbegin(), parts.rend(), [&](const Part& p) { return p.first <= k; });
    return {part->data + k - part->first, h, w, part->channels};
  }

 private:
  void add(Tensor y) {
    parts.push_back({y, y.data<T>(), c, y.size(-1)});
    c += y.size(-1);
  }
};

/// Filters [outputs][9][inputs] or, turned, [inputs][9][outputs] with the taps in reverse.
template <class T>
struct WinogradFilters {
  const Tensor& weight;
  std::int64_t inputs, outputs;
  bool turned;
  const T* data = weight.data<T>();
};

/// Sizes and strides of a convolution. Strides count elements, and `skew` keeps planes and tiles from sharing
/// cache sets.
struct WinogradPlan {
  WinogradTiling tiling;
  WinogradPanels panels;
  std::int64_t depth;         // input channels that the products run over
  std::int64_t skew;          // elements in 64 bytes
  std::int64_t plane, tile;   // from a plane or tile of transformed input to the next one
  std::int64_t product_tile;  // the same for products
  WinogradStages stages;
  /// Filters that only one stage uses are transformed just before use, a slice of the input channels at a
  /// time. The slice is still in the cache when it is multiplied.
  bool slices_filters;
  std::int64_t slice;  // input channels
  /// The chunks of a stage share its panels. With few stages, all threads transform the input first; then
  /// each takes panels of its own. Every output is summed in the same order, so the number of threads changes
  /// no bit.
  std::int64_t chunks;

  std::int64_t filter_plane(std::int64_t width) const { return slice * width + skew; }
  std::int64_t filter_panel() const { return tiling.planes * filter_plane(panels.width); }
};

template <class A>
WinogradPlan winograd_plan(const WinogradTiling& tiling, std::int64_t c, std::int64_t k, bool keeps_filters) {
  WinogradPlan plan{.tiling = tiling, .panels = {k, A::panel_width(), A::vector()}, .depth = A::depth(c)};
  plan.skew = winograd_skew<typename A::Value>;
  plan.plane = round_up(c, A::vector()) + plan.skew;
  plan.tile = tiling.planes * plan.plane;
  plan.product_tile = tiling.planes * plan.panels.width + winograd_skew<float>;
  plan.stages = tiling.stages(A::stage_bytes / A::tile_bytes(plan), winograd_tile_step);
  plan.slices_filters = plan.stages.count == 1 && !keeps_filters;
  plan.slice = plan.slices_filters ? std::min(plan.depth, A::filter_slice) : plan.depth;
  plan.chunks =
      std::clamp<std::int64_t>(ceil_div(4 * num_threads(), plan.stages.count), 1, plan.panels.count());
  return plan;
}

/// One convolution, forward or backward-data. The arithmetic A has
///   Value, dtype           of images and of transformed tiles and filters; products are f32
///   Input                  images to read, and their transform
///   OutputPanel            the transform of products to outputs, and their sums for moments
///   tile_size              m for an output
///   panel_width(), vector()
///   depth(c)               input channels that products run over
///   stage_bytes            of transformed tiles and their products, at tile_bytes(plan) each
///   transform_filter       for up to filter_step input channels of a panel
///   multiply               [tiles, C] x [C, K] in one plane
///   nontemporal            whether outputs are so large that non-temporal stores pay
template <class A>
class WinogradConv {
 public:
  using Value = typename A::Value;

  /// `keep_filters`: later calls may use the transformed filters, too.
  WinogradConv(const Tensor& x, Tensor& y, const WinogradFilters<Value>& filters, Pair padding,
               const WinogradEpilogue& epilogue, bool keep_filters)
      : in_(x),
        out_(y),
        filters_(filters),
        padding_(padding),
        epilogue_(epilogue),
        tiling_(A::tile_size(out_.h, out_.w), A::tiles_at_once, out_.n, out_.h, out_.w),
        key_{1, tiling_.m, filters.turned, in_.c, out_.c, filters.weight.impl()->offset},
        keeps_filters_(keep_filters && tiling_.count <= most_tiles_kept && used_before(filters.weight, key_)),
        plan_(winograd_plan<A>(tiling_, in_.c, out_.c, keeps_filters_)),
        nontemporal_(A::nontemporal(out_) && !epilogue.finish.needed()) {}

  /// Computes y. Returns the moments of its channels if asked to.
  std::shared_ptr<ChannelMoments> run(bool with_moments) {
    if (tiling_.count == 0) return nullptr;
    if (keeps_filters_) {
      transformed_filters_ = kept_filters(filters_.weight, key_, [&] { return transform_filters(); });
    } else if (!plan_.slices_filters) {
      transformed_filters_ = transform_filters();
    }
    if (plan_.chunks > 1) transformed_input_ = transform_input();
    if (with_moments) moments_.emplace(plan_.stages.count, out_.c);
    parallel_for(plan_.stages.count * plan_.chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) run_chunk(task / plan_.chunks, task % plan_.chunks);
      if (nontemporal_) hwy::FlushStream();  // before another thread may read the outputs
    });
    return moments_ ? moments_->join() : nullptr;
  }

 private:
  static constexpr std::int64_t most_tiles_kept = 1024;  // up to which transformed filters are worth keeping

  void run_chunk(std::int64_t stage, std::int64_t chunk) {
    const std::int64_t first = stage * plan_.stages.tiles,
                       tiles = std::min(plan_.stages.tiles, tiling_.count - first);
    float* products = scratch(plan_.stages.tiles * plan_.product_tile, 1);
    const Value* planes;
    if (transformed_input_.defined()) {
      planes = std::as_const(transformed_input_).template data<Value>() + first * plan_.tile;
    } else {
      Value* own = A::scratch(plan_.stages.tiles * plan_.tile, 0);
      transform_input(first, tiles, own);
      planes = own;
    }
    const Share panels(chunk, plan_.chunks, plan_.panels.count());
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel) {
      multiply(planes, tiles, panel, products);
      transform_output(products, first, tiles, panel);
    }
  }

  // All filters: [panel][plane][input channel][width of the panel].
  Tensor transform_filters() const {
    Tensor all = empty({plan_.panels.count() * plan_.filter_panel()}, {.dtype = A::dtype});
    Value* to = all.data<Value>();
    const std::int64_t steps = ceil_div(plan_.depth, A::filter_step);
    parallel_for(plan_.panels.count() * steps, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t panel = task / steps, c0 = task % steps * A::filter_step;
        transform_filters(plan_.panels[panel], c0, std::min(A::filter_step, plan_.depth - c0),
                          to + panel * plan_.filter_panel() + c0 * plan_.panels[panel].width);
      }
    });
    return all;
  }
  // Those of one panel for input channels c0 ... c0 + n - 1.
  void transform_filters(const WinogradPanel& panel, std::int64_t c0, std::int64_t n, Value* planes) const {
    const std::int64_t plane = plan_.filter_plane(panel.width);
    for (; n > 0; c0 += A::filter_step, n -= A::filter_step, planes += A::filter_step * panel.width)
      A::transform_filter(tiling_.m, filters_, panel, c0, std::min(A::filter_step, n), planes, plane);
  }

  // All tiles of the input: [tile][plane][channel].
  Tensor transform_input() const {
    Tensor all = empty({tiling_.count * plan_.tile}, {.dtype = A::dtype});
    Value* to = all.data<Value>();
    parallel_for(tiling_.count, 4, [&](std::int64_t begin, std::int64_t end) {
      transform_input(begin, end - begin, to + begin * plan_.tile);
    });
    return all;
  }
  void transform_input(std::int64_t first, std::int64_t tiles, Value* planes) const {
    WinogradPlace at = tiling_.place(first);
    for (std::int64_t i = 0; i < tiles; ++i, tiling_.advance(at))
      in_.transform(tiling_.m, at.window(padding_), planes + i * plan_.tile, plan_.plane);
  }

  // Products of transformed tiles with the filters of a panel: [tile][plane][width of the panel].
  void multiply(const Value* planes, std::int64_t tiles, std::int64_t panel_index, float* products) const {
    const WinogradPanel panel = plan_.panels[panel_index];
    const std::int64_t filter_plane = plan_.filter_plane(panel.width);
    for (std::int64_t c0 = 0; c0 < plan_.depth; c0 += plan_.slice) {
      const Run run{.offset = 0, .length = std::min(plan_.slice, plan_.depth - c0)};
      const Value* filters;
      if (plan_.slices_filters) {
        Value* slice = A::scratch(plan_.filter_panel(), 3);
        transform_filters(panel, c0, run.length, slice);
        filters = slice;
      } else {
        filters = transformed_filters_.data<Value>() + panel_index * plan_.filter_panel();
      }
      for (std::int64_t q = 0; q < tiling_.planes; ++q)
        A::multiply({.x = planes + q * plan_.plane + c0,
                     .x_pixel = plan_.tile,
                     .runs = &run,
                     .run_count = 1,
                     .filter = filters + q * filter_plane,
                     .y_pixel = plan_.product_tile,
                     .cols = tiles,
                     .outputs = panel.width,
                     .accumulate = c0 > 0,
                     .ahead = filter_plane},
                    products + q * panel.width);
    }
  }

  void transform_output(const float* products, std::int64_t first, std::int64_t tiles,
                        std::int64_t panel_index) {
    const WinogradPanel panel = plan_.panels[panel_index];
    const std::int64_t stage = first / plan_.stages.tiles;
    typename A::OutputPanel to{tiling_.m, out_.from(panel.first), panel, epilogue_.from(panel.first),
                               nontemporal_};
    if (moments_) to.start_sums(products, *moments_, stage);
    std::int64_t pixels = 0;
    WinogradPlace at = tiling_.place(first);
    for (std::int64_t i = 0; i < tiles; ++i, tiling_.advance(at)) {
      to.transform(products + i * plan_.product_tile, at);
      const std::int64_t rows = std::min(tiling_.m, out_.h - at.y), cols = std::min(tiling_.m, out_.w - at.x);
      pixels += rows * cols;
      if (!epilogue_.finish.needed()) continue;
      const WinogradImages<Value> images = out_.from(panel.first);
      epilogue_.finish.run(images.pixel(at.image, at.y, at.x), {.channels = panel.outputs,
                                                                .pixels = cols,
                                                                .pixel_step = images.c,
                                                                .rows = rows,
                                                                .row_step = images.w * images.c});
    }
    if (!moments_) return;
    to.keep_sums(*moments_, stage);
    if (panel_index == 0) moments_->count(stage, pixels);
  }

  const typename A::Input in_;
  const WinogradOutput<Value> out_;
  const WinogradFilters<Value> filters_;
  const Pair padding_;
  const WinogradEpilogue epilogue_;
  const WinogradTiling tiling_;
  const FilterKey key_;
  const bool keeps_filters_;
  const WinogradPlan plan_;
  const bool nontemporal_;
  Tensor transformed_filters_;  // unless they are transformed in slices
  Tensor transformed_input_;    // if the chunks of a stage share it
  std::optional<UnitMoments> moments_;
};

template <class A>
void winograd_forward(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                      const WinogradEpilogue& epilogue, bool with_moments, Tensor& y) {
  WinogradConv<A> conv(x, y, {weight, g.c, g.k, false}, g.padding, epilogue, hints.keep_filters);
  if (auto moments = conv.run(with_moments)) y.impl()->storage->set_cache(std::move(moments));
}

template <class A>
void winograd_backward_data(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                            const Tensor& weight, const Tensor& bias, Tensor& dx) {
  const Pair padding{2 - g.padding.h, 2 - g.padding.w};
  WinogradConv<A>(dy, dx, {weight, g.k, g.c, true}, padding, {{}, bias, false, g.c}, hints.keep_filters)
      .run(false);
}

}  // namespace karyon::cpu
