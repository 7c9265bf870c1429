#include <map>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {
namespace {

std::map<std::string, Operator> table() {
  std::map<std::string, Operator> all;
  for (const auto& family :
       {activation_operators, arithmetic_operators, attention_operators, cast_operators, control_operators,
        conv_operators, gather_operators, logic_operators, loss_operators, make_operators, matmul_operators,
        norm_operators, pool_operators, quantize_operators, recurrent_operators, reduce_operators,
        resize_operators, shape_operators, vision_operators})
    for (const Operator& op : family()) all.emplace(op.name, op);
  return all;
}

/// Collects what is missing, each reason with the first node that has it.
class Missing {
 public:
  void add(const std::string& what, const std::string& node, const std::string& reason) {
    Entry& entry = entries_[what + reason];
    if (entry.count++ == 0) entry = {what, node, reason, 1};
  }
  void check_none(const Program& program) const {
    if (entries_.empty()) return;
    std::string list;
    for (const auto& [key, entry] : entries_) {
      list += (list.empty() ? "" : ", ") + entry.what + " (" + entry.node;
      if (entry.count > 1) list += " and " + std::to_string(entry.count - 1) + " more";
      list += (entry.reason.empty() ? "" : ": " + entry.reason) + ")";
    }
    throw Error("onnx: " + program.file + " needs operators that are missing: " + list);
  }

 private:
  struct Entry {
    std::string what, node, reason;
    int count = 0;
  };
  std::map<std::string, Entry> entries_;
};

std::string refused_type(const Node& node, const Facts& facts) {
  for (const auto& names : {node.inputs, node.outputs})
    for (const std::string& name : names) {
      const auto fact = facts.find(name);
      if (fact == facts.end() || fact->second.type == undefined_type || is_known(fact->second.type)) continue;
      return "tensors of type " + type_name(fact->second.type);
    }
  return "";
}

void find_operators(Graph& graph, const Facts& outer, Missing& missing) {
  Facts facts = outer;
  for (const auto& [name, fact] : graph.facts) facts[name] = fact;
  for (Node& node : graph.nodes) {
    const std::string what = node.domain.empty() ? node.type : node.domain + "." + node.type;
    const std::string name = "node " + node.name;
    node.op = find_operator(node.domain, node.type);
    if (node.op == nullptr) missing.add(what, name, "");
    std::string reason = refused_type(node, facts);
    if (reason.empty() && node.op != nullptr && node.op->refuses != nullptr)
      reason = node.op->refuses(node, facts);
    if (!reason.empty()) missing.add(what, name, reason);
    for (auto& [key, attribute] : node.attributes)
      if (attribute.g) find_operators(*attribute.g, facts, missing);
  }
}

}  // namespace

const Operator* find_operator(const std::string& domain, const std::string& name) {
  static const std::map<std::string, Operator> all = table();
  const auto found = all.find(domain.empty() ? name : domain + ":" + name);
  return found == all.end() ? nullptr : &found->second;
}

void find_operators(Program& program) {
  Missing missing;
  for (const std::string& name : program.graph.inputs) {
    const Fact& fact = program.graph.facts[name];
    if (!fact.is_tensor)
      missing.add("input '" + name + "'", "of the network", "no tensor");
    else if (fact.type != undefined_type && !is_known(fact.type))
      missing.add("input '" + name + "'", "of the network", "tensors of type " + type_name(fact.type));
  }
  for (const std::string& name : program.graph.outputs)
    if (!program.graph.facts[name].is_tensor)
      missing.add("output '" + name + "'", "of the network", "no tensor");
  find_operators(program.graph, {}, missing);
  missing.check_none(program);
}

}  // namespace karyon::onnx
