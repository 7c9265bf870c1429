// Winograd's convolution in f32, for every instruction set: tiles of 4 x 4 outputs or, for small images, 2 x
// 2.
#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/winograd_weight.h>
#include <karyon/core/cpu/simd/simd.h>

namespace karyon::cpu {
namespace {

constexpr int window_slot = 2;  // slot of scratch: copies of windows that transforms use

// A window of an image that a transform can read.
struct WinogradWindow {
  const float* data;
  Grid at;
  const float *scale, *shift;
};

// The size x size window at `at` of channels first ... first + channels - 1, in place. A window that reaches
// beyond the image or the last whole vector is copied, `width` channels wide, with zeros for missing values.
// A part with an affine function is read whole: first is 0, and both widths are its channels.
WinogradWindow winograd_window(const WinogradImages<const float>& from, const ImagePart& part,
                               const WinogradPlace& at, std::int64_t size, std::int64_t first,
                               std::int64_t channels, std::int64_t width) {
  if (width == channels && from.contains(at.y, at.x, size))
    return {from.pixel(at.image, at.y, at.x) + first, {from.w * from.c, from.c}, part.scale, part.shift};
  float* const copy = scratch(size * size * width, window_slot);
  const std::int64_t left = std::clamp<std::int64_t>(-at.x, 0, size),
                     right = std::clamp<std::int64_t>(from.w - at.x, left, size);
  float* to = copy;
  for (std::int64_t y = at.y; y < at.y + size; ++y, to += size * width) {
    if (y < 0 || y >= from.h || left == right) {
      std::fill_n(to, size * width, 0.0f);
      continue;
    }
    const float* row = from.pixel(at.image, y, at.x) + first;
    std::fill_n(to, left * width, 0.0f);
    if (width == from.c) {
      read_pixels(part, row + left * from.c, right - left, to + left * width);
    } else {
      for (std::int64_t j = left; j < right; ++j) {
        std::memcpy(to + j * width, row + j * from.c, static_cast<std::size_t>(channels) * sizeof(float));
        std::fill_n(to + j * width + channels, width - channels, 0.0f);
      }
    }
    std::fill_n(to + right * width, (size - right) * width, 0.0f);
  }
  return {copy, {size * width, width}, nullptr, nullptr};
}

// Images to read: the parts of a lazy cat, and lazy batch norms with their ReLU.
struct WinogradF32Input {
  const std::int64_t h, w, c;
  const ConvInput from;

  explicit WinogradF32Input(const Tensor& x)
      : h(x.size(1)), w(x.size(2)), c(x.size(3)), from(conv_input(x, true)) {}

  void transform(std::int64_t m, const WinogradPlace& at, float* planes, std::int64_t plane) const {
    for (const ImagePart& part : from.parts) {
      const std::int64_t width = round_up(part.channels, simd_lanes());
      const WinogradWindow window =
          winograd_window({part.data, h, w, part.channels}, part, at, m + 2, 0, part.channels, width);
      winograd_input(m, window.data, window.at, window.scale, window.shift, planes + part.first, plane,
                     width);
    }
  }
};

struct WinogradF32Gradient {
  const WinogradImages<const float> images;

  explicit WinogradF32Gradient(const Tensor& dy)
      : images{dy.data<float>(), dy.size(1), dy.size(2), dy.size(3)} {}
};

// A panel of outputs to write.
struct WinogradF32OutputPanel {
  const std::int64_t m;
  const WinogradImages<float> to;
  const WinogradPanel panel;
  const Epilogue epilogue;
  const bool nontemporal;
  float* const spare = scratch(m * m * panel.width, window_slot);
  TileSums sums = {};  // in the moments, if asked for

  // Sums are taken around the first output.
  void start_sums(const float* products, UnitMoments& moments, std::int64_t stage) {
    transform_to_spare(products);
    sums = {moments.centre(stage, panel.first), moments.sum(stage, panel.first),
            moments.squares(stage, panel.first)};
    std::copy_n(spare, panel.width, moments.centre(stage, panel.first));
  }
  void keep_sums(UnitMoments&, std::int64_t) const {}

  void transform(const float* products, const WinogradPlace& at) {
    float* first = to.pixel(at.image, at.y, at.x);
    if (panel.outputs == panel.width && to.contains(at.y, at.x, m)) {
      winograd_output(m, products, panel.width, epilogue, first, {to.w * to.c, to.c}, panel.width,
                      nontemporal, sums.centre ? &sums : nullptr);
    } else {
      transform_to_spare(products);
      copy_inside(first, std::min(m, to.h - at.y), std::min(m, to.w - at.x));
    }
  }

 private:
  void transform_to_spare(const float* products) const {
    winograd_output(m, products, panel.width, epilogue, spare, {m * panel.width, panel.width}, panel.width,
                    false);
  }
  // For a tile that reaches beyond the image or the last whole vector.
  void copy_inside(float* first, std::int64_t rows, std::int64_t cols) const {
    for (std::int64_t row = 0; row < rows; ++row)
      for (std::int64_t col = 0; col < cols; ++col)
        for (std::int64_t k = 0; k < panel.outputs; ++k) {
          const float value = spare[(row * m + col) * panel.width + k];
          first[(row * to.w + col) * to.c + k] = value;
          if (!sums.centre) continue;
          const float off = value - sums.centre[k];
          sums.sum[k] += off;
          sums.squares[k] += off * off;
        }
  }
};

struct WinogradF32 {
  using Value = float;
  using Input = WinogradF32Input;
  using Gradient = WinogradF32Gradient;
  using OutputPanel = WinogradF32OutputPanel;
  using Places = std::array<WinogradPlace, 1>;
  static constexpr DType dtype = f32;
  static constexpr std::int64_t stage_bytes = 640 * 1024;  // part of a 1 MiB L2 cache
  static constexpr std::int64_t filter_slice = 128, filter_step = 16;
  static constexpr std::int64_t tiles_at_once = 1;
  static constexpr bool adds_to_sums = false;

  static std::int64_t panel_width() { return conv_panel_width(); }
  static std::int64_t vector() { return simd_lanes(); }
  static std::int64_t depth(std::int64_t c) { return c; }
  static float* scratch(std::int64_t count, int slot) { return cpu::scratch(count, slot); }
  // The one with fewer multiplications.
  static std::int64_t tile_size(std::int64_t h_out, std::int64_t w_out) {
    const auto multiplications = [&](std::int64_t m) {
      return ceil_div(h_out, m) * ceil_div(w_out, m) * (m + 2) * (m + 2);
    };
    return multiplications(2) < multiplications(4) ? 2 : 4;
  }
  static std::int64_t tile_bytes(const WinogradPlan& plan) {
    return plan.tiling.planes * (plan.plane - plan.skew + plan.panels.width) * 4;
  }
  static bool nontemporal(const WinogradOutput<float>& out) {
    return std::ranges::all_of(out.parts, [&](const auto& part) {
      return out.n * out.h * out.w * part.channels >= nontemporal_floats && part.channels % 16 == 0 &&
             reinterpret_cast<std::uintptr_t>(part.data) % 64 == 0;
    });
  }

  static void transform_filter(std::int64_t m, const WinogradFilters<float>& filters,
                               const WinogradPanel& panel, std::int64_t c0, std::int64_t n, float* planes,
                               std::int64_t plane) {
    alignas(64) float taps[9 * filter_step * 32];
    const std::int64_t tap = n * panel.width;
    for (std::int64_t t = 0; t < 9; ++t) {
      float* to = taps + t * tap;
      if (filters.turned) {
        const float* from = filters.data + (c0 * 9 + 8 - t) * filters.outputs + panel.first;
        for (std::int64_t i = 0; i < n; ++i)
          std::copy_n(from + i * 9 * filters.outputs, panel.outputs, to + i * panel.width);
      } else {
        const float* from = filters.data + (panel.first * 9 + t) * filters.inputs + c0;
        for (std::int64_t j = 0; j < panel.outputs; ++j)
          for (std::int64_t i = 0; i < n; ++i) to[i * panel.width + j] = from[i + j * 9 * filters.inputs];
      }
      for (std::int64_t i = 0; i < n && panel.outputs < panel.width; ++i)
        std::fill(to + i * panel.width + panel.outputs, to + (i + 1) * panel.width, 0.0f);
    }
    winograd_filter(m, taps, {3 * tap, tap}, planes, plane, tap);
  }
  static void multiply(ForwardTiles tiles, float* products) {
    tiles.y = products;
    conv_forward_tiles(tiles);
  }

  static void transform_x(const Input& in, std::int64_t m, const Places& at, Pair padding, float* planes,
                          std::int64_t plane) {
    in.transform(m, at[0].window(padding), planes, plane);
  }
  static void transform_dy(const Gradient& dy, std::int64_t m, const Places& at, const WinogradPanels& panels,
                           std::int64_t first, std::int64_t last, const WinogradGradientTiles<float>& to,
                           std::int64_t tile) {
    const std::int64_t k0 = first * panels.width,
                       outputs = std::min(last * panels.width, panels.channels) - k0;
    const ImagePart plain{.channels = dy.images.c};
    const WinogradWindow window =
        winograd_window(dy.images, plain, at[0], m, k0, outputs, round_up(outputs, simd_lanes()));
    for (std::int64_t i = first; i < last; ++i) {
      const std::int64_t width = panels[i].width;
      winograd_output_gradient(m, window.data + panels[i].first - k0, window.at,
                               to.at(i - first, tile, width), to.plane(width), width);
    }
  }
  static void multiply_gradients(const WinogradWeightProduct<float>& p) {
    const Run run{.offset = 0, .length = p.depth};
    conv_weight_tiles({.x = p.x,
                       .x_pixel = p.x_step,
                       .runs = &run,
                       .run_count = 1,
                       .dy = p.dy,
                       .rows = 1,
                       .cols = p.tiles,
                       .outputs = p.width,
                       .partial = p.sums,
                       .accumulate = p.accumulate,
                       .ahead = p.next,
                       .ahead_floats = p.next ? p.depth * p.width : 0});
  }
  static void transform_sums(std::int64_t m, const WinogradSums& sums, const WinogradPanel& panel,
                             std::int64_t c0, std::int64_t n, std::int64_t c, float* weight) {
    alignas(64) float taps[9 * 16 * 32];
    const std::int64_t tap = n * panel.width;
    winograd_filter_gradient(m, sums.data, sums.plane, taps, {3 * tap, tap}, tap);
    for (std::int64_t k = 0; k < panel.outputs; ++k)
      for (std::int64_t t = 0; t < 9; ++t) {
        float* to = weight + ((panel.first + k) * 9 + t) * c + c0;
        for (std::int64_t i = 0; i < n; ++i) to[i] = taps[t * tap + i * panel.width + k];
      }
  }
};

class WinogradF32WeightGradient : public WinogradWeightGradient<WinogradF32> {
 public:
  using WinogradWeightGradient::WinogradWeightGradient;

  void run() const {
    const WinogradStages wanted = stages(2 * winograd_tile_step);
    if (wanted.count == 1) return sum_one_stage();
    // A power of two, so that threads have equal shares.
    const std::int64_t fit = most_sums / (panels_.count() * sum_panel(depth_));
    const std::int64_t most = std::clamp<std::int64_t>(fit, 1, std::min(wanted.count, most_chunks));
    const auto chunks = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(most)));
    sum_in_chunks(wanted, chunks,
                  std::clamp<std::int64_t>(ceil_div(num_threads(), chunks), 1, panels_.count()));
  }

 private:
  static constexpr std::int64_t most_sums = 4 << 20;  // floats in the sums of all chunks
  static constexpr std::int64_t most_chunks = 8;
  static constexpr std::int64_t sum_slice =
      64;  // input channels whose sums are still in the cache at the end

  // One stage holds all there is to sum: sums of a slice of input channels go to taps at once. Tasks share
  // the panels of dy; if there are several, all threads transform x for them first.
  void sum_one_stage() const {
    const std::int64_t tasks = std::min<std::int64_t>(2 * num_threads(), panels_.count());
    const Tensor shared = tasks > 1 ? transform_x() : Tensor();
    parallel_for(tasks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) sum_panels({task, tasks, panels_.count()}, shared);
    });
  }
  Tensor transform_x() const {
    Tensor all = empty({tiling_.count * step_});
    float* to = all.data<float>();
    parallel_for(tiling_.count, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i)
        in_.transform(tiling_.m, tiling_.place(i).window(g_.padding), to + i * step_, plane_);
    });
    return all;
  }
  void sum_panels(const Share& panels, const Tensor& shared) const {
    GradientTiles dy{nullptr, tiling_.count, tiling_.planes, panels_.width};
    dy.data = scratch(panels.size() * dy.panel(), 1);
    float* own = shared.defined() ? nullptr : scratch(tiling_.count * step_, 0);
    for (std::int64_t i = 0; i < tiling_.count; ++i) {
      const WinogradPlace at = tiling_.place(i);
      if (own) in_.transform(tiling_.m, at.window(g_.padding), own + i * step_, plane_);
      WinogradF32::transform_dy(dy_, tiling_.m, {at}, panels_, panels.begin, panels.end, dy, i);
    }
    const float* x = own ? own : shared.data<float>();
    const std::int64_t slice = std::min(sum_slice, g_.c);
    for (std::int64_t panel = panels.begin; panel < panels.end; ++panel)
      for (std::int64_t c0 = 0; c0 < g_.c; c0 += slice) {
        const std::int64_t n = std::min(slice, g_.c - c0), width = panels_[panel].width;
        const WinogradSums sums{scratch(sum_panel(slice), 3), sum_plane(slice, width), width};
        multiply(x + c0, n, dy, panel - panels.begin, tiling_.count, sums, false, false);
        transform_sums(sums, panel, c0, n);
      }
  }
};

}  // namespace

const char* conv2d_winograd_refuse(const ConvGeometry& g, DType dtype) {
  if (dtype != f32) return "is written for f32";
  if (g.kernel.h != 3 || g.kernel.w != 3) return "the kernel is not 3 x 3";
  if (g.stride.h != 1 || g.stride.w != 1) return "the stride is not 1";
  if (g.dilation.h != 1 || g.dilation.w != 1) return "the kernel is dilated";
  if (g.groups != 1) return "the channels are in groups";
  if (g.padding.h > 2 || g.padding.w > 2) return "the padding is wider than the kernel reaches";
  if (g.c < 16 || g.k < 16) return "so few channels do not pay for the transforms";
  const WinogradTiling tiling(WinogradF32::tile_size(g.h_out, g.w_out), 1, g.n, g.h_out, g.w_out);
  if (tiling.count < 16) return "so few tiles do not pay for the filters";
  return nullptr;
}

void conv2d_winograd(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                     const Tensor& bias, Tensor& y) {
  winograd_forward<WinogradF32>(g, hints, x, weight, {{}, bias, false, g.k}, hints.moments && g.k % 16 == 0,
                                y);
}

void conv2d_affine_winograd(const ConvGeometry& g, const ConvHints& hints, const Tensor& x,
                            const Tensor& weight, const Tensor& scale, const Tensor& shift,
                            const ConvFinish& finish, Tensor& y) {
  winograd_forward<WinogradF32>(
      g, hints, x, weight, {scale, shift, FinishPlan(finish, none_or_relu(finish.activation)), y}, false, y);
}

void conv2d_backward_data_winograd(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                                   const Tensor& weight, const Tensor& bias, Tensor& dx) {
  winograd_backward_data<WinogradF32>(g, hints, dy, weight, bias, dx);
}

void conv2d_backward_weight_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                     Tensor& dweight) {
  WinogradF32WeightGradient(g, x, dy, dweight).run();
}

}  // namespace karyon::cpu
