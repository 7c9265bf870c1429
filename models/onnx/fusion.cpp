#include <karyon/models/onnx/fusion.h>

#include <karyon/core/ops/layout.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/readers.h>

namespace karyon::onnx {
namespace {

/// Inputs of fused nodes: what is added.
constexpr std::size_t conv_residual = 7, linear_residual = 3;

void take_norm(Node& conv, const Node& norm) {
  conv.inputs.resize(3);
  conv.inputs.insert(conv.inputs.end(), norm.inputs.begin() + 1, norm.inputs.end());
  conv.attributes["karyon.norm"].f = norm.real("epsilon", 1e-5);
  conv.outputs[0] = norm.outputs[0];
}
void take_activation(Node& layer, const std::string& type, const std::string& result) {
  layer.attributes["karyon.activation"].s = type;
  layer.outputs[0] = result;
}

/// Whether a node is an activation that a layer can compute.
bool is_activation(const Node& node, const Graph& graph) {
  if (is_own(node, "Relu") || is_own(node, "HardSwish")) return true;
  if (is_own(node, "Gelu")) return node.text_of("approximate", "none") == "none";
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

/// Fuses what follows one layer. The sum of two layers is computed by the later one.
class Fusion {
 public:
  explicit Fusion(Graph& graph) : graph_(graph), readers_(graph) {
    for (const Initializer& initializer : graph.initializers) {
      state_.insert(initializer.name);
      if (!initializer.value.channels_last) sizes_[initializer.name] = initializer.value.tensor.shape();
    }
    for (std::size_t i = 0; i < graph.nodes.size(); ++i)
      for (const std::string& name : graph.nodes[i].outputs) made_[name] = i;
  }

  void run() {
    for (std::size_t i = 0; i < graph_.nodes.size(); ++i) fuse(i);
    remove_nodes(graph_, gone_);
  }

 private:
  /// The only reader of the layer's result, or null.
  Node* next(const Node& layer) {
    place_ = readers_.only(layer.outputs[0]);
    return place_ < 0 ? nullptr : &graph_.nodes[static_cast<std::size_t>(place_)];
  }
  void take(Node& layer) {
    gone_.insert(static_cast<std::size_t>(place_));
    static const Operator* const fused = find_operator("karyon", "Conv");
    if (is_own(layer, "Conv")) layer.op = fused;
  }
  /// The bias of a linear layer.
  bool take_bias(Node& linear, const Node& sum) {
    if (!is_own(sum, "Add") || sum.inputs.size() != 2 || sum.has("broadcast")) return false;
    const std::string& other = sum.inputs[sum.inputs[0] == linear.outputs[0] ? 1 : 0];
    const auto bias = sizes_.find(other), weight = sizes_.find(linear.inputs[1]);
    if (bias == sizes_.end() || bias->second != Shape{weight->second[0]}) return false;
    linear.inputs.push_back(other);
    linear.outputs[0] = sum.outputs[0];
    return true;
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
    Node& layer = graph_.nodes[at];
    const bool is_conv = is_own(layer, "Conv"), is_linear = layer.domain == "karyon";
    if ((!is_conv && !is_linear) || layer.outputs.size() != 1 || gone_.count(at) != 0) return;
    Node* node = next(layer);
    if (is_conv && node != nullptr && is_norm_of_channels(*node, state_)) {
      take_norm(layer, *node);
      take(layer);
      node = next(layer);
    }
    if (is_linear && node != nullptr && take_bias(layer, *node)) {
      take(layer);
      node = next(layer);
    }
    const std::string other = node != nullptr ? partner(*node, layer, at) : "";
    if (!other.empty()) {
      layer.inputs.resize(is_conv ? conv_residual : linear_residual);
      layer.inputs.push_back(other);
      layer.outputs[0] = node->outputs[0];
      take(layer);
      node = next(layer);
    }
    if (node != nullptr && is_activation(*node, graph_)) {
      take_activation(layer, node->type, node->outputs[0]);
      take(layer);
    } else if (node == nullptr) {
      take_silu(layer);
    }
    made_[layer.outputs[0]] = at;
  }

  Graph& graph_;
  Readers readers_;
  std::set<std::string> state_;
  std::map<std::string, Shape> sizes_;  // of the state
  std::set<std::size_t> gone_;
  std::map<std::string, std::size_t> made_;
  std::ptrdiff_t place_ = -1;
};

}  // namespace

void find_linear_layers(Graph& graph) {
  const Readers readers(graph);
  const Operator* const linear = find_operator("karyon", "Linear");
  const auto multiplies = [&](std::size_t place, const std::string& weight) {
    const Node& node = graph.nodes[place];
    return is_own(node, "MatMul") && node.inputs.size() == 2 && node.inputs[1] == weight &&
           node.inputs[0] != weight;
  };
  const auto all_multiply = [&](const std::vector<std::size_t>& places, const std::string& weight) {
    return !places.empty() &&
           std::ranges::all_of(places, [&](auto place) { return multiplies(place, weight); });
  };
  const auto become_linear = [&](const std::vector<std::size_t>& places, const std::string& weight) {
    for (const std::size_t place : places) {
      Node& node = graph.nodes[place];
      node.inputs[1] = weight;
      node.domain = "karyon";
      node.type = "Linear";
      node.op = linear;
    }
  };
  std::set<std::size_t> gone;
  for (Initializer& initializer : graph.initializers) {
    Tensor& weight = initializer.value.tensor;
    if (weight.dim() != 2 || !is_floating(weight.dtype())) continue;
    const std::vector<std::size_t> places = readers.all(initializer.name);
    if (all_multiply(places, initializer.name)) {
      weight = transpose(weight, 0, 1);
      become_linear(places, initializer.name);
    } else if (places.size() == 1 && is_own(graph.nodes[places[0]], "Transpose")) {
      const Node& turn = graph.nodes[places[0]];
      const std::vector<std::size_t> products = readers.all(turn.outputs[0]);
      if (!all_multiply(products, turn.outputs[0])) continue;
      gone.insert(places[0]);
      become_linear(products, initializer.name);
    }
  }
  remove_nodes(graph, gone);
}

void fuse(Graph& graph) { Fusion(graph).run(); }

ActivationKind fused_activation(const Node& node) {
  static const std::map<std::string, ActivationKind> kinds{
      {"Relu", ActivationKind::relu},  {"HardSwish", ActivationKind::hardswish},
      {"Clip", ActivationKind::relu6}, {"Silu", ActivationKind::silu},
      {"Gelu", ActivationKind::gelu},
  };
  const auto found = kinds.find(node.text_of("karyon.activation", ""));
  return found == kinds.end() ? ActivationKind::none : found->second;
}

}  // namespace karyon::onnx
