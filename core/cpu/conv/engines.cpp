// Which convolution runs, and the plain loops that every other one is tested against.
#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>
#include <vector>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/deferred.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace cpu {
namespace {

// The output position that input position `in` meets through tap `t`, or -1.
std::int64_t output_at(std::int64_t in, std::int64_t t, std::int64_t stride, std::int64_t padding,
                       std::int64_t dilation, std::int64_t size) {
  const std::int64_t scaled = in + padding - t * dilation;
  return scaled >= 0 && scaled % stride == 0 && scaled / stride < size ? scaled / stride : -1;
}

}  // namespace

void conv2d_reference(const ConvGeometry& g, const Tensor& x_, const Tensor& w_, const Tensor& bias,
                      Tensor& y_) {
  dispatch_floating(x_.dtype(), "conv2d", [&]<class T>() {
    const T *x = x_.data<T>(), *weight = w_.data<T>(), *b = bias.defined() ? bias.data<T>() : nullptr;
    T* y = y_.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
    parallel_for(g.n * g.h_out, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t n = row / g.h_out, oh = row % g.h_out;
        for (std::int64_t ow = 0; ow < g.w_out; ++ow) {
          for (std::int64_t k = 0; k < g.k; ++k) {
            T sum = b ? b[k] : T(0);
            for (std::int64_t i = 0; i < g.kernel.h; ++i) {
              const std::int64_t ih = oh * g.stride.h - g.padding.h + i * g.dilation.h;
              if (ih < 0 || ih >= g.h) continue;
              for (std::int64_t j = 0; j < g.kernel.w; ++j) {
                const std::int64_t iw = ow * g.stride.w - g.padding.w + j * g.dilation.w;
                if (iw < 0 || iw >= g.w) continue;
                const T* in = x + ((n * g.h + ih) * g.w + iw) * g.c + k / kg * cg;
                const T* filter = weight + ((k * g.kernel.h + i) * g.kernel.w + j) * cg;
                for (std::int64_t c = 0; c < cg; ++c) sum += in[c] * filter[c];
              }
            }
            y[(row * g.w_out + ow) * g.k + k] = sum;
          }
        }
      }
    });
  });
}

void conv2d_backward_data_reference(const ConvGeometry& g, const Tensor& dy_, const Tensor& w_,
                                    const Tensor& bias, Tensor& dx_) {
  dispatch_floating(dy_.dtype(), "conv2d_backward_data", [&]<class T>() {
    const T *dy = dy_.data<T>(), *weight = w_.data<T>(), *b = bias.defined() ? bias.data<T>() : nullptr;
    T* dx = dx_.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups;
    parallel_for(g.n * g.h, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t n = row / g.h, ih = row % g.h;
        for (std::int64_t iw = 0; iw < g.w; ++iw) {
          T* out = dx + (row * g.w + iw) * g.c;
          for (std::int64_t c = 0; c < g.c; ++c) out[c] = b ? b[c] : T(0);
          for (std::int64_t i = 0; i < g.kernel.h; ++i) {
            const std::int64_t oh = output_at(ih, i, g.stride.h, g.padding.h, g.dilation.h, g.h_out);
            if (oh < 0) continue;
            for (std::int64_t j = 0; j < g.kernel.w; ++j) {
              const std::int64_t ow = output_at(iw, j, g.stride.w, g.padding.w, g.dilation.w, g.w_out);
              if (ow < 0) continue;
              const T* in = dy + ((n * g.h_out + oh) * g.w_out + ow) * g.k;
              for (std::int64_t k = 0; k < g.k; ++k) {
                const T* filter = weight + ((k * g.kernel.h + i) * g.kernel.w + j) * cg;
                T* group = out + k / kg * cg;
                for (std::int64_t c = 0; c < cg; ++c) group[c] += in[k] * filter[c];
              }
            }
          }
        }
      }
    });
  });
}

void conv2d_backward_weight_reference(const ConvGeometry& g, const Tensor& x_, const Tensor& dy_,
                                      Tensor& dw_) {
  dispatch_floating(x_.dtype(), "conv2d_backward_weight", [&]<class T>() {
    const T *x = x_.data<T>(), *dy = dy_.data<T>();
    T* dw = dw_.data<T>();
    const std::int64_t cg = g.c / g.groups, kg = g.k / g.groups, filter_size = g.kernel.h * g.kernel.w * cg;
    parallel_for(g.k, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t k = begin; k < end; ++k) {
        T* filter = dw + k * filter_size;
        std::fill(filter, filter + filter_size, T(0));
        for (std::int64_t row = 0; row < g.n * g.h_out; ++row) {
          const std::int64_t n = row / g.h_out, oh = row % g.h_out;
          for (std::int64_t ow = 0; ow < g.w_out; ++ow) {
            const T scale = dy[(row * g.w_out + ow) * g.k + k];
            for (std::int64_t i = 0; i < g.kernel.h; ++i) {
              const std::int64_t ih = oh * g.stride.h - g.padding.h + i * g.dilation.h;
              if (ih < 0 || ih >= g.h) continue;
              for (std::int64_t j = 0; j < g.kernel.w; ++j) {
                const std::int64_t iw = ow * g.stride.w - g.padding.w + j * g.dilation.w;
                if (iw < 0 || iw >= g.w) continue;
                const T* in = x + ((n * g.h + ih) * g.w + iw) * g.c + k / kg * cg;
                T* out = filter + (i * g.kernel.w + j) * cg;
                for (std::int64_t c = 0; c < cg; ++c) out[c] += scale * in[c];
              }
            }
          }
        }
      }
    });
  });
}

namespace {

// Best first, reference last. refuse() says why an implementation cannot do the job, or nullptr.
template <class... Args>
struct Implementation {
  const char* name;
  const char* (*refuse)(const ConvGeometry& g, DType dtype);
  void (*run)(const ConvGeometry&, Args...);
};

const char* only_f32(const ConvGeometry&, DType dtype) {
  return dtype == f32 ? nullptr : "is written for f32";
}
const char* only_bf16(const ConvGeometry&, DType dtype) { return dtype == bf16 ? nullptr : "is for bf16"; }
const char* never(const ConvGeometry&, DType) { return nullptr; }

// bf16 by the best implementation for f32.
void conv2d_in_f32(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   Tensor& y);
void conv2d_backward_data_in_f32(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                 const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_in_f32(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight);

using DataArgs = Implementation<const Tensor&, const Tensor&, const Tensor&, Tensor&>;
using WeightArgs = Implementation<const Tensor&, const Tensor&, Tensor&>;
constexpr DataArgs forward_list[] = {{"winograd_bf16", conv2d_winograd_bf16_refuse, conv2d_winograd_bf16},
                                     {"direct_bf16", conv2d_direct_bf16_refuse, conv2d_direct_bf16},
                                     {"winograd", conv2d_winograd_refuse, conv2d_winograd},
                                     {"direct", only_f32, conv2d_direct},
                                     {"in_f32", only_bf16, widened<conv2d_in_f32>},
                                     {"reference", never, widened<conv2d_reference>}};
constexpr DataArgs backward_data_list[] = {
    {"winograd_bf16", conv2d_winograd_bf16_refuse, conv2d_backward_data_winograd_bf16},
    {"direct_bf16", conv2d_backward_data_direct_bf16_refuse, conv2d_backward_data_direct_bf16},
    {"winograd", conv2d_winograd_refuse, conv2d_backward_data_winograd},
    {"direct", only_f32, conv2d_backward_data_direct},
    {"in_f32", only_bf16, widened<conv2d_backward_data_in_f32>},
    {"reference", never, widened<conv2d_backward_data_reference>}};
constexpr WeightArgs backward_weight_list[] = {
    {"winograd_bf16", conv2d_winograd_bf16_refuse, conv2d_backward_weight_winograd_bf16},
    {"direct_bf16", conv2d_direct_bf16_refuse, conv2d_backward_weight_direct_bf16},
    {"winograd", conv2d_winograd_refuse, conv2d_backward_weight_winograd},
    {"direct", only_f32, conv2d_backward_weight_direct},
    {"in_f32", only_bf16, widened<conv2d_backward_weight_in_f32>},
    {"reference", never, widened<conv2d_backward_weight_reference>}};

// Calls each(name, refusal or nullptr) for the implementations down to the first that is not refused.
// KARYON_CONV=direct, for instance, keeps to those from that one on, for tests and for comparison.
template <class List, class F>
const auto& choose(const List& list, const ConvGeometry& g, DType dtype, F each) {
  static const char* const forced = std::getenv("KARYON_CONV");
  static const bool known = !forced || std::ranges::any_of(list, [](const auto& candidate) {
    return std::string_view(forced) == candidate.name;
  });
  check(known, "KARYON_CONV: expects winograd, direct or reference, got '", forced ? forced : "", "'");
  bool reached = !forced;
  for (const auto& candidate : list) {
    reached = reached || std::string_view(forced) == candidate.name;
    const char* refusal = reached ? candidate.refuse(g, dtype) : "is above what KARYON_CONV allows";
    each(candidate.name, refusal);
    if (!refusal) return candidate;
  }
  throw Error("conv2d: the reference refused");
}

template <class List, class... Args>
void run_chosen(const List& list, DType dtype, const ConvGeometry& g, Args&... args) {
  choose(list, g, dtype, [](const char*, const char*) {}).run(g, args...);
}

void conv2d_in_f32(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   Tensor& y) {
  run_chosen(forward_list, f32, g, x, weight, bias, y);
}
void conv2d_backward_data_in_f32(const ConvGeometry& g, const Tensor& dy, const Tensor& weight,
                                 const Tensor& bias, Tensor& dx) {
  run_chosen(backward_data_list, f32, g, dy, weight, bias, dx);
}
void conv2d_backward_weight_in_f32(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                   Tensor& dweight) {
  run_chosen(backward_weight_list, f32, g, x, dy, dweight);
}

void conv2d(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  run_chosen(forward_list, x.dtype(), g, x, weight, bias, y);
}

void conv2d_affine_in_f32(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale_,
                          const Tensor& shift_, bool relu, Tensor& y_) {
  const DataArgs& chosen = choose(forward_list, g, x.dtype(), [](const char*, const char*) {});
  if (chosen.run == conv2d_winograd) return conv2d_affine_winograd(g, x, weight, scale_, shift_, relu, y_);
  chosen.run(g, x, weight, {}, y_);
  dispatch_floating(x.dtype(), "conv2d_affine", [&]<class T>() {
    const T* scale = scale_.defined() ? scale_.data<T>() : nullptr;
    const T* shift = shift_.defined() ? shift_.data<T>() : nullptr;
    T* y = y_.data<T>();
    parallel_for(g.n * g.h_out * g.w_out, 1024, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t pixel = begin; pixel < end; ++pixel)
        for (std::int64_t k = 0; k < g.k; ++k) {
          const T value = (scale ? scale[k] : T(1)) * y[pixel * g.k + k] + (shift ? shift[k] : T(0));
          y[pixel * g.k + k] = relu ? std::max(value, T(0)) : value;
        }
    });
  });
}

void conv2d_affine(const ConvGeometry& g, const Tensor& x, const Tensor& weight, const Tensor& scale,
                   const Tensor& shift, bool relu, Tensor& y) {
  const DataArgs& chosen = choose(forward_list, g, x.dtype(), [](const char*, const char*) {});
  if (chosen.run == conv2d_winograd_bf16)
    return conv2d_affine_winograd_bf16(g, x, weight, scale, shift, relu, y);
  if (chosen.run == conv2d_direct_bf16) return conv2d_affine_direct_bf16(g, x, weight, scale, shift, relu, y);
  widened<conv2d_affine_in_f32>(g, x, weight, scale, shift, relu, y);
}

// Whether a gradient in parts can be written part by part: each begins a block of outputs.
bool writes_apart(const DeferredCat& parts) {
  std::int64_t first = 0;
  for (const SavedTensor& part : parts.parts) {
    if (first % conv_block_width() != 0) return false;
    first += part.get().size(-1);
  }
  return true;
}

void conv2d_backward_data(const ConvGeometry& g, const Tensor& dy, const Tensor& weight, const Tensor& bias,
                          Tensor& dx) {
  const DataArgs& chosen = choose(backward_data_list, g, dy.dtype(), [](const char*, const char*) {});
  const auto apart = deferred_as<DeferredCat>(dx);
  const bool in_parts =
      chosen.run == conv2d_backward_data_winograd || chosen.run == conv2d_backward_data_winograd_bf16;
  if (!apart || (in_parts && writes_apart(*apart))) return chosen.run(g, dy, weight, bias, dx);
  Tensor whole = empty(dx.shape(), {.dtype = dx.dtype()});
  chosen.run(g, dy, weight, bias, whole);
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
  run_chosen(backward_weight_list, x.dtype(), g, x, dy, dweight);
}

// Sums per fixed chunk of pixels, then the chunks in order, in double: the same bits with any threads.
// Few channels are repeated until a row of sums is long enough for whole vectors.
void conv2d_backward_bias(const Tensor& dy_, Tensor& db_) {
  dispatch_mapped(dy_.dtype(), "conv2d_backward_bias", [&]<class S>() {
    using T = Computed<S>;
    const S* dy = dy_.data<S>();
    T* db = db_.data<T>();
    const std::int64_t k = db_.numel(), lanes = round_up<std::int64_t>(32, k);
    const std::int64_t grain = 512 * lanes, chunks = ceil_div(dy_.numel(), grain);
    std::vector<T> partial(static_cast<std::size_t>(chunks * lanes), T(0));
    parallel_for(dy_.numel(), grain, [&](std::int64_t begin, std::int64_t end) {
      T* sums = partial.data() + begin / grain * lanes;
      vectorized([=] {
        T* __restrict sum = sums;
        const S* __restrict from = dy;
        const auto value = [from](std::int64_t at) { return static_cast<T>(from[at]); };
        std::int64_t i = begin;
        for (; i + 4 * lanes <= end; i += 4 * lanes)
          for (std::int64_t c = 0; c < lanes; ++c)
            sum[c] +=
                (value(i + c) + value(i + lanes + c)) + (value(i + 2 * lanes + c) + value(i + 3 * lanes + c));
        for (; i < end; i += lanes)
          for (std::int64_t c = 0; c < std::min(lanes, end - i); ++c) sum[c] += value(i + c);
      });
    });
    for (std::int64_t c = 0; c < k; ++c) {
      double sum = 0;
      for (std::int64_t i = c; i < chunks * lanes; i += k)
        sum += static_cast<double>(partial[static_cast<std::size_t>(i)]);
      db[c] = static_cast<T>(sum);
    }
  });
}

}  // namespace

std::string explain_conv2d(const ConvGeometry& g, DType dtype) {
  std::string text;
  choose(forward_list, g, dtype, [&](const char* name, const char* refusal) {
    const std::string_view word = name;
    if (dtype != bf16 && (word.ends_with("_bf16") || word == "in_f32")) return;  // goes without saying
    text += refusal ? std::string("not ") + name + ": " + refusal + "; " : name;
  });
  return text;
}

}  // namespace cpu

constinit decltype(kernels::conv2d) kernels::conv2d{"conv2d", cpu::conv2d};
constinit decltype(kernels::conv2d_affine) kernels::conv2d_affine{"conv2d_affine", cpu::conv2d_affine};
constinit decltype(kernels::conv2d_backward_data) kernels::conv2d_backward_data{"conv2d_backward_data",
                                                                                cpu::conv2d_backward_data};
constinit decltype(kernels::conv2d_backward_weight) kernels::conv2d_backward_weight{
    "conv2d_backward_weight", cpu::conv2d_backward_weight};
constinit decltype(kernels::conv2d_backward_bias) kernels::conv2d_backward_bias{"conv2d_backward_bias",
                                                                                cpu::conv2d_backward_bias};

}  // namespace karyon
