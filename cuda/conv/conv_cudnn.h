#pragma once
#include <string>

#include <karyon/core/kernels/conv.h>

// The convolutions as cuDNN computes them. Needs no header of cuDNN.
namespace karyon::cuda {

enum class ConvDirection { forward, backward_data, backward_weight };

/// One convolution, in one direction, as plans are made for it. f32 or bf16; sums are in f32.
struct ConvProblem {
  ConvDirection direction = ConvDirection::forward;
  ConvGeometry geometry;
  DType dtype = f32;
  bool shift = false;  ///< forward: a value per channel of y is added
  bool relu = false;   ///< forward, after the shift: max(., 0)
  bool tf32 = false;   ///< f32 products may be rounded to TF32 (10 fraction bits)
  friend bool operator==(const ConvProblem&, const ConvProblem&) = default;
};

/// Addresses of a problem's tensors on the device. The result is written.
struct ConvPointers {
  const void *x = nullptr, *weight = nullptr, *y = nullptr, *shift = nullptr;
};

/// Runs a convolution through cuDNN on the calling thread's stream and returns an empty string. If cuDNN
/// refuses it, returns the reason; the result is then unspecified. Plans are made once per problem and kept; one
/// that fails to run is replaced by the next. With KARYON_CUDNN_AUTOTUNE=1 in the environment several plans are
/// timed on the first call, and the fastest is kept. The next run of the program may keep another one.
std::string conv_cudnn(const ConvProblem& problem, const ConvPointers& pointers);

/// Whether an earlier conv_cudnn of this problem was refused for good.
bool conv_cudnn_refused(const ConvProblem& problem);

/// "cuDNN 9.19.0", or "no cuDNN" and the reason.
std::string cudnn_summary();

}  // namespace karyon::cuda
