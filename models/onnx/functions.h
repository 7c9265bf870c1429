#pragma once
#include <onnx_file.pb.h>

namespace karyon::onnx {

/// Puts the nodes of the model's own functions in place of the nodes that call them. Throws Error for a
/// function that calls itself, and beyond a million nodes.
void inline_functions(onnx_file::Model& model);

}  // namespace karyon::onnx
