#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>

// Private to core/cpu: the passes of batch and group norm over memory, compiled once for each instruction
// set. x, y, dy and dx are f32, or bf16 that is computed in f32 and rounded. Rows have `lanes` values, a
// multiple of 16. Arrays of floats hold one value per lane.
namespace karyon::cpu {

/// y = max(scale x + shift, floor). `stream`: by non-temporal stores; the rows of y must then be aligned to
/// 64 bytes.
void norm_affine(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* scale,
                 const float* shift, float floor, bool stream, void* y);

/// sums[lane] = the sum of x, or of (x - centre)^2 if centre is given.
void norm_sums(DType dtype, const void* x, std::int64_t rows, std::int64_t lanes, const float* centre,
               float* sums);

/// What backward needs of forward: normalized values were scale x + shift. With relu, values of 0 or less
/// pass no gradient.
struct NormForward {
  const float *mean, *scale, *shift;
  bool relu;
};
/// sum_dy[lane] and sum_dy_x[lane] = the sums of dy and dy (x - mean).
void norm_gradient_sums(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
                        const NormForward& forward, float* sum_dy, float* sum_dy_x);
/// dx = scale dy + slope (x - mean) + offset; `stream` as above, for dx.
void norm_gradient(DType dtype, const void* dy, const void* x, std::int64_t rows, std::int64_t lanes,
                   const NormForward& forward, const float* slope, const float* offset, bool stream,
                   void* dx);

}  // namespace karyon::cpu
