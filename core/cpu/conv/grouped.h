#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/conv/taps.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/dtype.h>
#include <karyon/core/shape.h>

// Private to core/cpu/conv: the passes of grouped.cpp, compiled once for each instruction set. Images have
// the same channels on both sides, at least least_grouped of them; values are f32 or bf16, sums f32.
namespace karyon::cpu {

/// A whole vector of every instruction set.
inline constexpr std::int64_t least_grouped = 16;

/// A grid of outputs: out(i, j, k) = the sum over taps and the channels c of k's group of
/// in(i * step + tap, c) * filter(tap, c, k).
struct GroupedGrid {
  DType dtype;
  // [n, in_h, in_w, channels]
  const void* in;
  std::int64_t n, in_h, in_w, channels;
  Pair step = 1;
  std::vector<AxisTap> tap_rows = {}, tap_cols = {};
  std::int64_t group;  // channels of a group: 1, 2, 4 or 8, and at most a vector
  // [kernel_h, kernel_w, group, channels]
  const float* filter;
  std::int64_t kernel_w;
  // Positions of [n, out_h, out_w, channels].
  void* out;
  std::int64_t rows, cols, out_h, out_w;
  Pair out_origin = 0, out_step = 1;
  // y = activation(scale sum + shift); scale is 1 where it is null, shift 0.
  const float *scale = nullptr, *shift = nullptr;
  SimpleActivation activation = {};
  const FinishPass* finish = nullptr;  // steps after these, of the whole grid
  bool stream = false;  // by non-temporal stores: `out` aligned to 64 bytes, channels a multiple of 16
};

/// Rows [begin, end) of the n * rows rows of outputs.
void grouped_rows(const GroupedGrid& grid, std::int64_t begin, std::int64_t end);

/// What the gradient in the weights reads: x [n, h, w, channels] and dy [n, h_out, w_out, channels].
struct GroupedGradient {
  DType dtype;
  const void *x, *dy;
  std::int64_t n, h, w, h_out, w_out, channels;
  Pair stride = 1;
  std::vector<AxisTap> tap_rows = {}, tap_cols = {};
  std::int64_t group;  // as above

  std::int64_t sums_size() const { return sum_rows() * row_size(); }
  std::int64_t sum_rows() const {
    return static_cast<std::int64_t>(tap_rows.size() * tap_cols.size()) * group;
  }
  /// Vectors one after the other; the last one holds the last channels.
  std::int64_t row_size() const { return round_up(channels, 16); }
};

/// sums [kernel_h, kernel_w, group, row_size] = those of rows [begin, end) of the n * h_out rows of dy.
void grouped_sums(const GroupedGradient& gradient, std::int64_t begin, std::int64_t end, float* sums);

}  // namespace karyon::cpu
