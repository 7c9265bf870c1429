// The inner loops of convolutions in small groups. Vectors hold channels that lie side by side, and so whole
// groups. The outputs of a few neighbouring pixels stay in registers over all taps. Images are read where
// they lie: rows and columns of the filter that lie outside are left out. The last vector begins earlier
// where channels are no whole vectors, so that some channels are computed twice.
#include <algorithm>
#include <utility>

#include <karyon/core/cpu/conv/grouped.h>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "core/cpu/conv/grouped_rows.cpp"
#include <karyon/core/cpu/simd/foreach.h>

#include <hwy/cache_control.h>
#include <hwy/highway.h>
#include <karyon/core/cpu/conv/finish-inl.h>
#include <karyon/core/cpu/simd/values-inl.h>

HWY_BEFORE_NAMESPACE();
namespace karyon::cpu::HWY_NAMESPACE {

// With 32 registers: sums of 4 pixels by 4 vectors, or of 7 taps by 2 vectors, beside what they are made of.
constexpr bool many_registers = HWY_TARGET == HWY_AVX3 || HWY_TARGET == HWY_NEON;
constexpr int wide = many_registers ? 4 : 2, wide_sums = many_registers ? 2 : 1;

// Some taps in order, and where they all read inside.
struct Taps {
  const AxisTap* first;
  std::int64_t count;
};
Taps inside(const std::vector<AxisTap>& taps, std::int64_t at, std::int64_t size) {
  const auto before = [](const AxisTap& tap, std::int64_t offset) { return tap.offset < offset; };
  const auto begin = std::lower_bound(taps.begin(), taps.end(), -at, before),
             end = std::lower_bound(begin, taps.end(), size - at, before);
  return {taps.data() + (begin - taps.begin()), end - begin};
}

/// Positions [begin, end) along an axis.
struct Positions {
  std::int64_t begin, end;
};
// Those that read inside through a tap.
Positions reading_inside(std::int64_t offset, std::int64_t step, std::int64_t count, std::int64_t size) {
  const std::int64_t begin = offset < 0 ? std::min(count, ceil_div(-offset, step)) : 0,
                     end = size > offset ? std::min(count, ceil_div(size - offset, step)) : 0;
  return {begin, std::max(begin, end)};
}

/// Where vectors of channels begin: one after the other, and a last one that ends with the channels.
struct Vectors {
  std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d)), channels;
  explicit Vectors(std::int64_t count) : channels(count) {}
  std::int64_t whole() const { return channels / lanes; }
  bool rest() const { return channels % lanes != 0; }
  std::int64_t last() const { return channels - lanes; }
};

/// Gives every lane of a vector the e-th channel of its group.
template <int group>
struct Spread {
  decltype(hn::SetTableIndices(d, static_cast<const std::int32_t*>(nullptr))) lane[group];
  Spread() {
    for (std::int32_t e = 0; e < group; ++e) {
      HWY_ALIGN std::int32_t from[16] = {};
      for (std::int32_t i = 0; i < static_cast<std::int32_t>(hn::Lanes(d)); ++i)
        from[i] = i / group * group + e;
      lane[e] = hn::SetTableIndices(d, from);
    }
  }
  HWY_INLINE V operator()(V x, int e) const { return hn::TableLookupLanes(x, lane[e]); }
};
template <>
struct Spread<1> {
  HWY_INLINE V operator()(V x, int) const { return x; }
};

template <class S, int group>
struct RowPass {
  const GroupedGrid& g;
  std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const S* row = nullptr;  // of the input: that of an output's row, before taps
  Taps rows{};             // those inside
  S* out = nullptr;        // the row of outputs
  Spread<group> spread{};

  const float* filter_of(const AxisTap& tap_row, std::int64_t k) const {
    return g.filter + tap_row.index * g.kernel_w * group * g.channels + k;
  }

  template <int vectors>
  HWY_INLINE void finish(V (&sum)[vectors], std::int64_t k, S* to) const {
#pragma GCC unroll 4
    for (int v = 0; v < vectors; ++v, k += lanes, to += lanes) {
      V y = sum[v];
      if (g.scale) y = hn::Mul(y, hn::LoadU(d, g.scale + k));
      if (g.shift) y = hn::Add(y, hn::LoadU(d, g.shift + k));
      y = activated(d, g.activation, y);
      if (g.stream) {
        put<true>(y, to);
      } else {
        put<false>(y, to);
      }
    }
  }

  // Outputs of `pixels` columns from `col` on, channels k ... k + vectors * lanes - 1.
  template <int pixels, int vectors>
  HWY_INLINE void tile(std::int64_t col, Taps cols, std::int64_t k) const {
    V sum[pixels][vectors];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
      for (int v = 0; v < vectors; ++v) sum[p][v] = hn::Zero(d);
    const std::int64_t step = g.step.w * g.channels;
    const S* const pixel = row + col * step + k;
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const S* const line = pixel + rows.first[i].offset * g.in_w * g.channels;
      const float* const filter = filter_of(rows.first[i], k);
      for (std::int64_t j = 0; j < cols.count; ++j) {
        const S* const from = line + cols.first[j].offset * g.channels;
        const float* const tap = filter + cols.first[j].index * group * g.channels;
#pragma GCC unroll 16
        for (int e = 0; e < group; ++e) {
          V w[vectors];
#pragma GCC unroll 4
          for (int v = 0; v < vectors; ++v) w[v] = hn::LoadU(d, tap + e * g.channels + v * lanes);
#pragma GCC unroll 8
          for (int p = 0; p < pixels; ++p)
#pragma GCC unroll 4
            for (int v = 0; v < vectors; ++v)
              sum[p][v] = hn::MulAdd(spread(get(from + p * step + v * lanes), e), w[v], sum[p][v]);
        }
      }
    }
    S* const to = out + col * g.out_step.w * g.channels + k;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) finish<vectors>(sum[p], k, to + p * g.out_step.w * g.channels);
  }

  // The same for `width` taps side by side in each row, with a step of 1: an input is loaded once for all
  // taps.
  //   border  some inputs may lie outside
  template <int pixels, int width, bool border>
  HWY_INLINE void dense_tile(std::int64_t col, std::int64_t k) const {
    V sum[pixels][1];
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) sum[p][0] = hn::Zero(d);
    const AxisTap* const cols = g.tap_cols.data();
    const std::int64_t first = col + cols[0].offset;
    const S* const pixel = row + first * g.channels + k;
    for (std::int64_t i = 0; i < rows.count; ++i) {
      const S* from = pixel + rows.first[i].offset * g.in_w * g.channels;
      const float* const filter = filter_of(rows.first[i], k);
      V w[width];
#pragma GCC unroll 8
      for (int j = 0; j < width; ++j) w[j] = hn::LoadU(d, filter + cols[j].index * g.channels);
#pragma GCC unroll 16
      for (int q = 0; q < pixels + width - 1; ++q, from += g.channels) {
        if (border && (first + q < 0 || first + q >= g.in_w)) continue;
        const V x = get(from);
#pragma GCC unroll 8
        for (int j = 0; j < width; ++j)
          if (q - j >= 0 && q - j < pixels) sum[q - j][0] = hn::MulAdd(x, w[j], sum[q - j][0]);
      }
    }
    S* const to = out + col * g.out_step.w * g.channels + k;
#pragma GCC unroll 8
    for (int p = 0; p < pixels; ++p) finish<1>(sum[p], k, to + p * g.out_step.w * g.channels);
  }

  // All channels of some columns.
  template <int pixels>
  void columns(std::int64_t col, Taps cols) const {
    const Vectors vectors(g.channels);
    std::int64_t v = 0;
    if constexpr (group == 1)
      for (; v + wide <= vectors.whole(); v += wide) tile<pixels, wide>(col, cols, v * lanes);
    for (; v < vectors.whole(); ++v) tile<pixels, 1>(col, cols, v * lanes);
    if (vectors.rest()) tile<pixels, 1>(col, cols, vectors.last());
  }
  template <int pixels, int width>
  void dense_columns(std::int64_t col, Positions whole) const {
    const Vectors vectors(g.channels);
    const auto tiles = [&]<bool border>() {
      for (std::int64_t v = 0; v < vectors.whole(); ++v) dense_tile<pixels, width, border>(col, v * lanes);
      if (vectors.rest()) dense_tile<pixels, width, border>(col, vectors.last());
    };
    whole.begin <= col&& col + pixels <= whole.end ? tiles.template operator()<false>()
                                                   : tiles.template operator()<true>();
  }
  //   whole  columns where all taps are inside
  template <int width>
  void dense(Positions whole) const {
    std::int64_t col = 0;
    if (g.cols % 7 == 0 && g.cols % 8 != 0)  // images of 7, 14, 28 pixels
      for (; col + 7 <= g.cols; col += 7) dense_columns<7, width>(col, whole);
    for (; col + 8 <= g.cols; col += 8) dense_columns<8, width>(col, whole);
    for (; col + 4 <= g.cols; col += 4) dense_columns<4, width>(col, whole);
    for (; col < g.cols; ++col) dense_columns<1, width>(col, whole);
  }
  // A row of outputs whose taps lie side by side; false if there is no loop for so many.
  bool dense_row(Positions whole) const {
    const auto count = static_cast<std::int64_t>(g.tap_cols.size());
    if (group > 1 || g.step.w != 1 || count < 2 ||
        g.tap_cols.back().offset - g.tap_cols.front().offset != count - 1)
      return false;
    if (count == 2) return dense<2>(whole), true;
    if (count == 3) return dense<3>(whole), true;
    if (count == 5) return dense<5>(whole), true;
    if (count == 7) return dense<7>(whole), true;
    return false;
  }
  void any_row(Positions whole) const {
    const auto at_border = [&](std::int64_t col) {
      columns<1>(col, inside(g.tap_cols, col * g.step.w, g.in_w));
    };
    const Taps all{g.tap_cols.data(), static_cast<std::int64_t>(g.tap_cols.size())};
    std::int64_t col = 0;
    for (; col < whole.begin; ++col) at_border(col);
    if constexpr (group > 1 && many_registers)
      for (; col + 8 <= whole.end; col += 8) columns<8>(col, all);
    for (; col + 4 <= whole.end; col += 4) columns<4>(col, all);
    for (; col < whole.end; ++col) columns<1>(col, all);
    for (; col < g.cols; ++col) at_border(col);
  }

  void run(std::int64_t begin, std::int64_t end) {
    // Columns where all taps are inside; none where the taps reach over more than the image.
    Positions whole{0, g.cols};
    for (const AxisTap& tap : g.tap_cols) {
      const Positions of_tap = reading_inside(tap.offset, g.step.w, g.cols, g.in_w);
      whole = {std::max(whole.begin, of_tap.begin), std::min(whole.end, of_tap.end)};
    }
    if (whole.begin >= whole.end) whole = {g.cols, g.cols};
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / g.rows, r = i % g.rows;
      rows = inside(g.tap_rows, r * g.step.h, g.in_h);
      row = static_cast<const S*>(g.in) + (image * g.in_h + r * g.step.h) * g.in_w * g.channels;
      out = static_cast<S*>(g.out) +
            ((image * g.out_h + g.out_origin.h + r * g.out_step.h) * g.out_w + g.out_origin.w) * g.channels;
      if constexpr (group == 1)
        if (dense_row(whole)) continue;
      any_row(whole);
    }
    if (g.stream) hwy::FlushStream();  // before another thread may read it
  }
};

// Calls f.template operator()<S, group>() for the type of the elements and the channels of a group.
template <class F>
void for_kind(DType dtype, std::int64_t group, F f) {
  const auto of_group = [&]<int n>() {
    if (group != n) return;
    dtype == bf16 ? f.template operator()<BFloat16, n>() : f.template operator()<float, n>();
  };
  of_group.template operator()<1>();
  of_group.template operator()<2>();
  of_group.template operator()<4>();
  of_group.template operator()<8>();
}

void rows(const GroupedGrid& grid, std::int64_t begin, std::int64_t end) {
  for_kind(grid.dtype, grid.group,
           [&]<class S, int group>() { RowPass<S, group>{.g = grid}.run(begin, end); });
}

// ---- The gradient in the weights

template <class S, int group>
struct SumPass {
  const GroupedGradient& g;
  float* sums;
  std::int64_t lanes = static_cast<std::int64_t>(hn::Lanes(d));
  const S *x = nullptr, *dy = nullptr;  // the rows that a tap reads and its outputs

  Spread<group> spread{};

  std::int64_t tap_cols() const { return static_cast<std::int64_t>(g.tap_cols.size()); }

  // Adds what outputs of columns [begin, end) give to the sums of `taps` taps of a row, from the j-th on.
  template <int taps, int vectors>
  HWY_INLINE void add(Positions cols, std::int64_t row, std::int64_t j, std::int64_t k,
                      std::int64_t place) const {
    if (cols.begin >= cols.end) return;
    V sum[taps][group][vectors];
    std::int64_t offset[taps];
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
      offset[t] = g.tap_cols[static_cast<std::size_t>(j + t)].offset * g.channels + k;
#pragma GCC unroll 16
      for (int e = 0; e < group; ++e)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) sum[t][e][v] = hn::Zero(d);
    }
    const std::int64_t step = g.stride.w * g.channels;
    const S *in = x + cols.begin * step, *out = dy + cols.begin * g.channels + k;
    for (std::int64_t col = cols.begin; col < cols.end; ++col, in += step, out += g.channels) {
      V gradient[vectors];
#pragma GCC unroll 2
      for (int v = 0; v < vectors; ++v) gradient[v] = get(out + v * lanes);
#pragma GCC unroll 8
      for (int t = 0; t < taps; ++t)
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v) {
          const V value = get(in + offset[t] + v * lanes);
#pragma GCC unroll 16
          for (int e = 0; e < group; ++e)
            sum[t][e][v] = hn::MulAdd(spread(value, e), gradient[v], sum[t][e][v]);
        }
    }
#pragma GCC unroll 8
    for (int t = 0; t < taps; ++t) {
      const std::int64_t tap = row * tap_cols() + g.tap_cols[static_cast<std::size_t>(j + t)].index;
#pragma GCC unroll 16
      for (int e = 0; e < group; ++e) {
        float* const to = sums + (tap * group + e) * g.row_size() + place;
#pragma GCC unroll 2
        for (int v = 0; v < vectors; ++v)
          hn::StoreU(hn::Add(hn::LoadU(d, to + v * lanes), sum[t][e][v]), d, to + v * lanes);
      }
    }
  }

  // `taps` taps of a row together where all are inside, and each alone at the borders.
  template <int taps, int vectors>
  HWY_INLINE void add_taps(std::int64_t row, std::int64_t j, std::int64_t k, std::int64_t place) const {
    Positions common{0, g.w_out}, each[taps];
    for (int t = 0; t < taps; ++t) {
      each[t] = reading_inside(g.tap_cols[static_cast<std::size_t>(j + t)].offset, g.stride.w, g.w_out, g.w);
      common = {std::max(common.begin, each[t].begin), std::min(common.end, each[t].end)};
    }
    if (common.begin >= common.end) common = {g.w_out, g.w_out};
    add<taps, vectors>(common, row, j, k, place);
    for (int t = 0; t < taps; ++t) {
      add<1, vectors>({each[t].begin, std::min(each[t].end, common.begin)}, row, j + t, k, place);
      add<1, vectors>({std::max(each[t].begin, common.end), each[t].end}, row, j + t, k, place);
    }
  }

  template <int vectors>
  void add_row(std::int64_t row, std::int64_t k, std::int64_t place) const {
    // As many sums as registers hold.
    constexpr int most = 14 / (group * vectors);
    std::int64_t j = 0;
    if constexpr (most >= 7)
      for (; j + 7 <= tap_cols(); j += 7) add_taps<7, vectors>(row, j, k, place);
    if constexpr (most >= 5)
      for (; j + 5 <= tap_cols(); j += 5) add_taps<5, vectors>(row, j, k, place);
    if constexpr (most >= 3)
      for (; j + 3 <= tap_cols(); j += 3) add_taps<3, vectors>(row, j, k, place);
    for (; j < tap_cols(); ++j) add_taps<1, vectors>(row, j, k, place);
  }

  void run(std::int64_t begin, std::int64_t end) {
    const Vectors vectors(g.channels);
    for (std::int64_t i = begin; i < end; ++i) {
      const std::int64_t image = i / g.h_out, r = i % g.h_out;
      dy = static_cast<const S*>(g.dy) + i * g.w_out * g.channels;
      const Taps rows = inside(g.tap_rows, r * g.stride.h, g.h);
      std::int64_t v = 0;
      for (std::int64_t t = 0; t < rows.count; ++t) {
        const std::int64_t row = rows.first[t].index;
        x = static_cast<const S*>(g.x) +
            (image * g.h + r * g.stride.h + rows.first[t].offset) * g.w * g.channels;
        v = 0;
        if constexpr (group == 1)
          for (; v + wide_sums <= vectors.whole(); v += wide_sums)
            add_row<wide_sums>(row, v * lanes, v * lanes);
        for (; v < vectors.whole(); ++v) add_row<1>(row, v * lanes, v * lanes);
        if (vectors.rest()) add_row<1>(row, vectors.last(), v * lanes);
      }
    }
  }
};

void sums(const GroupedGradient& gradient, std::int64_t begin, std::int64_t end, float* out) {
  for_kind(gradient.dtype, gradient.group,
           [&]<class S, int group>() { SumPass<S, group>{.g = gradient, .sums = out}.run(begin, end); });
}

}  // namespace karyon::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace karyon::cpu {
namespace {

HWY_EXPORT(rows);
HWY_EXPORT(sums);

}  // namespace

void grouped_rows(const GroupedGrid& grid, std::int64_t begin, std::int64_t end) {
  HWY_DYNAMIC_DISPATCH(rows)(grid, begin, end);
}
void grouped_sums(const GroupedGradient& gradient, std::int64_t begin, std::int64_t end, float* out) {
  std::fill_n(out, gradient.sums_size(), 0.0f);
  HWY_DYNAMIC_DISPATCH(sums)(gradient, begin, end, out);
}

}  // namespace karyon::cpu
#endif
