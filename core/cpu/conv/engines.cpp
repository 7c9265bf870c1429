// Which engine computes a convolution. The kernels of core/kernels/conv.h ask the table below.
#include <algorithm>
#include <cstdlib>
#include <iterator>
#include <string>
#include <string_view>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/lazy.h>

namespace karyon {
namespace cpu {

/// A residual is read as f32 where it is bf16.
template <>
struct Widened<const ConvFinish&> {
  ConvFinish value;
  explicit Widened(const ConvFinish& finish)
      : value{finish.activation, Widened<const Tensor&>(finish.residual).value} {}
  void finish() {}
};

namespace {

const char* conv2d_direct_refuse(ConvDirection, const ConvGeometry& g, DType dtype) {
  if (mostly_padding(g)) return "the image is mostly padding";
  return dtype == f32 ? nullptr : "is written for f32";
}
const char* only_bf16(ConvDirection, const ConvGeometry&, DType dtype) {
  return dtype == bf16 ? nullptr : "is for bf16";
}
const char* no_refusal(ConvDirection, const ConvGeometry&, DType) { return nullptr; }
// A refusal that is the same for all three directions.
template <auto refuse>
const char* in_any_direction(ConvDirection, const ConvGeometry& g, DType dtype) {
  return refuse(g, dtype);
}

void conv2d(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
            const Tensor& bias, Tensor& y);
void conv2d_affine(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                   const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data(const ConvGeometry& g, const ConvHints&, const Tensor& dy, const Tensor& weight,
                          const Tensor& bias, Tensor& dx);
void conv2d_backward_weight(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight);

constexpr ConvEngine engines[] = {
    {.name = "winograd_bf16",
     .refuse = in_any_direction<conv2d_winograd_bf16_refuse>,
     .forward = conv2d_winograd_bf16,
     .affine = conv2d_affine_winograd_bf16,
     .backward_data = conv2d_backward_data_winograd_bf16,
     .writes_parts = true,
     .backward_weight = conv2d_backward_weight_winograd_bf16},
    {.name = "direct_bf16",
     .refuse = conv2d_direct_bf16_refuse,
     .forward = conv2d_direct_bf16,
     .affine = conv2d_affine_direct_bf16,
     .backward_data = conv2d_backward_data_direct_bf16,
     .writes_parts = false,
     .backward_weight = conv2d_backward_weight_direct_bf16},
    {.name = "winograd",
     .refuse = in_any_direction<conv2d_winograd_refuse>,
     .forward = conv2d_winograd,
     .affine = conv2d_affine_winograd,
     .backward_data = conv2d_backward_data_winograd,
     .writes_parts = true,
     .backward_weight = conv2d_backward_weight_winograd},
    {.name = "grouped",
     .refuse = in_any_direction<conv2d_grouped_refuse>,
     .forward = conv2d_grouped,
     .affine = conv2d_affine_grouped,
     .backward_data = conv2d_backward_data_grouped,
     .writes_parts = false,
     .backward_weight = conv2d_backward_weight_grouped},
    {.name = "direct",
     .refuse = conv2d_direct_refuse,
     .forward = conv2d_direct,
     .affine = conv2d_affine_direct,
     .backward_data = conv2d_backward_data_direct,
     .writes_parts = false,
     .backward_weight = conv2d_backward_weight_direct},
    {.name = "in_f32",  // bf16 by the best engine for f32
     .refuse = only_bf16,
     .forward = widened<conv2d>,
     .affine = widened<conv2d_affine>,
     .backward_data = widened<conv2d_backward_data>,
     .writes_parts = false,
     .backward_weight = widened<conv2d_backward_weight>},
    {.name = "reference",
     .refuse = no_refusal,
     .forward = widened<conv2d_reference>,
     .affine = widened<conv2d_affine_reference>,
     .backward_data = widened<conv2d_backward_data_reference>,
     .writes_parts = false,
     .backward_weight = widened<conv2d_backward_weight_reference>},
};

std::string engine_names() {
  std::string names;
  for (const ConvEngine& engine : engines)
    names += (names.empty()                      ? ""
              : &engine + 1 == std::end(engines) ? " or "
                                                 : ", ") +
             std::string(engine.name);
  return names;
}

// The first engine that may be chosen. KARYON_CONV=direct, for instance, leaves out those before direct, for
// tests and for comparison.
const ConvEngine* first_allowed() {
  static const ConvEngine* const first = [] {
    const char* const name = std::getenv("KARYON_CONV");
    if (!name) return std::begin(engines);
    const ConvEngine* const named = std::ranges::find(engines, std::string_view(name), &ConvEngine::name);
    check(named != std::end(engines), "KARYON_CONV: expects ", engine_names(), ", got '", name, "'");
    return named;
  }();
  return first;
}

const char* refusal(const ConvEngine& engine, ConvDirection direction, const ConvGeometry& g, DType dtype) {
  return &engine < first_allowed() ? "is above what KARYON_CONV allows" : engine.refuse(direction, g, dtype);
}

const ConvEngine& choose(ConvDirection direction, const ConvGeometry& g, DType dtype) {
  return *std::ranges::find_if(
      engines, [&](const ConvEngine& engine) { return !refusal(engine, direction, g, dtype); });
}

void conv2d(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
            const Tensor& bias, Tensor& y) {
  choose(ConvDirection::forward, g, x.dtype()).forward(g, hints, x, weight, bias, y);
}

void conv2d_affine(const ConvGeometry& g, const ConvHints& hints, const Tensor& x, const Tensor& weight,
                   const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y) {
  choose(ConvDirection::forward, g, x.dtype()).affine(g, hints, x, weight, scale, shift, finish, y);
}

// Whether a gradient in parts can be written part by part: each begins a panel of outputs.
bool writes_apart(const LazyCat& parts) {
  std::int64_t first = 0;
  for (const SavedTensor& part : parts.parts) {
    if (first % conv_panel_width() != 0) return false;
    first += part.get().size(-1);
  }
  return true;
}

void conv2d_backward_data(const ConvGeometry& g, const ConvHints& hints, const Tensor& dy,
                          const Tensor& weight, const Tensor& bias, Tensor& dx) {
  const ConvEngine& engine = choose(ConvDirection::backward_data, g, dy.dtype());
  const auto apart = lazy_as<LazyCat>(dx);
  if (!apart || (engine.writes_parts && writes_apart(*apart)))
    return engine.backward_data(g, hints, dy, weight, bias, dx);
  Tensor whole = empty(dx.shape(), {.dtype = dx.dtype()});
  engine.backward_data(g, hints, dy, weight, bias, whole);
  std::int64_t first = 0;
  for (const SavedTensor& saved : apart->parts) {
    Tensor part = saved.get();
    const std::int64_t c = part.size(-1);
    kernels::copy_runs(whole, part,
                       {.outer = part.numel() / c,
                        .length = c,
                        .from = {.offset = first, .outer_stride = g.c},
                        .to = {.outer_stride = c}});
    first += c;
  }
}

void conv2d_backward_weight(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  choose(ConvDirection::backward_weight, g, x.dtype()).backward_weight(g, x, dy, dweight);
}

}  // namespace

std::span<const ConvEngine> conv_engines() { return engines; }

std::vector<PixelRows> in_wide_rows(const ConvGeometry& g) {
  constexpr std::int64_t narrow = 14, wide = 128, longest = 2048;
  if (g.kernel != Pair(1) || g.stride != Pair(1) || g.padding != Pair(0) || g.w >= narrow) return {{g, 0}};
  const std::int64_t pixels = g.n * g.h * g.w;
  std::int64_t width = std::min(pixels, wide);
  while (width >= narrow && pixels % width != 0) --width;
  if (width < narrow) width = pixels <= longest ? std::max<std::int64_t>(pixels, 1) : wide;
  const auto rows = [&](std::int64_t h, std::int64_t w) {
    ConvGeometry part = g;
    part.n = 1;
    part.h = part.h_out = h;
    part.w = part.w_out = w;
    return part;
  };
  const std::int64_t whole = pixels / width * width;
  std::vector<PixelRows> parts{{rows(pixels / width, width), 0}};
  if (whole < pixels) parts.push_back({rows(1, pixels - whole), whole});
  return parts;
}

bool mostly_padding(const ConvGeometry& g) {
  // In double, which holds any product of sizes.
  const auto padded = [](std::int64_t size, std::int64_t padding) {
    return static_cast<double>(size) + 2 * static_cast<double>(padding);
  };
  const double area = static_cast<double>(g.h) * static_cast<double>(g.w);
  return padded(g.h, g.padding.h) * padded(g.w, g.padding.w) > 16 * area + 0x1p22;
}

std::string explain_conv2d(const ConvGeometry& g, DType dtype) {
  std::string text;
  for (const ConvEngine& engine : engines) {
    const char* const why = refusal(engine, ConvDirection::forward, g, dtype);
    if (!why) return text.append(engine.name);
    if (dtype != bf16 && (engine.name.ends_with("_bf16") || engine.name == "in_f32")) continue;  // obvious
    text.append("not ").append(engine.name).append(": ").append(why).append("; ");
  }
  return text;
}

}  // namespace cpu

constinit decltype(kernels::conv2d) kernels::conv2d{"conv2d", cpu::conv2d};
constinit decltype(kernels::conv2d_affine) kernels::conv2d_affine{"conv2d_affine", cpu::conv2d_affine};
constinit decltype(kernels::conv2d_backward_data) kernels::conv2d_backward_data{"conv2d_backward_data",
                                                                                cpu::conv2d_backward_data};
constinit decltype(kernels::conv2d_backward_weight) kernels::conv2d_backward_weight{
    "conv2d_backward_weight", cpu::conv2d_backward_weight};

}  // namespace karyon
