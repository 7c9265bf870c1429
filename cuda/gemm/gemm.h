#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>
#include <karyon/cuda/divisor.cuh>

// C [M, N] = A [M, K] B [K, N], batch by batch: the common part of matmul and the three directions of
// convolution. A and B are descriptions: a convolution gathers its matrix from an image.
namespace karyon::cuda {

/// How positions of one image and a window's taps meet positions of another:
/// there = here * stride + base + tap * step. A plain matrix is images of one pixel.
struct Patches {
  const void* data;
  std::int64_t image;  ///< elements of one image
  int h, w, pixel;     ///< of the image read; elements from one pixel to the next
  int stride_h, stride_w, base_h, base_w, step_h, step_w;
  Divisor depth, taps_w;     ///< k (or the column) = (tap_h * taps_w + tap_w) * depth + channel
  Divisor out_w, out_image;  ///< pixel number = image * out_image + row * out_w + column
  bool vector;
};

/// Rows of a matrix, k contiguous.
struct Rows {
  const void* data;
  std::int64_t stride;
  bool vector;
};

/// One row for each k = tap * depth + channel: channel * stride + the tap's offset; the other index
/// contiguous.
struct TapRows {
  const void* data;
  std::int64_t stride;
  Divisor depth, taps_w;
  int first, step_h, step_w;  ///< offset of the first tap, and from tap to tap
  bool vector;
};

/// Sizes, and offsets of A and B along each dimension of the batch (0 where broadcast), of C per batch, in
/// elements.
struct Product {
  int m, n, k;

  static constexpr int max_dims = 6;
  int dims = 0, batches = 1;
  Divisor size[max_dims];
  std::int64_t stride_a[max_dims] = {}, stride_b[max_dims] = {}, stride_c = 0;
};

/// Where C is written, and the epilogue: scale C + shift, then max(., 0), or adding to the old contents.
struct Output {
  void* data;
  const void *scale = nullptr, *shift = nullptr;                ///< [batches, columns] or nullptr (1 and 0)
  bool scale_f32 = false, shift_f32 = false, data_f32 = false;  ///< f32, or as A and B
  bool relu = false, accumulate = false;
  bool vector = false;      ///< runs of 4 columns are aligned
  bool contiguous = false;  ///< C is [batches, M, N] without gaps, so K may be cut into parts
  Divisor width, image;     ///< row m of C is the pixel (m / image, m % image / width, m % width)
  std::int64_t image_stride = 0, row_stride = 0, column_stride = 0, first = 0;
};

/// The product of bf16 or f32 matrices on the calling thread's stream. f32 goes through TF32 tensor cores
/// only if the environment says KARYON_TF32=1. Throws Error for bf16 on a device before compute
/// capability 8.0.
void multiply(DType dtype, const Product& p, const Patches& a, const Rows& b, const Output& out);
void multiply(DType dtype, const Product& p, const Patches& a, const TapRows& b, const Output& out);
void multiply(DType dtype, const Product& p, const TapRows& a, const Patches& b, const Output& out);
void multiply(DType dtype, const Product& p, const TapRows& a, const Rows& b, const Output& out);

}  // namespace karyon::cuda
