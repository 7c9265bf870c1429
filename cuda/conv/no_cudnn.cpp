// In place of conv_cudnn.cpp where the headers of cuDNN 9 are missing.
#include <karyon/cuda/conv/conv_cudnn.h>

namespace karyon::cuda {

std::string conv_cudnn(const ConvProblem&, const ConvPointers&) { return "built without cuDNN"; }

bool conv_cudnn_refused(const ConvProblem&) { return true; }

std::string cudnn_summary() { return "no cuDNN: built without it"; }

}  // namespace karyon::cuda
