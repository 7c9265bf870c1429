#pragma once
#include <cstdint>

#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/dtype.h>

// Private to core/cpu: register tiles as in tiles.h, in bf16 with AVX512_BF16's dot products of pairs: half
// the instructions of f32. Sums are f32. A panel has 32 outputs, two vectors; the last one is filled up with
// zeros.
namespace karyon::cpu {

constexpr std::int64_t bf16_block = 32;

/// Whether the processor has these dot products and KARYON_SIMD allows them. If not, the functions below must
/// not be called.
bool has_bf16_dot();

/// The next data to read, fetched into the L2 cache meanwhile.
struct Bf16Ahead {
  const BFloat16* data = nullptr;
  std::int64_t count = 0;
  /// The share that [begin, end) has of `all`.
  Bf16Ahead share(std::int64_t begin, std::int64_t end, std::int64_t all) const {
    const std::int64_t first = begin * count / all;
    return {data + first, end * count / all - first};
  }
};

/// y(i, k) (+)= bias[k] + sum over the runs of x * filter, for a row of pixels and one panel of outputs.
/// Where a run has an odd length, the filter pairs its last value with zeros.
struct Bf16Tiles {
  const BFloat16* x;
  std::int64_t x_pixel;
  const Run* runs;
  std::int64_t run_count;
  const BFloat16* filter;  // [pairs of the runs][32][2]
  std::int64_t y_pixel;
  std::int64_t cols;
  std::int64_t outputs;                // 1 to 32; f32 outputs are written whole
  const float* bias = nullptr;         // [32] or nullptr
  bool accumulate;                     // add to y instead of writing it, f32 only
  std::int64_t ahead = 0;              // distance to the filter that is needed next, fetched meanwhile
  const Epilogue* epilogue = nullptr;  // applied last to the 32 outputs
  bool nontemporal = false;            // bf16 only: non-temporal stores of 32 outputs, aligned to 64 bytes
  Bf16Ahead next = {};
};
void bf16_forward_tiles(const Bf16Tiles& tiles, float* y);
void bf16_forward_tiles(const Bf16Tiles& tiles, BFloat16* y);

/// sums[e][k] += sum over pairs of pixels of x[e] * dy[k].
struct Bf16WeightTiles {
  const BFloat16* x;  // [pairs][elements][2], x_pair from one pair to the next
  std::int64_t x_pair, elements;
  const BFloat16* dy;  // [pairs][32][2]
  std::int64_t pairs;
  float* sums;                  // [elements][32]
  const float* next = nullptr;  // as many sums, which are needed next: fetched into the L2 cache meanwhile
};
void bf16_weight_tiles(const Bf16WeightTiles& tiles);

/// The pairs of a row of pixels: to[p][i][0] = x[2 p][i], to[p][i][1] = x[2 p + 1][i] for `n` values. Zeros
/// follow up to `width`, a multiple of 32 or n. Pairs are `to_pair` apart. An odd last pixel is paired with
/// zeros.
void bf16_interleave(const BFloat16* x, std::int64_t x_pixel, std::int64_t pixels, std::int64_t n,
                     BFloat16* to, std::int64_t to_pair, std::int64_t width);

/// to = from, rounded; n is at most 32.
void bf16_rounded(const float* from, std::int64_t n, BFloat16* to);

}  // namespace karyon::cpu
