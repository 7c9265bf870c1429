#include <algorithm>
#include <set>

#include <karyon/core/autograd.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/readers.h>

// What is done once, when a file is loaded, so that each forward has less to do.
namespace karyon::onnx {
namespace {

/// Whether a node computes sizes and places from few constant numbers, the same ones each time.
bool is_foldable(const Node& node, const std::map<std::string, Value>& constants) {
  static const std::set<std::string> cheap{
      "Add",   "And",    "Cast",    "Ceil",       "Concat",    "Constant", "Div",       "Equal",
      "Floor", "Gather", "Less",    "Greater",    "Max",       "Min",      "Mod",       "Mul",
      "Neg",   "Not",    "Or",      "ReduceProd", "ReduceSum", "Reshape",  "Shape",     "Size",
      "Slice", "Split",  "Squeeze", "Sub",        "Transpose", "Where",    "Unsqueeze",
  };
  if (!node.domain.empty() || cheap.count(node.type) == 0) return false;
  constexpr std::int64_t few = 4096;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& name) {
    const auto found = constants.find(name);
    return name.empty() || (found != constants.end() && found->second.tensor.defined() &&
                            found->second.tensor.numel() <= few);
  });
}

}  // namespace

void remove_identities(Graph& graph) {
  const Readers readers(graph);
  std::map<std::string, std::string> origin;
  std::set<std::size_t> gone;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& node = graph.nodes[i];
    for (std::string& name : node.inputs) {
      const auto found = origin.find(name);
      if (found != origin.end()) name = found->second;
    }
    if (!is_own(node, "Identity") || node.inputs.size() != 1 || node.outputs.size() != 1) continue;
    if (readers.is_fixed(node.outputs[0])) continue;
    origin[node.outputs[0]] = node.inputs[0];
    gone.insert(i);
  }
  remove_nodes(graph, gone);
}

void fold_constants(Program& program) {
  Graph& graph = program.graph;
  std::map<std::string, Value> constants;
  for (const Initializer& initializer : graph.initializers)
    if (!is_floating(initializer.value.tensor.dtype())) constants[initializer.name] = initializer.value;
  const NoGradGuard guard;
  std::set<std::size_t> gone;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    const Node& node = graph.nodes[i];
    if (!is_foldable(node, constants)) continue;
    Graph one;
    one.nodes = {node};
    one.outputs = node.outputs;
    std::erase(one.outputs, "");
    Scope scope(program, nullptr);
    for (const std::string& name : node.inputs)
      if (!name.empty()) scope.set(name, constants.at(name));
    try {
      const Values results = scope.run(one);
      for (std::size_t k = 0; k < results.size(); ++k) constants[one.outputs[k]] = results[k];
      for (std::size_t k = 0; k < results.size(); ++k) graph.constants[one.outputs[k]] = results[k];
      gone.insert(i);
    } catch (const Error&) {
      // The same error will come when the network runs.
    }
  }
  remove_nodes(graph, gone);
}

}  // namespace karyon::onnx
