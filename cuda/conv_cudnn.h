#pragma once
#include <string>

#include <karyon/cuda/conv_plan.h>

namespace karyon::cuda {

/// Where a problem's tensors lie on the device; the result's is written.
struct ConvPointers {
  const void *x = nullptr, *weight = nullptr, *y = nullptr, *shift = nullptr;
};

/// Runs a convolution through cuDNN on the calling thread's stream and returns an empty string, or does
/// nothing and returns why cuDNN does not take it. Plans are made once per problem and kept. With
/// KARYON_CUDNN_AUTOTUNE=1 in the environment several are timed on the first call and the fastest is kept,
/// which may be another one in the next run of the program.
std::string conv_cudnn(const ConvProblem& problem, const ConvPointers& pointers);

/// "cuDNN 9.19.0", or "no cuDNN" and the reason.
std::string cudnn_summary();

}  // namespace karyon::cuda
