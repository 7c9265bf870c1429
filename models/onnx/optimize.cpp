#include <algorithm>
#include <set>

#include <karyon/core/autograd.h>
#include <karyon/models/onnx/call.h>

// What is done once, when a file is loaded, so that each forward has less to do.
namespace karyon::onnx {
namespace {

/// Who reads each name of a graph: nodes by their places, and others (outputs, graphs in graphs) as `many`.
class Readers {
 public:
  explicit Readers(const Graph& graph) {
    for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
      for (const std::string& name : graph.nodes[i].inputs) add(name, i);
      for (const auto& [key, attribute] : graph.nodes[i].attributes)
        if (attribute.g)
          for (const std::string& name : free_names(*attribute.g)) fixed_.insert(name);
    }
    fixed_.insert(graph.outputs.begin(), graph.outputs.end());
  }
  bool is_fixed(const std::string& name) const { return fixed_.count(name) != 0; }
  /// The place of the only reader, or -1.
  std::ptrdiff_t only(const std::string& name) const {
    const auto found = readers_.find(name);
    if (is_fixed(name) || found == readers_.end() || found->second.size() != 1) return -1;
    return static_cast<std::ptrdiff_t>(found->second[0]);
  }

 private:
  void add(const std::string& name, std::size_t node) { readers_[name].push_back(node); }

  std::map<std::string, std::vector<std::size_t>> readers_;
  std::set<std::string> fixed_;
};

bool is_own(const Node& node, const char* type) { return node.domain.empty() && node.type == type; }

void remove_nodes(Graph& graph, const std::set<std::size_t>& places) {
  std::vector<Node> kept;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i)
    if (places.count(i) == 0) kept.push_back(std::move(graph.nodes[i]));
  graph.nodes = std::move(kept);
}

/// Whether a node gives the same result each time, from few numbers.
bool is_foldable(const Node& node, const std::map<std::string, Value>& constants) {
  static const std::set<std::string> large{"ConstantOfShape", "Expand", "Tile", "Range", "EyeLike"};
  if (node.domain.empty() && large.count(node.type) != 0) return false;
  for (const auto& [key, attribute] : node.attributes)
    if (attribute.g) return false;
  return std::all_of(node.inputs.begin(), node.inputs.end(), [&](const std::string& name) {
    const auto found = constants.find(name);
    return name.empty() || (found != constants.end() && !found->second.list);
  });
}

/// A convolution that computes what follows it, too.
void take_norm(Node& conv, const Node& norm) {
  conv.inputs.resize(3);
  conv.inputs.insert(conv.inputs.end(), norm.inputs.begin() + 1, norm.inputs.end());
  Attribute eps;
  eps.f = norm.real("epsilon", 1e-5);
  conv.attributes["karyon.norm"] = eps;
  conv.outputs[0] = norm.outputs[0];
}
void take_relu(Node& conv, const Node& relu) {
  conv.attributes["karyon.relu"] = Attribute{};
  conv.outputs[0] = relu.outputs[0];
}

/// A norm by statistics that are there before the convolution.
bool is_norm_of_channels(const Node& node, const std::set<std::string>& state) {
  return is_own(node, "BatchNormalization") && node.inputs.size() == 5 &&
         std::all_of(node.inputs.begin() + 1, node.inputs.end(),
                     [&](const std::string& name) { return state.count(name) != 0; }) &&
         node.integer("training_mode", 0) == 0 &&
         std::count_if(node.outputs.begin(), node.outputs.end(),
                       [](const auto& name) { return !name.empty(); }) == 1;
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

void fuse_convolutions(Graph& graph) {
  const Readers readers(graph);
  const Operator* const fused = find_operator("karyon", "Conv");
  std::set<std::string> state;
  for (const Initializer& initializer : graph.initializers) state.insert(initializer.name);
  std::set<std::size_t> gone;
  for (std::size_t i = 0; i < graph.nodes.size(); ++i) {
    Node& conv = graph.nodes[i];
    if (!is_own(conv, "Conv") || conv.outputs.size() != 1) continue;
    bool any = false;
    std::ptrdiff_t next = readers.only(conv.outputs[0]);
    if (next >= 0 && is_norm_of_channels(graph.nodes[static_cast<std::size_t>(next)], state)) {
      take_norm(conv, graph.nodes[static_cast<std::size_t>(next)]);
      gone.insert(static_cast<std::size_t>(next));
      next = readers.only(conv.outputs[0]);
      any = true;
    }
    if (next >= 0 && is_own(graph.nodes[static_cast<std::size_t>(next)], "Relu")) {
      take_relu(conv, graph.nodes[static_cast<std::size_t>(next)]);
      gone.insert(static_cast<std::size_t>(next));
      any = true;
    }
    if (any) conv.op = fused;
  }
  remove_nodes(graph, gone);
}

}  // namespace karyon::onnx
