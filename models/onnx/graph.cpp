#include <algorithm>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {

const Attribute* Node::find(const std::string& attribute) const {
  const auto found = attributes.find(attribute);
  return found == attributes.end() ? nullptr : &found->second;
}
std::int64_t Node::integer(const std::string& attribute, std::int64_t otherwise) const {
  const Attribute* found = find(attribute);
  return found != nullptr ? found->i : otherwise;
}
double Node::real(const std::string& attribute, double otherwise) const {
  const Attribute* found = find(attribute);
  return found != nullptr ? found->f : otherwise;
}
std::string Node::text_of(const std::string& attribute, const std::string& otherwise) const {
  const Attribute* found = find(attribute);
  return found != nullptr ? found->s : otherwise;
}
std::vector<std::int64_t> Node::integers(const std::string& attribute,
                                         std::vector<std::int64_t> otherwise) const {
  const Attribute* found = find(attribute);
  return found != nullptr ? found->ints : std::move(otherwise);
}

const Fact* fact_of(const Facts& facts, const Node& node, std::size_t input) {
  if (input >= node.inputs.size()) return nullptr;
  const auto found = facts.find(node.inputs[input]);
  return found == facts.end() ? nullptr : &found->second;
}
int dims_of(const Facts& facts, const Node& node, std::size_t input) {
  const Fact* fact = fact_of(facts, node, input);
  return fact != nullptr && fact->sizes ? static_cast<int>(fact->sizes->size()) : -1;
}

std::set<std::string> free_names(const Graph& graph) {
  std::set<std::string> made(graph.inputs.begin(), graph.inputs.end()), free;
  for (const Initializer& initializer : graph.initializers) made.insert(initializer.name);
  const auto read = [&](const std::string& name) {
    if (!name.empty() && made.count(name) == 0) free.insert(name);
  };
  for (const Node& node : graph.nodes) {
    std::for_each(node.inputs.begin(), node.inputs.end(), read);
    for (const auto& [key, attribute] : node.attributes)
      if (attribute.g)
        for (const std::string& name : free_names(*attribute.g)) read(name);
    made.insert(node.outputs.begin(), node.outputs.end());
  }
  std::for_each(graph.outputs.begin(), graph.outputs.end(), read);
  return free;
}

void find_last_uses(Graph& graph) {
  std::set<std::string> needed(graph.outputs.begin(), graph.outputs.end());
  for (auto node = graph.nodes.rbegin(); node != graph.nodes.rend(); ++node) {
    node->dying.clear();
    const auto read = [&](const std::string& name) {
      if (!name.empty() && needed.insert(name).second) node->dying.push_back(name);
    };
    // An output that nobody reads dies at once.
    for (const std::string& name : node->outputs) read(name);
    for (const std::string& name : node->inputs) read(name);
    for (auto& [key, attribute] : node->attributes)
      if (attribute.g) {
        for (const std::string& name : free_names(*attribute.g)) read(name);
        find_last_uses(*attribute.g);
      }
  }
}

void Scope::set(const std::string& name, Value value) {
  if (value.tensor.defined() && value.type == undefined_type) value.type = natural_type(value.tensor.dtype());
  values_[name] = std::move(value);
}

const Value* Scope::find(const std::string& name) const {
  const auto found = values_.find(name);
  if (found != values_.end()) return &found->second;
  return outer_ != nullptr ? outer_->find(name) : nullptr;
}

namespace {

std::string where(const Node& node) { return "onnx: node '" + node.name + "' (" + node.type + "): "; }

/// Outputs without a type have that of the first input that fits.
void name_types(Values& outputs, const std::vector<int>& input_types) {
  for (Value& value : outputs) {
    if (!value.tensor.defined() || value.type != undefined_type) continue;
    const DType dtype = value.tensor.dtype();
    const auto fits = [&](int type) { return is_known(type) && dtype_of_type(type) == dtype; };
    const auto found = std::find_if(input_types.begin(), input_types.end(), fits);
    value.type = found != input_types.end() ? *found : natural_type(dtype);
  }
}

Values called(const Node& node, Values inputs, const Scope& scope) {
  std::vector<int> types;
  for (const Value& value : inputs) types.push_back(value.type);
  try {
    Values outputs = node.op->run(Call(node, std::move(inputs), scope));
    name_types(outputs, types);
    return outputs;
  } catch (const Error& error) {
    throw Error(where(node) + error.what());
  } catch (const std::bad_alloc&) {
    throw Error(where(node) + "no memory left");
  } catch (const std::exception& error) {
    throw Error(where(node) + error.what());
  }
}

}  // namespace

Values Scope::run(const Graph& graph) {
  for (const Initializer& initializer : graph.initializers)
    values_.try_emplace(initializer.name, initializer.value);
  for (const auto& [name, value] : graph.constants) values_.try_emplace(name, value);
  for (const Node& node : graph.nodes) {
    Values inputs;
    for (const std::string& name : node.inputs) {
      const Value* value = name.empty() ? nullptr : find(name);
      check(name.empty() || value != nullptr, where(node), "'", name, "' has no value");
      inputs.push_back(value != nullptr ? *value : Value());
    }
    const bool has_graphs = std::any_of(node.attributes.begin(), node.attributes.end(),
                                        [](const auto& entry) { return entry.second.g != nullptr; });
    if (!has_graphs)
      for (const std::string& name : node.dying) values_.erase(name);
    Values outputs = called(node, std::move(inputs), *this);
    for (std::size_t i = 0; i < node.outputs.size(); ++i) {
      if (node.outputs[i].empty()) continue;
      check(i < outputs.size(), where(node), "has no output ", i);
      values_[node.outputs[i]] = std::move(outputs[i]);
    }
    for (const std::string& name : node.dying) values_.erase(name);
  }
  Values results;
  for (const std::string& name : graph.outputs) {
    const Value* value = find(name);
    check(value != nullptr, "onnx: the output '", name, "' has no value");
    results.push_back(*value);
  }
  return results;
}

}  // namespace karyon::onnx
