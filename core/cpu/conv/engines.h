#pragma once
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <karyon/core/kernels/conv.h>

// Private to core/cpu: the engines of convolution. See README.md beside this file.
namespace karyon::cpu {

enum class ConvDirection { forward, backward_data, backward_weight };

/// One way to compute convolutions. The functions have the parameters of the kernels in core/kernels/conv.h.
struct ConvEngine {
  std::string_view name;
  /// Why the engine cannot or should not compute this, or null.
  const char* (*refuse)(ConvDirection, const ConvGeometry&, DType);
  void (*forward)(const ConvGeometry&, const ConvHints&, const Tensor& x, const Tensor& weight,
                  const Tensor& bias, Tensor& y);
  void (*affine)(const ConvGeometry&, const ConvHints&, const Tensor& x, const Tensor& weight,
                 const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
  void (*backward_data)(const ConvGeometry&, const ConvHints&, const Tensor& dy, const Tensor& weight,
                        const Tensor& bias, Tensor& dx);
  bool writes_parts;  ///< backward_data writes a lazy cat part by part
  void (*backward_weight)(const ConvGeometry&, const Tensor& x, const Tensor& dy, Tensor& dweight);
};

/// All engines, best first: a convolution takes the first that does not refuse. The last refuses nothing.
std::span<const ConvEngine> conv_engines();

/// The engine that conv2d takes, and why earlier ones refused: "not winograd: the stride is not 1; direct".
/// The other two directions choose in the same way.
std::string explain_conv2d(const ConvGeometry& g, DType dtype);

/// Some pixels of a convolution, as images of their own.
struct PixelRows {
  ConvGeometry g;
  std::int64_t first;  ///< pixels before them
};
/// A convolution whose outputs read one pixel each knows no images. Where they are narrow, this gives its pixels
/// as rows that suit register tiles, and those that fill no row as one more. Other geometries stay as they are.
std::vector<PixelRows> in_wide_rows(const ConvGeometry& g);

/// Whether the image with its padding is so much larger than the image that engines must not copy it: a
/// dilation and a padding of 2^30 are valid.
bool mostly_padding(const ConvGeometry& g);

// Reference: plain loops in f32 and f64, any geometry.
void conv2d_reference(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                      const Tensor& bias, Tensor& y);
void conv2d_affine_reference(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                             const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_reference(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                    const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_reference(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                      Tensor& dweight);
/// y = activation(scale y + shift + residual), scale and shift per channel. f32 or f64.
void scale_and_shift(const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);

// Grouped: groups of 1, 2, 4 or 8 channels and as many outputs, at most a vector; or depthwise with any
// number of outputs. At least 16 outputs, in f32 and bf16.
const char* conv2d_grouped_refuse(const ConvGeometry& g, DType dtype);
void conv2d_grouped(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                    const Tensor& bias, Tensor& y);
void conv2d_affine_grouped(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                           const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_grouped(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                  const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_grouped(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                    Tensor& dweight);

// Direct: register tiles in f32, any geometry.
void conv2d_direct(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, Tensor& y);
void conv2d_affine_direct(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                          const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_direct(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                 const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_direct(const ConvGeometry& g, const Tensor& x, const Tensor& dy, Tensor& dweight);

// Direct in bf16, with AVX512_BF16. Forward and backward-weights take any geometry. Backward-data takes
// kernels as wide as the stride (those of transposed convolutions).
const char* conv2d_direct_bf16_refuse(ConvDirection direction, const ConvGeometry& g, DType dtype);
void conv2d_direct_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                        const Tensor& bias, Tensor& y);
void conv2d_affine_direct_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                               const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_direct_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                      const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_direct_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                        Tensor& dweight);

// Winograd: 3 x 3 with stride 1, in f32. It refuses the same in all three directions.
const char* conv2d_winograd_refuse(const ConvGeometry& g, DType dtype);
void conv2d_winograd(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                     const Tensor& bias, Tensor& y);
void conv2d_affine_winograd(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                            const Tensor& scale, const Tensor& shift, const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_winograd(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                   const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_winograd(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                     Tensor& dweight);

// The same in bf16, with AVX512_BF16.
const char* conv2d_winograd_bf16_refuse(const ConvGeometry& g, DType dtype);
void conv2d_winograd_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& x, const Tensor& weight,
                          const Tensor& bias, Tensor& y);
void conv2d_affine_winograd_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& x,
                                 const Tensor& weight, const Tensor& scale, const Tensor& shift,
                                 const ConvFinish& finish, Tensor& y);
void conv2d_backward_data_winograd_bf16(const ConvGeometry& g, const ConvHints&, const Tensor& dy,
                                        const Tensor& weight, const Tensor& bias, Tensor& dx);
void conv2d_backward_weight_winograd_bf16(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                          Tensor& dweight);

}  // namespace karyon::cpu
