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

std::string file_of(Module& module, const Tensor& input) {
  const EnableGradGuard record;
  const TraceGuard trace;
  Tensor x = input.detach().clone();
  x.requires_grad_();
  const Tensor y = module(x);
  check(y.defined() && y.node() != nullptr,
        "export_onnx: the output does not depend on the input by recorded operations");
  ExportGraph graph(module, x);
  for (const karyon::Node* node : nodes_behind(y)) graph.add(*node);
  return graph.finish(y);
}

/// x as the file means it, and back.
Tensor turned(const Tensor& x, bool channels_first) {
  if (!is_images(x.dim())) return x;
  return channels_first ? to_channels_first(x) : to_channels_last(x);
}

/// The largest difference of the file's network from the module, as a share of the largest output.
double difference(OnnxModule& file, Module& module, const Tensor& x) {
  const NoGradGuard guard;
  const Tensor expected = module(x), y = turned(file(turned(x, true)), false);
  if (y.shape() != expected.shape()) return INFINITY;
  if (y.numel() == 0) return 0;
  return abs(sub(y, expected)).max().item<double>() / (1e-30 + abs(expected).max().item<double>());
}

/// Removes a file when it goes.
struct Trial {
  std::filesystem::path path;
  explicit Trial(std::filesystem::path p) : path(std::move(p)) {}
  ~Trial() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  Trial(const Trial&) = delete;
  Trial& operator=(const Trial&) = delete;
};

}  // namespace

void export_onnx(Module& module, const Tensor& example, const std::filesystem::path& path) {
  check(example.defined() && (example.dtype() == f32 || example.dtype() == f64) && example.dim() >= 2 &&
            example.size(0) >= 1,
        "export_onnx: expects an example [N, ...] of f32 or f64");
  check(!module.is_training(), "export_onnx: expects a module in evaluation: call eval()");
  // Another batch shows which sizes grow with it.
  const Tensor further = cat({example, example, example}, 0);
  const Trial trial(path.string() + ".part");
  std::ofstream(trial.path, std::ios::binary) << file_of(module, further);
  const auto file = load_onnx(trial.path);
  for (const Tensor& x : {example, further}) {
    const double error = difference(*file, module, x);
    check(error < 1e-4, "export_onnx: the file's network differs from the module by ", error,
          " for an input ", x.shape());
  }
  std::error_code failed;
  std::filesystem::rename(trial.path, path, failed);
  check(!failed, "export_onnx: cannot write ", path);
}

}  // namespace karyon
