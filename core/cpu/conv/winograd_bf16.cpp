// Winograd's convolution in bf16: F(4 x 4, 3 x 3) with planes in bf16 and AVX512_BF16's dot products. Planes
// are half as large as in f32, and products take half the instructions. The dot products take pairs: of
// channels forward, of tiles in backward-weights.
#include <algorithm>
#include <cstdint>
#include <utility>
#include <vector>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/conv/transforms_bf16.h>
#include <karyon/core/cpu/conv/winograd_weight.h>
#include <karyon/core/cpu/lazy_pixels.h>
#include <karyon/core/cpu/simd/simd.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t winograd_m = 4;
constexpr BFloat16 zero_panel[bf16_block] = {};
using WinogradBf16Images = WinogradImages<const BFloat16>;

// The pixels of a size x size window: `outside` for those beyond the image. At the border they are listed.
template <std::size_t size, class T>
Bf16Pixels<T> winograd_pixels(const WinogradImages<T>& images, const WinogradPlace& at, T* outside,
                              T* (&list)[size * size]) {
  if (images.contains(at.y, at.x, size))
    return {images.pixel(at.image, at.y, at.x), images.w * images.c, images.c};
  T** to = list;
  for (std::int64_t y = at.y; y < at.y + std::int64_t{size}; ++y)
    for (std::int64_t x = at.x; x < at.x + std::int64_t{size}; ++x) {
      const bool inside = y >= 0 && y < images.h && x >= 0 && x < images.w;
      *to++ = inside ? images.pixel(at.image, y, x) : outside;
    }
  return {.each = list};
}

// Images to read: the parts of a lazy cat, and lazy batch norms with their ReLU.
class WinogradBf16Input {
 public:
  std::int64_t c = 0;

  explicit WinogradBf16Input(const Tensor& x)
      : h_(x.size(1)), w_(x.size(2)), zeros_(static_cast<std::size_t>(round_up(x.size(-1), bf16_block))) {
    const auto joined = lazy_as<LazyCat>(x);
    const bool apart = joined && std::ranges::all_of(joined->parts, [](const SavedTensor& part) {
                         return part.get().size(-1) % bf16_block == 0;
                       });
    if (!apart) add(x);
    for (std::size_t i = 0; apart && i < joined->parts.size(); ++i) add(joined->parts[i].get());
  }

  void transform(std::int64_t, const WinogradPlace& at, BFloat16* planes, std::int64_t plane) const {
    for (const Part& part : parts_) {
      const BFloat16* list[36];
      winograd_bf16_input(winograd_pixels<6>(part.images, at, zeros_.data(), list), norm(part, 0),
                          part.images.c, 8 * part.images.c, {planes + part.first, plane, bf16_block});
    }
  }
  // Two tiles, for channels c0 ... c0 + n - 1: whole panels.
  void transform_pair(const std::array<WinogradPlace, 2>& at, Pair padding, std::int64_t c0, std::int64_t n,
                      const Bf16Planes& to) const {
    const BFloat16* list[2][36];
    for (const Part& part : parts_) {
      const std::int64_t first = std::max(c0 - part.first, std::int64_t{0});
      const std::int64_t channels = std::min(c0 + n - part.first, part.images.c) - first;
      if (channels <= 0) continue;
      WinogradBf16Images images = part.images;
      images.data += first;
      const Bf16In pixels[2] = {winograd_pixels<6>(images, at[0].window(padding), zeros_.data(), list[0]),
                                winograd_pixels<6>(images, at[1].window(padding), zeros_.data(), list[1])};
      winograd_bf16_input_pair(
          pixels, norm(part, first), channels, 8 * images.c,
          {to.data + (part.first + first - c0) / bf16_block * to.block, to.plane, to.block});
    }
  }

 private:
  struct Part {
    Tensor held;
    WinogradBf16Images images;
    std::int64_t first;          // channel
    std::vector<float> factors;  // those of a batch norm, see Bf16Norm
  };

  Bf16Norm norm(const Part& part, std::int64_t channel) const {
    return {part.factors.empty() ? nullptr : part.factors.data() + 2 * channel, zeros_.data()};
  }
  void add(const Tensor& x) {
    const LazyPixels<BFloat16> pixels(x);
    Part part{pixels.held[0], {pixels.data, h_, w_, pixels.channels}, c, {}};
    for (std::int64_t block = 0; !pixels.in_memory() && block < pixels.channels; block += bf16_block)
      for (const float* values : {pixels.scale, pixels.shift})
        for (std::int64_t odd = 0; odd < 2; ++odd)
          for (std::int64_t i = odd; i < bf16_block; i += 2) part.factors.push_back(values[block + i]);
    parts_.push_back(std::move(part));
    c += x.size(-1);
  }

  std::int64_t h_, w_;
  std::vector<BFloat16> zeros_;  // a pixel beyond the images
  std::vector<Part> parts_;
};

// A panel of outputs to write.
struct WinogradBf16OutputPanel {
  const std::int64_t m;
  const WinogradImages<BFloat16> to;
  const WinogradPanel panel;
  const Epilogue epilogue;
  const bool nontemporal;
  std::optional<Bf16Sums> sums = {};              // if moments are wanted
  alignas(64) BFloat16 outside[bf16_block] = {};  // takes outputs beyond the image

  // Sums are taken around the first output.
  void start_sums(const float* products, UnitMoments&, std::int64_t) {
    alignas(64) BFloat16 tile[16][bf16_block];
    winograd_bf16_output(products, epilogue, {tile[0], 4 * bf16_block, bf16_block}, bf16_block, false);
    sums.emplace(Bf16Sums{.outside = outside});
    for (std::int64_t k = 0; k < bf16_block; ++k) sums->centre[lane(k)] = static_cast<float>(tile[0][k]);
  }
  void transform(const float* products, const WinogradPlace& at) {
    BFloat16* list[16];
    winograd_bf16_output(products, epilogue, winograd_pixels<4>(to, at, outside, list), panel.outputs,
                         nontemporal, sums ? &*sums : nullptr);
  }
  void keep_sums(UnitMoments& moments, std::int64_t stage) const {
    for (std::int64_t k = 0; k < panel.outputs; ++k) {
      moments.centre(stage, panel.first)[k] = sums->centre[lane(k)];
      moments.sum(stage, panel.first)[k] = sums->sum[lane(k)];
      moments.squares(stage, panel.first)[k] = sums->squares[lane(k)];
    }
  }
  static std::int64_t lane(std::int64_t k) { return k % 2 * 16 + k / 2; }
};

struct WinogradBf16Gradient {
  WinogradBf16Images images;
  std::vector<BFloat16> zeros;

  explicit WinogradBf16Gradient(const Tensor& dy)
      : images{dy.data<BFloat16>(), dy.size(1), dy.size(2), dy.size(3)},
        zeros(static_cast<std::size_t>(round_up(dy.size(3), bf16_block))) {}
};

struct WinogradBf16 {
  using Value = BFloat16;
  using Input = WinogradBf16Input;
  using OutputPanel = WinogradBf16OutputPanel;
  using Gradient = WinogradBf16Gradient;
  using Places = std::array<WinogradPlace, 2>;
  static constexpr DType dtype = bf16;
  static constexpr std::int64_t stage_bytes = 480 * 1024;  // of transformed tiles and products, of a 1 MiB L2
  static constexpr std::int64_t filter_slice = 256, filter_step = 32;
  static constexpr std::int64_t tiles_at_once = 2;
  static constexpr bool adds_to_sums = true;

  static std::int64_t panel_width() { return bf16_block; }
  static std::int64_t vector() { return bf16_block; }
  static std::int64_t depth(std::int64_t c) { return round_up(c, bf16_block); }
  static BFloat16* scratch(std::int64_t count, int slot) { return bf16_scratch(count, slot); }
  static std::int64_t tile_size(std::int64_t, std::int64_t) { return winograd_m; }
  static std::int64_t tile_bytes(const WinogradPlan& plan) { return plan.tile * 2 + plan.product_tile * 4; }
  static bool nontemporal(const WinogradOutput<BFloat16>& out) {
    return out.n * out.h * out.w * out.c >= nontemporal_floats && out.h % winograd_m == 0 &&
           out.w % winograd_m == 0 && std::ranges::all_of(out.parts, [](const auto& part) {
             return part.channels % bf16_block == 0 && reinterpret_cast<std::uintptr_t>(part.data) % 64 == 0;
           });
  }

  // Planes hold pairs of channels; values beyond the filters are 0.
  static void transform_filter(std::int64_t, const WinogradFilters<BFloat16>& f, const WinogradPanel& panel,
                               std::int64_t c0, std::int64_t n, BFloat16* to, std::int64_t plane) {
    f.turned ? transform_turned(f, panel, c0, n, to, plane) : transform_forward(f, panel, c0, n, to, plane);
  }
  static void multiply(const Bf16Tiles& tiles, float* products) { bf16_forward_tiles(tiles, products); }

  static void transform_x(const Input& in, std::int64_t, const Places& at, Pair padding, BFloat16* planes,
                          std::int64_t plane) {
    in.transform_pair(at, padding, 0, depth(in.c), {planes, plane, 2 * bf16_block});
  }
  static void transform_dy(const Gradient& dy, std::int64_t, const Places& at, const WinogradPanels& panels,
                           std::int64_t first, std::int64_t last, const WinogradGradientTiles<BFloat16>& to,
                           std::int64_t tile) {
    const std::int64_t k0 = first * bf16_block, outputs = std::min(last * bf16_block, panels.channels) - k0;
    WinogradBf16Images images = dy.images;
    images.data += k0;
    const BFloat16* list[2][16];
    const Bf16In pixels[2] = {winograd_pixels<4>(images, at[0], dy.zeros.data(), list[0]),
                              winograd_pixels<4>(images, at[1], dy.zeros.data(), list[1])};
    winograd_bf16_gradient_pair(pixels, outputs, 8 * images.c,
                                {to.at(0, tile, bf16_block), to.plane(bf16_block), to.panel()});
  }
  static void multiply_gradients(const WinogradWeightProduct<BFloat16>& p) {
    bf16_weight_tiles({.x = p.x,
                       .x_pair = p.x_step,
                       .elements = p.depth,
                       .dy = p.dy,
                       .pairs = ceil_div(p.tiles, 2),
                       .sums = p.sums,
                       .next = p.next});
  }
  static void transform_sums(std::int64_t, const WinogradSums& sums, const WinogradPanel& panel,
                             std::int64_t c0, std::int64_t, std::int64_t c, BFloat16* weight) {
    alignas(64) float taps[9][16 * bf16_block];
    winograd_bf16_filter_gradient(sums.data, sums.plane, taps[0], 16 * bf16_block, 16 * bf16_block);
    for (std::int64_t t = 0; t < 9; ++t)
      for (std::int64_t k = 0; k < panel.outputs; k += 16)
        transpose_rounded(taps[t] + k, bf16_block, weight + ((panel.first + k) * 9 + t) * c + c0, 9 * c,
                          panel.outputs - k, c - c0);
  }

 private:
  // From [inputs][9][outputs]: outputs are side by side already.
  static void transform_turned(const WinogradFilters<BFloat16>& f, const WinogradPanel& panel,
                               std::int64_t c0, std::int64_t n, BFloat16* to, std::int64_t plane) {
    for (std::int64_t c = c0; c < c0 + n; c += 2, to += 2 * bf16_block) {
      const BFloat16* taps[2][9];
      for (std::int64_t i = 0; i < 2; ++i)
        for (std::int64_t t = 0; t < 9; ++t)
          taps[i][t] =
              c + i < f.inputs ? f.data + ((c + i) * 9 + 8 - t) * f.outputs + panel.first : zero_panel;
      winograd_bf16_filter_pair(taps, panel.outputs, {to, plane, 2 * bf16_block});
    }
  }
  // From [outputs][9][inputs]: pairs of inputs are transposed first.
  static void transform_forward(const WinogradFilters<BFloat16>& f, const WinogradPanel& panel,
                                std::int64_t c0, std::int64_t n, BFloat16* to, std::int64_t plane) {
    alignas(64) BFloat16 taps[9][16][64];  // pairs of channels, of 32 outputs
    alignas(64) BFloat16 spare[16][32];
    const std::int64_t channels = std::min(n, f.inputs - c0);
    for (std::int64_t t = 0; t < 9; ++t)
      for (std::int64_t half = 0; half < 2; ++half) {
        const BFloat16* from = f.data + ((panel.first + 16 * half) * 9 + t) * f.inputs + c0;
        std::int64_t row = 9 * f.inputs;
        if (const std::int64_t k = panel.outputs - 16 * half; k < 16 || channels < 32) {
          for (std::int64_t i = 0; i < 16; ++i)
            for (std::int64_t j = 0; j < 32; ++j)
              spare[i][j] = i < k && j < channels ? from[i * row + j] : BFloat16();
          from = spare[0];
          row = 32;
        }
        transpose_pairs(from, row, taps[t][0] + 32 * half, 64);
      }
    for (std::int64_t pair = 0; pair < 16; ++pair, to += 2 * bf16_block) {
      const BFloat16* of_pair[9];
      for (std::int64_t t = 0; t < 9; ++t) of_pair[t] = taps[t][pair];
      winograd_bf16_filter(of_pair, 64, {to, plane, 32});
    }
  }
};

class WinogradBf16WeightGradient : public WinogradWeightGradient<WinogradBf16> {
 public:
  using WinogradWeightGradient::WinogradWeightGradient;

  void run() const {
    constexpr std::int64_t most_sums = 256 * 1024;  // floats that the L2 cache holds beside a stage
    constexpr std::int64_t chunks = 8;
    const WinogradStages wanted = stages(winograd_tile_step);
    if (tiling_.planes * depth_ * panels_.count() * bf16_block <= most_sums && wanted.count >= chunks) {
      sum_in_chunks(wanted, chunks, 1);
    } else {
      sum_in_stages();
    }
  }

 private:
  static constexpr std::int64_t side = 2;  // panels of x and of dy that are multiplied at once

  // How tasks share the panels of x and of dy, and how tiles are cut into stages.
  struct StagePlan {
    std::int64_t c_panels, k_panels, c_tasks, k_tasks, pairs, stages, stage_pairs;
  };
  StagePlan stage_plan() const {
    constexpr std::int64_t least_bytes = 1 << 20, most_bytes = 6 << 20;  // of transformed tiles in a stage
    StagePlan p{.c_panels = depth_ / bf16_block, .k_panels = panels_.count()};
    // Tasks are as even as panels allow; their number changes no bit.
    const std::int64_t threads = num_threads(), even = p.c_panels % threads == 0 ? threads : 2 * threads;
    p.c_tasks = std::min(std::max(even, ceil_div(p.c_panels, std::int64_t{8})), p.c_panels);
    p.k_tasks = std::min(ceil_div(threads, p.c_tasks), p.k_panels);
    p.pairs = ceil_div(tiling_.count, 2);
    // As many bytes of transformed tiles as there are of sums.
    const std::int64_t c_share = ceil_div(p.c_panels, p.c_tasks), k_share = ceil_div(p.k_panels, p.k_tasks);
    const std::int64_t panel_bytes = tiling_.planes * 4 * bf16_block;
    const std::int64_t fit =
        std::clamp(panel_bytes * bf16_block * c_share * k_share, least_bytes, most_bytes) /
        (panel_bytes * (c_share + side));
    p.stages = ceil_div(p.pairs, std::max<std::int64_t>(fit, 64));
    p.stage_pairs = ceil_div(p.pairs, p.stages);
    return p;
  }

  // For sums that do not fit the cache. A task has channels of its own, for which it transforms x. Its stages
  // are so long that the products take longer than fetching the sums. Each task transforms dy again: without
  // a common cache that is cheaper than sharing it.
  void sum_in_stages() const {
    const StagePlan p = stage_plan();
    // [panel of channels][panel of outputs], unless one stage holds all tiles.
    Tensor kept = p.stages > 1 ? zeros({p.c_panels * p.k_panels * sum_panel(bf16_block)}) : Tensor();
    float* const sums = kept.defined() ? kept.data<float>() : nullptr;
    parallel_for(p.c_tasks * p.k_tasks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task)
        sum_panels(p, {task / p.k_tasks, p.c_tasks, p.c_panels}, {task % p.k_tasks, p.k_tasks, p.k_panels},
                   sums);
    });
  }
  void sum_panels(const StagePlan& p, const Share& c, const Share& k, float* kept) const {
    GradientTiles x{nullptr, 2 * p.stage_pairs, tiling_.planes, bf16_block}, dy = x;
    Tensor transformed = empty({(c.size() + side) * x.panel()}, {.dtype = bf16});
    x.data = transformed.data<BFloat16>();
    dy.data = x.data + c.size() * x.panel();
    for (std::int64_t stage = 0; stage < p.stages; ++stage) {
      const std::int64_t first = stage * p.stage_pairs, pairs = std::min(p.stage_pairs, p.pairs - first);
      for (std::int64_t i = 0; i < pairs; ++i)
        in_.transform_pair(places(2 * (first + i), tiling_.count), g_.padding, c.begin * bf16_block,
                           c.size() * bf16_block,
                           {x.at(0, 2 * i, bf16_block), x.plane(bf16_block), x.panel()});
      for (std::int64_t k0 = k.begin; k0 < k.end; k0 += side) {
        const std::int64_t k1 = std::min(k0 + side, k.end);
        for (std::int64_t i = 0; i < pairs; ++i)
          WinogradBf16::transform_dy(dy_, winograd_m, places(2 * (first + i), tiling_.count), panels_, k0, k1,
                                     dy, 2 * i);
        for (std::int64_t c0 = c.begin; c0 < c.end; c0 += side) {
          GradientTiles of_c = x;
          of_c.data = x.at(c0 - c.begin, 0, bf16_block);
          multiply_square(of_c, dy, 2 * pairs, {c0, std::min(side, c.end - c0), k0, k1 - k0},
                          kept ? kept + (c0 * p.k_panels + k0) * sum_panel(bf16_block) : nullptr, p.k_panels,
                          stage == p.stages - 1);
        }
      }
    }
  }

  // Some panels of x and of dy: the first one, and how many.
  struct Square {
    std::int64_t c, c_panels, k, k_panels;
  };
  // Sums of several stages are kept in rows of `kept_row` panels; others are new and go to taps at once.
  void multiply_square(const GradientTiles& x, const GradientTiles& dy, std::int64_t tiles,
                       const Square& square, float* kept, std::int64_t kept_row, bool last_stage) const {
    const std::int64_t plane = sum_plane(bf16_block, bf16_block), panel = sum_panel(bf16_block);
    float* const all = kept ? kept : cpu::scratch(side * side * panel, 0);
    if (!kept) std::fill_n(all, side * side * panel, 0.0f);
    const auto sums = [&](std::int64_t i, std::int64_t j) {
      return all + (i * (kept ? kept_row : side) + j) * panel;
    };
    for (std::int64_t q = 0; q < tiling_.planes; ++q)
      for (std::int64_t i = 0; i < square.c_panels; ++i)
        for (std::int64_t j = 0; j < square.k_panels; ++j)
          WinogradBf16::multiply_gradients({.x = x.at(i, 0, bf16_block) + q * x.plane(bf16_block),
                                            .x_step = 2 * bf16_block,
                                            .depth = bf16_block,
                                            .dy = dy.at(j, 0, bf16_block) + q * dy.plane(bf16_block),
                                            .tiles = tiles,
                                            .width = bf16_block,
                                            .sums = sums(i, j) + q * plane,
                                            .next = kept ? sums(i, j) + (q + 1) * plane : nullptr});
    for (std::int64_t i = 0; i < square.c_panels && last_stage; ++i)
      for (std::int64_t j = 0; j < square.k_panels; ++j)
        transform_sums({sums(i, j), plane, bf16_block}, square.k + j, (square.c + i) * bf16_block,
                       bf16_block);
  }
};

}  // namespace

const char* conv2d_winograd_bf16_refuse(const ConvGeometry& g, DType dtype) {
  if (dtype != bf16) return "is written for bf16";
  if (!has_bf16_dot()) return "the processor has no dot products of bf16";
  if (g.h_out < winograd_m || g.w_out < winograd_m) return "tiles of 4 x 4 would be mostly padding";
  return conv2d_winograd_refuse(g, f32);
}

void conv2d_winograd_bf16(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                          const Tensor& weight, const Tensor& bias, Tensor& y) {
  winograd_forward<WinogradBf16>(g, hints, x, weight, {{}, bias, false, g.k}, hints.moments, y);
}

void conv2d_affine_winograd_bf16(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                                 const Tensor& weight, const Tensor& scale, const Tensor& shift,
                                 const ConvFinish& finish, Tensor& y) {
  winograd_forward<WinogradBf16>(
      g, hints, x, weight, {scale, shift, FinishPlan(finish, none_or_relu(finish.activation)), y}, false, y);
}

void conv2d_backward_data_winograd_bf16(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                                        const Tensor& weight, const Tensor& bias, Tensor& dx) {
  winograd_backward_data<WinogradBf16>(g, hints, dy, weight, bias, dx);
}

void conv2d_backward_weight_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                          Tensor& dweight) {
  WinogradBf16WeightGradient(g, x, dy, dweight).run();
}

}  // namespace karyon::cpu
