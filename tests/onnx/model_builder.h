#pragma once
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include <karyon/core/tensor.h>
#include <onnx_file.pb.h>

namespace karyon::test {

/// Small ONNX files for tests.
class ModelBuilder {
 public:
  explicit ModelBuilder(std::int64_t opset = 17) {
    model.set_ir_version(8);
    model.add_opset_import()->set_version(opset);
  }

  onnx_file::Graph& graph() { return *model.mutable_graph(); }

  /// A size below 0 is open.
  ModelBuilder& input(const std::string& name, const std::vector<std::int64_t>& sizes, int type = 1) {
    describe(*graph().add_input(), name, sizes, type);
    return *this;
  }
  ModelBuilder& output(const std::string& name, int type = 1) {
    onnx_file::ValueInfo& info = *graph().add_output();
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(type);
    return *this;
  }
  ModelBuilder& initializer(const std::string& name, const Tensor& x) {
    onnx_file::Tensor& to = *graph().add_initializer();
    to.set_name(name);
    fill(to, x);
    return *this;
  }
  /// The new node, for attributes.
  onnx_file::Node& node(const std::string& type, const std::vector<std::string>& inputs,
                        const std::vector<std::string>& outputs, const std::string& name = "") {
    return node_of(graph(), type, inputs, outputs, name);
  }
  static onnx_file::Node& node_of(onnx_file::Graph& graph, const std::string& type,
                                  const std::vector<std::string>& inputs,
                                  const std::vector<std::string>& outputs, const std::string& name = "") {
    onnx_file::Node& made = *graph.add_node();
    made.set_op_type(type);
    made.set_name(name);
    for (const std::string& input : inputs) made.add_input(input);
    for (const std::string& output : outputs) made.add_output(output);
    return made;
  }

  static void integers(onnx_file::Node& node, const std::string& name,
                       const std::vector<std::int64_t>& values) {
    onnx_file::Attribute& to = *node.add_attribute();
    to.set_name(name);
    to.set_type(7);
    for (const std::int64_t value : values) to.add_ints(value);
  }
  static void integer(onnx_file::Node& node, const std::string& name, std::int64_t value) {
    onnx_file::Attribute& to = *node.add_attribute();
    to.set_name(name);
    to.set_type(2);
    to.set_i(value);
  }
  static void graph(onnx_file::Node& node, const std::string& name, const onnx_file::Graph& value) {
    onnx_file::Attribute& to = *node.add_attribute();
    to.set_name(name);
    to.set_type(5);
    *to.mutable_g() = value;
  }
  static void fill(onnx_file::Tensor& to, const Tensor& x) {
    to.set_data_type(x.dtype() == i64 ? 7 : x.dtype() == f64 ? 11 : x.dtype() == boolean ? 9 : 1);
    for (const std::int64_t size : x.shape()) to.add_dims(size);
    to.set_raw_data(x.data_ptr(), static_cast<std::size_t>(x.numel()) * element_size(x.dtype()));
  }

  std::string bytes() const { return model.SerializeAsString(); }
  void save(const std::filesystem::path& path) const { std::ofstream(path, std::ios::binary) << bytes(); }

  onnx_file::Model model;

 private:
  static void describe(onnx_file::ValueInfo& info, const std::string& name,
                       const std::vector<std::int64_t>& sizes, int type) {
    info.set_name(name);
    info.mutable_type()->mutable_tensor_type()->set_elem_type(type);
    for (const std::int64_t size : sizes) {
      auto& dim = *info.mutable_type()->mutable_tensor_type()->mutable_shape()->add_dim();
      if (size < 0)
        dim.set_dim_param("open");
      else
        dim.set_dim_value(size);
    }
  }
};

}  // namespace karyon::test
