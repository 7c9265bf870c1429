#include <karyon/models/onnx/export_graph.h>

#include <algorithm>

#include <karyon/core/factories.h>
#include <karyon/models/onnx/attributes.h>
#include <karyon/models/onnx/value.h>

namespace karyon::onnx {
namespace {

/// The order of dimensions that makes [N, ..., C] of [N, C, ...], or the other way round.
std::vector<std::int64_t> order_of(int dims, bool channels_first) {
  std::vector<std::int64_t> order{0};
  if (channels_first) order.push_back(dims - 1);
  for (int d = channels_first ? 1 : 2; d < (channels_first ? dims - 1 : dims); ++d) order.push_back(d);
  if (!channels_first) order.push_back(1);
  return order;
}

void describe(onnx_file::ValueInfo& info, const std::string& name, const Tensor& x) {
  info.set_name(name);
  auto& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(natural_type(x.dtype()));
  const bool images = is_images(x.dim());
  for (int d = 0; d < x.dim(); ++d) {
    auto& dim = *type.mutable_shape()->add_dim();
    // The batch is open, and so is the size of an image.
    if (d == 0)
      dim.set_dim_param("batch");
    else if (images && d >= 2)
      dim.set_dim_param(name + "_size" + std::to_string(d - 1));
    else
      dim.set_dim_value(x.size(images ? -1 : d));
  }
}

}  // namespace

bool is_images(int dims) { return dims == 4 || dims == 5; }

ExportGraph::ExportGraph(const Module& module, const Tensor& x) : batch_(x.size(0)) {
  for (const auto& [name, tensor] : module.named_parameters()) own_[tensor.impl().get()] = name;
  for (const auto& [name, tensor] : module.named_buffers()) own_[tensor.impl().get()] = name;
  model_.set_ir_version(10);
  model_.set_producer_name("karyon");
  model_.add_opset_import()->set_version(21);
  model_.mutable_graph()->set_name("network");
  describe(*model_.mutable_graph()->add_input(), "input", x);
  values_[x.impl().get()] = {"input", x.shape(), is_images(x.dim()), true};
}

std::string ExportGraph::fresh() { return "value_" + std::to_string(++count_); }

onnx_file::Node& ExportGraph::emit(const std::string& type, const std::vector<std::string>& inputs) {
  onnx_file::Node& node = *model_.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name(type + "_" + std::to_string(model_.graph().node_size()));
  for (const std::string& name : inputs) node.add_input(name);
  node.add_output(fresh());
  return node;
}

onnx_file::Node& ExportGraph::result(const karyon::Node& node, const std::string& type,
                                     const std::vector<std::string>& inputs, bool channels_first) {
  onnx_file::Node& to = emit(type, inputs);
  const bool batched = std::ranges::any_of(node.edges, [&](const karyon::Node::Edge& edge) {
    const Value* value = find(edge);
    return value != nullptr && value->batched;
  });
  values_[&node] = {to.output(0), node.shape, channels_first, batched};
  return to;
}

std::string ExportGraph::initializer(const std::string& name, const Tensor& given) {
  if (!written_.emplace(name, name).second) return name;
  const Tensor x = given.detach().cpu();
  onnx_file::Tensor& to = *model_.mutable_graph()->add_initializer();
  to.set_name(name);
  to.set_data_type(natural_type(x.dtype()));
  for (const std::int64_t size : x.shape()) to.add_dims(size);
  to.set_raw_data(x.data_ptr(), static_cast<std::size_t>(x.numel()) * element_size(x.dtype()));
  return name;
}

std::string ExportGraph::name_of(const Tensor& x) {
  const auto own = own_.find(x.impl().get());
  return own == own_.end() ? "constant_" + std::to_string(++count_) : own->second;
}
std::string ExportGraph::constant(const Tensor& x) { return initializer(name_of(x), x); }

const ExportGraph::Value* ExportGraph::find(const karyon::Node::Edge& edge) const {
  const auto found = values_.find(edge.node ? static_cast<const void*>(edge.node.get()) : edge.leaf.get());
  return found == values_.end() ? nullptr : &found->second;
}

bool ExportGraph::has_input(const karyon::Node& node, std::size_t index) const {
  if (index >= node.edges.size()) return false;
  const karyon::Node::Edge& edge = node.edges[index];
  return edge.node || edge.leaf || node.trace->constants[index].defined();
}

ExportGraph::Value ExportGraph::input(const karyon::Node& node, std::size_t index) {
  check(has_input(node, index), "export_onnx: ", node.name, " has no input ", index);
  const karyon::Node::Edge& edge = node.edges[index];
  if (const Value* found = find(edge)) return *found;
  check(!edge.node, "export_onnx: ", node.name, " reads what was recorded before the network");
  const Tensor x = edge.leaf ? Tensor(edge.leaf) : node.trace->constants[index];
  return {.name = constant(x), .shape = x.shape()};
}

std::string ExportGraph::turned(const Value& value, bool channels_first) {
  if (value.channels_first == channels_first || value.shape.dims() < 3) return value.name;
  std::string& name = turned_[value.name];
  if (name.empty()) {
    onnx_file::Node& node = emit("Transpose", {value.name});
    put(node, "perm", order_of(value.shape.dims(), channels_first));
    name = node.output(0);
  }
  return name;
}
std::string ExportGraph::channels_last(const Value& value) { return turned(value, false); }
std::string ExportGraph::channels_first(const Value& value) { return turned(value, true); }

std::string ExportGraph::filter(const karyon::Node& node, std::size_t index) {
  const karyon::Node::Edge& edge = node.edges[index];
  if (edge.node) return channels_first(input(node, index));
  const Tensor x = edge.leaf ? Tensor(edge.leaf) : node.trace->constants[index];
  return initializer(name_of(x), to_channels_first(x.detach()));
}

std::int64_t ExportGraph::batches(std::int64_t size) const { return size % batch_ == 0 ? size / batch_ : 0; }

std::string ExportGraph::open_sizes(const Value& value, const Shape& shape) {
  std::vector<std::int64_t> sizes(shape.begin(), shape.end());
  const auto grows = [&](std::int64_t size) { return size > 0 && batches(size) > 0; };
  if (const auto at = std::ranges::find_if(sizes, grows); value.batched && at != sizes.end()) *at = -1;
  return constant(tensor(sizes));
}

std::string ExportGraph::batch_size() {
  const std::string sizes = emit("Shape", {"input"}).output(0);
  return emit("Slice", {sizes, constant(tensor(std::vector<std::int64_t>{0})),
                        constant(tensor(std::vector<std::int64_t>{1}))})
      .output(0);
}

void ExportGraph::add(const karyon::Node& node) {
  const auto writer = writers().find(node.name);
  check(writer != writers().end() && node.trace, "export_onnx: no operator for ", node.name, " is known");
  writer->second(*this, node);
}

std::string ExportGraph::finish(const Tensor& y) {
  const Value& value = values_.at(y.node().get());
  const std::string last = is_images(y.dim()) ? channels_first(value) : channels_last(value);
  emit("Identity", {last}).set_output(0, "output");
  describe(*model_.mutable_graph()->add_output(), "output", y);
  return model_.SerializeAsString();
}

}  // namespace karyon::onnx
