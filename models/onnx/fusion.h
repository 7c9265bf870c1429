#pragma once
#include <karyon/core/ops/conv.h>
#include <karyon/models/onnx/graph.h>

namespace karyon::onnx {

/// Products with a weight, [in, out] or turned by a Transpose, become "karyon:Linear" with a weight [out, in].
void find_linear_layers(Graph& graph);
/// Convolutions and linear layers take what follows them: a norm, a bias, a sum, an activation.
void fuse(Graph& graph);
/// The activation that fuse() gave to a node.
ActivationKind fused_activation(const Node& node);

}  // namespace karyon::onnx
