#pragma once
#include <cstdint>

#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/dtype.h>

// Private to core/cpu: the transforms of F(4 x 4, 3 x 3) for images, filters and planes in bf16. They compute
// in f32 with AVX512_BF16 (see tiles_bf16.h). A tile is 6 x 6 pixels and becomes 36 planes.
//
// The points are 0, +-5/8, +-3/2 and infinity. With planes rounded to bf16 the result is off by 1.1 %
// (relative L2 norm). The points of f32, 0, +-1 and +-2, give 2.5 %.
//
// For pixels beyond the image, inputs point to zeros and outputs point to memory that is not read. Planes are
// `plane` elements apart, and the panels of 32 channels in them `block` elements. The last panel is filled up
// with zeros.
namespace karyon::cpu {

/// The pixels of a tile: from `first` on, `row` and `pixel` elements apart; or, at the border of an image, a
/// list [row][col].
template <class T>
struct Bf16Pixels {
  T* first = nullptr;
  std::int64_t row = 0, pixel = 0;
  T* const* each = nullptr;
};
using Bf16In = Bf16Pixels<const BFloat16>;
using Bf16Out = Bf16Pixels<BFloat16>;

struct Bf16Planes {
  BFloat16* data;
  std::int64_t plane, block;
};

/// The batch norm and ReLU of an input, max(scale x + shift, 0), if `factors` are given. A panel has factors
/// [4][16]: the scales of its 16 even channels, the scales of its odd ones, then the shifts of both. A pixel
/// at `outside` is 0.
struct Bf16Norm {
  const float* factors = nullptr;
  const BFloat16* outside = nullptr;
};

/// planes = B^T x B. Memory `ahead` elements after each pixel is fetched meanwhile.
void winograd_bf16_input(const Bf16In& x, const Bf16Norm& norm, std::int64_t channels, std::int64_t ahead,
                         const Bf16Planes& planes);
/// The same for two tiles: planes hold pairs, of the one tile and of the other.
void winograd_bf16_input_pair(const Bf16In (&x)[2], const Bf16Norm& norm, std::int64_t channels,
                              std::int64_t ahead, const Bf16Planes& planes);
/// planes = A dy A^T for two tiles of 4 x 4 pixels.
void winograd_bf16_gradient_pair(const Bf16In (&dy)[2], std::int64_t channels, std::int64_t ahead,
                                 const Bf16Planes& planes);
/// planes = G filter G^T for the 3 x 3 taps of a filter, and of two filters.
void winograd_bf16_filter(const BFloat16* const (&taps)[9], std::int64_t channels, const Bf16Planes& planes);
void winograd_bf16_filter_pair(const BFloat16* const (&taps)[2][9], std::int64_t channels,
                               const Bf16Planes& planes);

/// Sums over rounded outputs minus a centre: first for the 16 even channels of a panel, then for the odd
/// ones. Pixels at `outside` do not count.
struct Bf16Sums {
  float centre[32], sum[32], squares[32];
  const BFloat16* outside;
};

/// y = A^T planes A through the epilogue (of 32 channels), for up to 32 channels of a tile of 4 x 4 pixels.
/// With non-temporal stores there must be 32 channels, and y aligned to 64 bytes. The outputs are added to
/// `sums` if given.
void winograd_bf16_output(const float* planes, const Epilogue& epilogue, const Bf16Out& y,
                          std::int64_t channels, bool nontemporal, Bf16Sums* sums = nullptr);

/// taps = G^T planes G for the gradient of 3 x 3 taps: 9 x [channels], channels a multiple of 16.
void winograd_bf16_filter_gradient(const float* planes, std::int64_t plane, float* taps, std::int64_t tap,
                                   std::int64_t channels);

/// y[i][j] = x[j][i] for 16 x 16 pairs of bf16; x_row, y_row elements from one row to the next.
void transpose_pairs(const BFloat16* x, std::int64_t x_row, BFloat16* y, std::int64_t y_row);
/// y[i][j] = x[j][i] rounded for 16 x 16 floats, of which `rows` rows and `cols` columns of y are written.
void transpose_rounded(const float* x, std::int64_t x_row, BFloat16* y, std::int64_t y_row, std::int64_t rows,
                       std::int64_t cols);

}  // namespace karyon::cpu
