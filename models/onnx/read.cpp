#include <fstream>
#include <set>

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl.h>

#include <karyon/models/onnx/functions.h>
#include <karyon/models/onnx/graph.h>
#include <karyon/models/onnx/tensor_file.h>

namespace karyon::onnx {
namespace {

constexpr int deepest = 32;  // of graphs in graphs

class Reader {
 public:
  explicit Reader(std::filesystem::path folder) : folder_(std::move(folder)) {}

  Graph graph(const onnx_file::Graph& from, int depth) {
    check(depth < deepest, "graphs lie in graphs more than ", deepest, " deep");
    check(from.sparse_initializer_size() == 0, "sparse initializers are not possible");
    Graph to;
    for (const auto& info : from.value_info()) to.facts[info.name()] = fact(info);
    for (const auto& info : from.output()) {
      to.outputs.push_back(info.name());
      to.facts[info.name()] = fact(info);
    }
    for (const onnx_file::Tensor& tensor : from.initializer()) {
      Initializer& made =
          to.initializers.emplace_back(Initializer{tensor.name(), read_tensor(tensor, folder_)});
      to.facts[made.name] = fact(made.value);
    }
    for (const auto& info : from.input()) {
      to.inputs.push_back(info.name());
      if (to.facts.count(info.name()) == 0 || !is_initializer(to, info.name()))
        to.facts[info.name()] = fact(info);
    }
    for (const onnx_file::Node& node : from.node()) {
      const Node& read = to.nodes.emplace_back(this->node(node, to.nodes.size(), depth));
      const Attribute* constant = read.type == "Constant" ? read.find("value") : nullptr;
      if (constant != nullptr && constant->t.present() && !read.outputs.empty())
        to.facts[read.outputs[0]] = fact(constant->t);
    }
    return to;
  }

 private:
  static bool is_initializer(const Graph& graph, const std::string& name) {
    for (const Initializer& initializer : graph.initializers)
      if (initializer.name == name) return true;
    return false;
  }

  static Fact fact(const Value& constant) {
    const Shape& shape = constant.tensor.shape();
    return {constant.type, true, std::vector<std::int64_t>(shape.begin(), shape.end()), constant.tensor};
  }
  static Fact fact(const onnx_file::ValueInfo& info) {
    Fact fact;
    fact.is_tensor = !info.has_type() || info.type().has_tensor_type();
    if (!info.has_type() || !fact.is_tensor) return fact;
    fact.type = info.type().tensor_type().elem_type();
    if (!info.type().tensor_type().has_shape()) return fact;
    fact.sizes.emplace();
    for (const auto& dim : info.type().tensor_type().shape().dim()) {
      check(!dim.has_dim_value() || dim.dim_value() >= 0, "'", info.name(), "' has a negative size, ",
            dim.dim_value());
      fact.sizes->push_back(dim.has_dim_value() ? dim.dim_value() : -1);
    }
    return fact;
  }

  Node node(const onnx_file::Node& from, std::size_t number, int depth) {
    Node to;
    to.type = from.op_type();
    to.domain = from.domain() == "ai.onnx" ? "" : from.domain();
    to.name = from.name().empty() ? "number " + std::to_string(number) : from.name();
    check(to.domain != "karyon", "node '", to.name, "' is of the domain karyon, which no file may use");
    to.inputs.assign(from.input().begin(), from.input().end());
    to.outputs.assign(from.output().begin(), from.output().end());
    while (!to.inputs.empty() && to.inputs.back().empty()) to.inputs.pop_back();
    for (const onnx_file::Attribute& attribute : from.attribute())
      to.attributes[attribute.name()] = this->attribute(attribute, depth);
    return to;
  }

  Attribute attribute(const onnx_file::Attribute& from, int depth) {
    check(from.ref_attr_name().empty(), "attribute '", from.name(), "' refers to one of a function");
    Attribute to;
    to.f = from.f();
    to.i = from.i();
    to.s = from.s();
    to.floats.assign(from.floats().begin(), from.floats().end());
    to.ints.assign(from.ints().begin(), from.ints().end());
    to.strings.assign(from.strings().begin(), from.strings().end());
    if (from.has_t()) to.t = read_tensor(from.t(), folder_);
    if (from.has_g()) to.g = std::make_shared<Graph>(graph(from.g(), depth + 1));
    return to;
  }

  std::filesystem::path folder_;
};

/// Each value is made once, and before it is read.
void check_order(const Graph& graph, const std::set<std::string>& outer) {
  std::set<std::string> made = outer, own;
  const auto make = [&](const std::string& name, const std::string& by) {
    check(own.insert(name).second, "'", name, "' is made twice, again by ", by);
    made.insert(name);
  };
  for (const std::string& name : graph.inputs) make(name, "an input");
  for (const Initializer& initializer : graph.initializers) {
    check(!initializer.name.empty(), "an initializer has no name");
    own.insert(initializer.name);
    made.insert(initializer.name);
  }
  for (const Node& node : graph.nodes) {
    for (const std::string& name : node.inputs)
      check(name.empty() || made.count(name) != 0, "node '", node.name, "' (", node.type, ") reads '", name,
            "', which no input, initializer or node before it makes");
    for (const auto& [key, attribute] : node.attributes)
      if (attribute.g) check_order(*attribute.g, made);
    for (const std::string& name : node.outputs)
      if (!name.empty()) make(name, "node '" + node.name + "'");
  }
  for (const std::string& name : graph.outputs)
    check(made.count(name) != 0, "nothing makes the output '", name, "'");
}

onnx_file::Model parsed(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  check(in.good() && std::filesystem::is_regular_file(path), "the file cannot be read");
  onnx_file::Model model;
  google::protobuf::io::IstreamInputStream stream(&in);
  google::protobuf::io::CodedInputStream coded(&stream);
  coded.SetTotalBytesLimit(INT32_MAX);
  check(model.ParseFromCodedStream(&coded) && coded.ConsumedEntireMessage(), "is damaged or no ONNX file");
  check(model.has_graph() && (model.graph().node_size() > 0 || model.graph().output_size() > 0),
        "is damaged or no ONNX file: it has no graph");
  return model;
}

}  // namespace

std::int64_t Program::opset() const {
  const auto found = opsets.find("");
  return found == opsets.end() ? 1 : found->second;
}

std::shared_ptr<Program> read_program(const std::filesystem::path& path) {
  try {
    onnx_file::Model model = parsed(path);
    inline_functions(model);
    auto program = std::make_shared<Program>();
    program->file = path.filename().string();
    for (const onnx_file::OperatorSet& set : model.opset_import())
      program->opsets[set.domain() == "ai.onnx" ? "" : set.domain()] = set.version();
    program->graph = Reader(path.parent_path()).graph(model.graph(), 0);
    check_order(program->graph, {});
    return program;
  } catch (const Error& error) {
    throw Error("onnx: " + path.string() + ": " + error.what());
  } catch (const std::bad_alloc&) {
    throw Error("onnx: " + path.string() + ": no memory left");
  }
}

}  // namespace karyon::onnx
