// The weights of a direct convolution, packed as its register tiles read them.
#include <algorithm>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/direct.h>
#include <karyon/core/parallel.h>
#include <karyon/core/weight_cache.h>

namespace karyon::cpu {
namespace {

// Packs the weights of one grid of outputs as register tiles read them.
struct FilterPacking {
  const TapConv& t;
  const DirectPlan& p;
  const WeightView& view;
  const float* weight;
  float* packed;
  // What no cache holds is written by non-temporal stores.
  bool nontemporal = p.packed_size() >= 4 * nontemporal_floats && t.k % p.width == 0 && t.c % 16 == 0 &&
                     reinterpret_cast<std::uintptr_t>(packed) % 64 == 0;

  const float* from(std::int64_t k, std::int64_t stage, std::int64_t tap, std::int64_t c) const {
    return weight + view.at(t.k0 + k, t.taps[static_cast<std::size_t>(tap)], p.first_channel(stage) + c);
  }
  float* to(std::int64_t panel, std::int64_t stage, std::int64_t tap, std::int64_t c) const {
    return packed + p.packed_offset(panel, stage) +
           (tap * p.channels_in(stage) + c) * p.padded_outputs(panel);
  }

  // Where outputs lie side by side: all outputs of `count` channels.
  void pack_by_channels(std::int64_t stage, std::int64_t tap, std::int64_t c, std::int64_t count) const {
    PixelPanels rows{.from = from(0, stage, tap, c),
                     .pixel = view.c_stride,
                     .count = count,
                     .channels = t.k / p.width * p.width,
                     .scale = nullptr,
                     .shift = nullptr,
                     .to = to(0, stage, tap, c),
                     .width = p.width,
                     .panel = p.taps * p.width * t.c,
                     .padded = true};
    if (rows.channels > 0) conv_split_pixels(rows);
    const std::int64_t rest = t.k - rows.channels;
    if (rest == 0) return;
    rows.from += rows.channels;
    rows.channels = rest;
    rows.to = to(p.panels - 1, stage, tap, c);
    conv_split_pixels(rows);
  }

  // Where channels lie side by side: all channels of a panel of outputs.
  void pack_by_outputs(std::int64_t stage, std::int64_t tap, std::int64_t panel) const {
    const std::int64_t channels = p.channels_in(stage), outputs = p.outputs_in(panel),
                       padded = p.padded_outputs(panel);
    float* const panel_to = to(panel, stage, tap, 0);
    if (outputs < padded) std::fill(panel_to, panel_to + channels * padded, 0.0f);
    conv_transpose(from(panel * p.width, stage, tap, 0), view.k_stride, outputs, channels, panel_to, padded,
                   nontemporal);
    if (nontemporal) hwy::FlushStream();  // before another thread may read it
  }

  void run() const {
    constexpr std::int64_t channels_at_once = 32;
    const bool outputs_together = view.k_stride == 1;
    const std::int64_t shares = outputs_together ? ceil_div(p.channels, channels_at_once) : p.panels;
    parallel_for(p.stages * p.taps * shares, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t stage = task / (p.taps * shares), tap = task / shares % p.taps,
                           share = task % shares;
        const std::int64_t c = share * channels_at_once, channels = p.channels_in(stage);
        if (!outputs_together) {
          pack_by_outputs(stage, tap, share);
        } else if (c < channels) {
          pack_by_channels(stage, tap, c, std::min(channels_at_once, channels - c));
        }
      }
    });
  }
};

// The packed weights, in memory that the allocator has at hand: fresh pages would cost more than the packing.
Tensor pack(const TapConv& t, const DirectPlan& p, const Weights& weights) {
  Tensor packed = empty({p.packed_size()});
  FilterPacking{.t = t,
                .p = p,
                .view = weights.view,
                .weight = weights.tensor.data<float>(),
                .packed = packed.data<float>()}
      .run();
  return packed;
}

}  // namespace

Tensor packed_filter(const TapConv& t, const DirectPlan& p, const Weights& weights) {
  const auto make = [&] { return pack(t, p, weights); };
  if (!weights.keep) return make();
  FilterKey key{
      0,  weights.view.k_stride, weights.view.origin + weights.tensor.impl()->offset, p.channels, t.k0, t.c,
      t.k};
  for (const Tap& tap : t.taps) key.insert(key.end(), {tap.i, tap.j});
  return used_before(weights.tensor, key) ? kept_filters(weights.tensor, key, make) : make();
}

}  // namespace karyon::cpu
