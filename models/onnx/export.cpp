#include <cmath>
#include <fstream>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/models/onnx/export_graph.h>
#include <karyon/models/onnx/onnx.h>
#include <karyon/models/onnx/value.h>

namespace karyon {
namespace {

using namespace onnx;

/// The nodes behind y, oldest first.
std::vector<const karyon::Node*> nodes_behind(const Tensor& y) {
  std::map<std::uint64_t, const karyon::Node*> found;
  std::vector<const karyon::Node*> open{y.node().get()};
  while (!open.empty()) {
    const karyon::Node* node = open.back();
    open.pop_back();
    if (node == nullptr || !found.emplace(node->order, node).second) continue;
    for (const karyon::Node::Edge& edge : node->edges) open.push_back(edge.node.get());
  }
  std::vector<const karyon::Node*> nodes;
  for (const auto& [order, node] : found) nodes.push_back(node);
  return nodes;
}

std::string file_of(Module& module, const Tensor& example, const ExportGuess& guess) {
  const EnableGradGuard record;
  Tensor x = example.detach().clone();
  x.requires_grad_();
  const Tensor y = module(x);
  check(y.defined() && y.node() != nullptr,
        "export_onnx: the output does not depend on the input by recorded operations");
  ExportGraph graph(module, guess);
  graph.input(x);
  for (const karyon::Node* node : nodes_behind(y)) graph.add(*node);
  return graph.finish(y);
}

/// The file's network on x, where its images are [N, C, H, W].
double largest_difference(const std::filesystem::path& path, const Tensor& x, const Tensor& y) {
  const NoGradGuard guard;
  const Tensor z = (*load_onnx(path))(x.dim() == 4 ? to_channels_first(x) : x);
  const Tensor back = z.dim() == 4 ? to_channels_last(z) : z;
  if (back.shape() != y.shape()) return INFINITY;
  return y.numel() == 0 ? 0 : abs(sub(back, y)).max().item<double>() / (1e-30 + abs(y).max().item<double>());
}

}  // namespace

void export_onnx(Module& module, const Tensor& example, const std::filesystem::path& path) {
  check(example.defined() && is_floating(example.dtype()) && example.dtype() != bf16 && example.dim() >= 1,
        "export_onnx: expects an example of f32 or f64");
  check(!module.is_training(), "export_onnx: expects a module in evaluation: call eval()");
  Tensor expected;
  {
    const NoGradGuard guard;
    expected = module(example);
  }
  const std::filesystem::path trial = path.string() + ".part";
  double difference = INFINITY;
  for (const ExportGuess& guess : {ExportGuess{"half_pixel", false}, ExportGuess{"half_pixel", true},
                                   ExportGuess{"nearest", false}, ExportGuess{"align_corners", false}}) {
    const std::string bytes = file_of(module, example, guess);
    std::ofstream(trial, std::ios::binary) << bytes;
    difference = largest_difference(trial, example, expected);
    if (difference < 1e-4) break;
  }
  std::error_code failed;
  if (difference < 1e-4) {
    std::filesystem::rename(trial, path, failed);
    check(!failed, "export_onnx: cannot write ", path);
    return;
  }
  std::filesystem::remove(trial, failed);
  throw Error("export_onnx: the file's network differs from the module by " + std::to_string(difference) +
              ", so an operation has options that a forward does not show");
}

}  // namespace karyon
