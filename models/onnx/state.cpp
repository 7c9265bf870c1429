#include <algorithm>
#include <map>
#include <set>

#include <karyon/models/onnx/graph.h>

namespace karyon::onnx {
namespace {

bool is_filter(const Node& node, std::size_t input) {
  static const std::set<std::string> convolutions{"Conv", "ConvTranspose"};
  return input == 1 && convolutions.count(node.type) != 0;
}

/// Whether an input is one that an operator learns: not statistics, limits or scales of sizes.
bool is_learned(const Node& node, std::size_t input) {
  static const std::map<std::string, std::set<std::size_t>> fixed{
      {"BatchNormalization", {3, 4}},
      {"Clip", {1, 2}},
      {"Pad", {2}},
      {"Resize", {1, 2}},
      {"Upsample", {1}},
      {"Dropout", {1}},
      {"OneHot", {2}},
      {"Range", {0, 1, 2}},
      {"NonMaxSuppression", {2, 3, 4}},
      {"QuantizeLinear", {1}},
      {"DequantizeLinear", {1}},
      {"QLinearConv", {1, 4, 6}},
      {"QLinearMatMul", {1, 4, 6}},
      {"CastLike", {0, 1}},
  };
  const auto found = fixed.find(node.type);
  return found == fixed.end() || found->second.count(input) == 0;
}

struct Uses {
  bool all_filters = true, any = false, learned = false;
};

void find_uses(const Graph& graph, std::map<std::string, Uses>& uses) {
  for (const Node& node : graph.nodes) {
    for (std::size_t i = 0; i < node.inputs.size(); ++i) {
      Uses& use = uses[node.inputs[i]];
      use.any = true;
      use.all_filters &= is_filter(node, i);
      use.learned |= is_learned(node, i);
    }
    for (const auto& [key, attribute] : node.attributes)
      if (attribute.g) find_uses(*attribute.g, uses);
  }
  for (const std::string& name : graph.outputs) uses[name].all_filters = false;
}

}  // namespace

void prepare_state(Graph& graph) {
  std::map<std::string, Uses> uses;
  find_uses(graph, uses);
  std::set<std::string> names;
  for (Initializer& initializer : graph.initializers) {
    names.insert(initializer.name);
    const Uses& use = uses[initializer.name];
    initializer.trainable = use.learned && is_floating(initializer.value.tensor.dtype());
    if (use.any && use.all_filters && initializer.value.tensor.dim() >= 3) {
      const int type = initializer.value.type;
      initializer.value = last(to_channels_last(initializer.value.tensor));
      initializer.value.type = type;
    }
  }
  // Old files also list their initializers as inputs.
  std::erase_if(graph.inputs, [&](const std::string& name) { return names.count(name) != 0; });
}

}  // namespace karyon::onnx
