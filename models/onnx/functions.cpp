#include <map>
#include <string>

#include <karyon/core/check.h>
#include <karyon/models/onnx/functions.h>

namespace karyon::onnx {
namespace {

using Names = std::map<std::string, std::string>;
using Nodes = google::protobuf::RepeatedPtrField<onnx_file::Node>;

class Inliner {
 public:
  explicit Inliner(const onnx_file::Model& model) {
    for (const onnx_file::Function& function : model.functions())
      functions_[{function.domain(), function.name()}] = &function;
  }

  void expand(Nodes& nodes, int depth) {
    check(depth < 64, "onnx: functions of the file call each other without an end");
    Nodes all;
    for (onnx_file::Node& node : nodes) {
      for (onnx_file::Attribute& attribute : *node.mutable_attribute())
        if (attribute.has_g()) expand(*attribute.mutable_g()->mutable_node(), depth + 1);
      const auto found = functions_.find({node.domain(), node.op_type()});
      if (found == functions_.end()) {
        check(++count_ < 1'000'000, "onnx: more than a million nodes");
        all.Add()->Swap(&node);
      } else {
        Nodes body = body_of(*found->second, node);
        expand(body, depth + 1);
        for (onnx_file::Node& inner : body) all.Add()->Swap(&inner);
      }
    }
    nodes.Swap(&all);
  }

 private:
  Nodes body_of(const onnx_file::Function& function, const onnx_file::Node& call) {
    const std::string prefix = call.name() + "/" + function.name() + std::to_string(++calls_) + "/";
    Names names;
    for (int i = 0; i < function.input_size(); ++i)
      names[function.input(i)] = i < call.input_size() ? call.input(i) : "";
    for (int i = 0; i < function.output_size(); ++i)
      if (i < call.output_size() && !call.output(i).empty()) names[function.output(i)] = call.output(i);
    std::map<std::string, const onnx_file::Attribute*> attributes;
    for (const onnx_file::Attribute& attribute : function.attribute_proto())
      attributes[attribute.name()] = &attribute;
    for (const onnx_file::Attribute& attribute : call.attribute()) attributes[attribute.name()] = &attribute;
    Nodes body(function.node().begin(), function.node().end());
    for (onnx_file::Node& node : body) rename(node, names, prefix, attributes);
    return body;
  }

  static void rename(std::string& name, const Names& names, const std::string& prefix) {
    if (name.empty()) return;
    const auto found = names.find(name);
    name = found != names.end() ? found->second : prefix + name;
  }

  using Attributes = std::map<std::string, const onnx_file::Attribute*>;
  static void rename(onnx_file::Node& node, const Names& names, const std::string& prefix,
                     const Attributes& attributes) {
    for (std::string& name : *node.mutable_input()) rename(name, names, prefix);
    for (std::string& name : *node.mutable_output()) rename(name, names, prefix);
    node.set_name(prefix + node.name());
    google::protobuf::RepeatedPtrField<onnx_file::Attribute> kept;
    for (onnx_file::Attribute& attribute : *node.mutable_attribute()) {
      if (!attribute.ref_attr_name().empty()) {
        const auto found = attributes.find(attribute.ref_attr_name());
        if (found == attributes.end()) continue;  // the attribute of the call is absent, so this one is
        const std::string name = attribute.name();
        attribute = *found->second;
        attribute.set_name(name);
      }
      if (attribute.has_g()) rename(*attribute.mutable_g(), names, prefix, attributes);
      kept.Add()->Swap(&attribute);
    }
    node.mutable_attribute()->Swap(&kept);
  }

  static void rename(onnx_file::Graph& graph, const Names& names, const std::string& prefix,
                     const Attributes& attributes) {
    for (onnx_file::ValueInfo& input : *graph.mutable_input()) rename(*input.mutable_name(), names, prefix);
    for (onnx_file::ValueInfo& output : *graph.mutable_output())
      rename(*output.mutable_name(), names, prefix);
    for (onnx_file::Tensor& tensor : *graph.mutable_initializer())
      rename(*tensor.mutable_name(), names, prefix);
    for (onnx_file::Node& node : *graph.mutable_node()) rename(node, names, prefix, attributes);
  }

  std::map<std::pair<std::string, std::string>, const onnx_file::Function*> functions_;
  int calls_ = 0, count_ = 0;
};

}  // namespace

void inline_functions(onnx_file::Model& model) {
  if (model.functions_size() == 0) return;
  Inliner(model).expand(*model.mutable_graph()->mutable_node(), 0);
}

}  // namespace karyon::onnx
