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
  /// The places of all readers; none if others read it, too.
  std::vector<std::size_t> all(const std::string& name) const {
    const auto found = readers_.find(name);
    return is_fixed(name) || found == readers_.end() ? std::vector<std::size_t>() : found->second;
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

/// A convolution that computes what follows it, too.
void take_norm(Node& conv, const Node& norm) {
  conv.inputs.resize(3);
  conv.inputs.insert(conv.inputs.end(), norm.inputs.begin() + 1, norm.inputs.end());
  conv.attributes["karyon.norm"].f = norm.real("epsilon", 1e-5);
  conv.outputs[0] = norm.outputs[0];
}
void take_activation(Node& conv, const std::string& type, const std::string& result) {
  conv.attributes["karyon.activation"].s = type;
  conv.outputs[0] = result;
}

/// Whether a node is an activation that a convolution can compute.
bool is_activation(const Node& node, const Graph& graph) {
  if (is_own(node, "Relu") || is_own(node, "HardSwish")) return true;
  if (!is_own(node, "Clip") || node.inputs.size() != 3) return false;
  const auto is = [&](std::size_t input, double value) {
    const Fact* fact = fact_of(graph.facts, node, input);
    return fact != nullptr && fact->known.defined() && fact->known.numel() == 1 &&
           fact->known.item<double>() == value;
  };
  return is(1, 0) && is(2, 6);
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

namespace {

/// Fuses what follows one convolution. The sum of two convolutions is computed by the later one.
class ConvFusion {
 public:
  explicit ConvFusion(Graph& graph) : graph_(graph), readers_(graph) {
    for (const Initializer& initializer : graph.initializers) state_.insert(initializer.name);
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const std::string& name : graph.nodes[i].outputs) made_[name] = i;
  }

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) fuse(i);
    remove_nodes(graph_, gone_);
  }

 private:
  /// The only reader of the convolution's result, or null.
  Node* next(const Node& conv) {
    place_ = readers_.only(conv.outputs[0]);
    return place_ < 0 ? nullptr : &graph_.nodes[static_cast<std::size_t>(place_)];
  }
  void take(Node& conv) {
    gone_.insert(static_cast<std::size_t>(place_));
    static const Operator* const fused = find_operator("karyon", "Conv");
    conv.op = fused;
  }
  /// PyTorch writes SiLU as x Sigmoid(x).
  void take_silu(Node& conv) {
    std::vector<std::size_t> places = readers_.all(conv.outputs[0]);
    if (places.size() != 2) return;
    if (!is_own(graph_.nodes[places[0]], "Sigmoid")) std::swap(places[0], places[1]);
    const Node &sigmoid = graph_.nodes[places[0]], &product = graph_.nodes[places[1]];
    if (!is_own(sigmoid, "Sigmoid") || !is_own(product, "Mul") || product.has("broadcast") ||
        readers_.only(sigmoid.outputs[0]) != static_cast<std::ptrdiff_t>(places[1]))
      return;
    take_activation(conv, "Silu", product.outputs[0]);
    for (const std::size_t place : places) {
      place_ = static_cast<std::ptrdiff_t>(place);
      take(conv);
    }
  }
  /// What a sum adds to the convolution's result, if it is there before the convolution runs; else "".
  std::string partner(const Node& sum, const Node& conv, std::size_t at) const {
    if (!is_own(sum, "Add") || sum.inputs.size() != 2 || sum.has("broadcast")) return "";
    const std::string& other = sum.inputs[sum.inputs[0] == conv.outputs[0] ? 1 : 0];
    const auto made = made_.find(other);
    const bool ready = made == made_.end() || made->second < at;
    const auto fact = graph_.facts.find(other);
    const bool constant =
        state_.count(other) != 0 || (fact != graph_.facts.end() && fact->second.known.defined());
    return other != conv.outputs[0] && ready && !constant ? other : "";
  }

  void fuse(std::size_t at) {
    Node& conv = graph_.nodes[at];
    if (!is_own(conv, "Conv") || conv.outputs.size() != 1 || gone_.count(at) != 0) return;
    Node* node = next(conv);
    if (node != nullptr && is_norm_of_channels(*node, state_)) {
      take_norm(conv, *node);
      take(conv);
      node = next(conv);
    }
    const std::string other = node != nullptr ? partner(*node, conv, at) : "";
    if (!other.empty()) {
      conv.inputs.resize(7);
      conv.inputs.push_back(other);
      conv.outputs[0] = node->outputs[0];
      take(conv);
      node = next(conv);
    }
    if (node != nullptr && is_activation(*node, graph_)) {
      take_activation(conv, node->type, node->outputs[0]);
      take(conv);
    } else if (node == nullptr) {
      take_silu(conv);
    }
    made_[conv.outputs[0]] = at;
  }

  Graph& graph_;
  Readers readers_;
  std::set<std::string> state_;
  std::set<std::size_t> gone_;
  std::map<std::string, std::size_t> made_;
  std::ptrdiff_t place_ = -1;
};

}  // namespace

void fuse_convolutions(Graph& graph) { ConvFusion(graph).run(); }

}  // namespace karyon::onnx
