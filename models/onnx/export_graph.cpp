#include <algorithm>

#include <karyon/core/ops/layout.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/norm.h>
#include <karyon/models/onnx/export_graph.h>
#include <karyon/models/onnx/layout.h>
#include <karyon/models/onnx/value.h>

namespace karyon::onnx {
namespace {

void put(onnx_file::Node& node, const char* name, std::int64_t value) {
  onnx_file::Attribute& to = *node.add_attribute();
  to.set_name(name);
  to.set_type(2);
  to.set_i(value);
}
void put(onnx_file::Node& node, const char* name, double value) {
  onnx_file::Attribute& to = *node.add_attribute();
  to.set_name(name);
  to.set_type(1);
  to.set_f(static_cast<float>(value));
}
void put(onnx_file::Node& node, const char* name, const std::string& value) {
  onnx_file::Attribute& to = *node.add_attribute();
  to.set_name(name);
  to.set_type(3);
  to.set_s(value);
}
void put(onnx_file::Node& node, const char* name, const std::vector<std::int64_t>& values) {
  onnx_file::Attribute& to = *node.add_attribute();
  to.set_name(name);
  to.set_type(7);
  for (const std::int64_t value : values) to.add_ints(value);
}
std::vector<std::int64_t> both(Pair p) { return {p.h, p.w}; }
std::vector<std::int64_t> borders(Pair p) { return {p.h, p.w, p.h, p.w}; }

void describe(onnx_file::ValueInfo& info, const std::string& name, const Tensor& x) {
  info.set_name(name);
  auto& type = *info.mutable_type()->mutable_tensor_type();
  type.set_elem_type(natural_type(x.dtype()));
  for (int d = 0; d < x.dim(); ++d) {
    auto& dim = *type.mutable_shape()->add_dim();
    // The batch is open, and so is the size of an image.
    if (d == 0)
      dim.set_dim_param("batch");
    else if (x.dim() == 4 && d >= 2)
      dim.set_dim_param(name + (d == 2 ? "_height" : "_width"));
    else
      dim.set_dim_value(x.size(x.dim() == 4 && d == 1 ? 3 : d));
  }
}

struct Simple {
  const char *name, *type;
};
constexpr Simple of_one[] = {
    {"relu", "Relu"},
    {"sigmoid", "Sigmoid"},
    {"tanh", "Tanh"},
    {"exp", "Exp"},
    {"log", "Log"},
    {"sqrt", "Sqrt"},
    {"abs", "Abs"},
    {"neg", "Neg"},
    {"erf", "Erf"},
    {"sin", "Sin"},
    {"cos", "Cos"},
    {"reciprocal", "Reciprocal"},
    {"hardswish", "HardSwish"},
    {"mish", "Mish"},
    {"softsign", "Softsign"},
    {"floor", "Floor"},
    {"ceil", "Ceil"},
    {"round", "Round"},
    {"sign", "Sign"},
    {"silu", "Swish"},
};
constexpr Simple of_two[] = {
    {"add", "Add"}, {"sub", "Sub"}, {"mul", "Mul"}, {"div", "Div"}, {"maximum", "Max"}, {"minimum", "Min"},
};

}  // namespace

ExportGraph::ExportGraph(Module& module, const ExportGuess& guess) : guess_(guess) {
  for (const auto& [name, x] : module.named_parameters()) parameters_[x.impl().get()] = {name, x};
  for (const auto& [path, part] : module.named_modules()) {
    Tensor weight;
    if (const auto* m = dynamic_cast<const Conv2d*>(part)) weight = m->weight;
    if (const auto* m = dynamic_cast<const ConvTranspose2d*>(part)) weight = m->weight;
    if (const auto* m = dynamic_cast<const BatchNorm2d*>(part)) weight = m->weight;
    if (const auto* m = dynamic_cast<const GroupNorm*>(part)) weight = m->weight;
    if (const auto* m = dynamic_cast<const LayerNorm*>(part)) weight = m->weight;
    if (weight.defined()) owners_[weight.impl().get()] = part;
  }
  model_.set_ir_version(10);
  model_.set_producer_name("karyon");
  model_.add_opset_import()->set_version(21);
  model_.mutable_graph()->set_name("network");
}

void ExportGraph::input(const Tensor& x) {
  batch_ = x.size(0);
  describe(*model_.mutable_graph()->add_input(), "input", x);
  values_[x.impl().get()] = {"input", x.shape()};
}

std::string ExportGraph::fresh() { return "value_" + std::to_string(++count_); }

onnx_file::Node& ExportGraph::emit(const std::string& type, const std::vector<std::string>& inputs,
                                   const std::string& output) {
  onnx_file::Node& node = *model_.mutable_graph()->add_node();
  node.set_op_type(type);
  node.set_name(type + "_" + std::to_string(model_.graph().node_size()));
  for (const std::string& name : inputs) node.add_input(name);
  node.add_output(output);
  return node;
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

const ExportGraph::Named* ExportGraph::find(const karyon::Node& node, std::size_t input) const {
  if (input >= node.edges.size()) return nullptr;
  const karyon::Node::Edge& edge = node.edges[input];
  const void* key = edge.node ? static_cast<const void*>(edge.node.get()) : edge.leaf.get();
  const auto found = values_.find(key);
  return found == values_.end() ? nullptr : &found->second;
}

/// An input that another operation made, or a parameter in its own layout.
ExportGraph::Named ExportGraph::in(const karyon::Node& node, std::size_t input) {
  if (const Named* found = find(node, input)) return *found;
  const auto leaf = input < node.edges.size() ? node.edges[input].leaf : nullptr;
  const auto found = parameters_.find(leaf.get());
  check(found != parameters_.end(), "export_onnx: ", node.name,
        " has an input that is no parameter and not computed "
        "from the network's input");
  const auto& [name, x] = found->second;
  return {initializer(name, x.dim() == 4 ? to_channels_first(x) : x), x.shape()};
}

/// A parameter, or "" where there is none.
std::string ExportGraph::parameter(const karyon::Node& node, std::size_t input, bool filter) {
  if (input >= node.edges.size() || !node.edges[input].leaf) return "";
  const auto found = parameters_.find(node.edges[input].leaf.get());
  check(found != parameters_.end(), "export_onnx: ", node.name,
        " has a weight that is no parameter of the network");
  const auto& [name, x] = found->second;
  return initializer(name, filter ? to_channels_first(x) : x);
}

template <class M>
const M& ExportGraph::module_of(const karyon::Node& node) {
  const auto leaf = node.edges.size() > 1 ? node.edges[1].leaf : nullptr;
  const auto owner = owners_.find(leaf.get());
  const M* found = owner == owners_.end() ? nullptr : dynamic_cast<const M*>(owner->second);
  check(found != nullptr, "export_onnx: no module owns the weight of ", node.name,
        ", so its options are unknown");
  return *found;
}

void ExportGraph::simple(const karyon::Node& node, const std::string& type) {
  if (type != "Swish") return void(emit(type, {in(node, 0).name}, current_));
  const std::string gate = fresh();  // operator set 21 has no Swish
  emit("Sigmoid", {in(node, 0).name}, gate);
  emit("Mul", {in(node, 0).name, gate}, current_);
}

void ExportGraph::pair(const karyon::Node& node, const std::string& type) {
  check(node.edges.size() == 2, "export_onnx: ", node.name,
        " with a number: the graph does not have the number");
  const Named a = in(node, 0), b = in(node, 1);
  const bool images = node.shape.dims() == 4;
  check(
      !images || (a.shape.dims() == 4 && b.shape.dims() == 4) || a.shape.numel() == 1 || b.shape.numel() == 1,
      "export_onnx: ", node.name, " of ", a.shape, " and ", b.shape, " is not possible");
  emit(type, {a.name, b.name}, current_);
}

void ExportGraph::conv(const karyon::Node& node) {
  const Conv2dOptions& options = module_of<Conv2d>(node).options;
  std::vector<std::string> inputs{in(node, 0).name, parameter(node, 1, true), parameter(node, 2, false)};
  if (inputs.back().empty()) inputs.pop_back();
  onnx_file::Node& to = emit("Conv", inputs, current_);
  put(to, "strides", both(options.stride));
  put(to, "pads", borders(options.padding));
  put(to, "dilations", both(options.dilation));
  put(to, "group", options.groups);
}

void ExportGraph::conv_transpose(const karyon::Node& node) {
  const ConvTranspose2dOptions& options = module_of<ConvTranspose2d>(node).options;
  std::vector<std::string> inputs{in(node, 0).name, parameter(node, 1, true), parameter(node, 2, false)};
  if (inputs.back().empty()) inputs.pop_back();
  onnx_file::Node& to = emit("ConvTranspose", inputs, current_);
  put(to, "strides", both(options.stride));
  put(to, "pads", borders(options.padding));
  put(to, "output_padding", both(options.output_padding));
  put(to, "dilations", both(options.dilation));
  put(to, "group", options.groups);
}

void ExportGraph::batch_norm(const karyon::Node& node) {
  const BatchNorm2d& norm = module_of<BatchNorm2d>(node);
  const std::string weight = parameter(node, 1, false), base = weight.substr(0, weight.rfind('.') + 1);
  const std::string y = norm.options.relu ? fresh() : current_;
  onnx_file::Node& to = emit("BatchNormalization",
                             {in(node, 0).name, weight, parameter(node, 2, false),
                              initializer(base + "running_mean", norm.running_mean),
                              initializer(base + "running_var", norm.running_var)},
                             y);
  put(to, "epsilon", norm.options.eps);
  if (norm.options.relu) emit("Relu", {y}, current_);
}

void ExportGraph::group_norm(const karyon::Node& node) {
  const GroupNorm& norm = module_of<GroupNorm>(node);
  onnx_file::Node& to =
      emit("GroupNormalization", {in(node, 0).name, parameter(node, 1, false), parameter(node, 2, false)},
           current_);
  put(to, "num_groups", norm.num_groups);
  put(to, "epsilon", norm.options.eps);
}

void ExportGraph::layer_norm(const karyon::Node& node) {
  const LayerNorm& norm = module_of<LayerNorm>(node);
  check(node.shape.dims() != 4, "export_onnx: layer_norm of images is not possible");
  onnx_file::Node& to =
      emit("LayerNormalization", {in(node, 0).name, parameter(node, 1, false), parameter(node, 2, false)},
           current_);
  put(to, "axis", std::int64_t{-norm.weight.dim()});
  put(to, "epsilon", norm.options.eps);
}

/// The forward shows only sizes. export_onnx() checks the result.
void ExportGraph::pool(const karyon::Node& node) {
  const Named x = in(node, 0);
  const auto ratio = [&](int d) {
    return std::max<std::int64_t>(x.shape[d] / std::max<std::int64_t>(node.shape[d], 1), 1);
  };
  const Pair stride(ratio(1), ratio(2));
  const bool overlaps = guess_.overlapping && stride == Pair(2);
  onnx_file::Node& to =
      emit(std::string(node.name) == "max_pool2d" ? "MaxPool" : "AveragePool", {x.name}, current_);
  put(to, "kernel_shape", both(overlaps ? Pair(3) : stride));
  put(to, "strides", both(stride));
  put(to, "pads", borders(overlaps ? 1 : 0));
}

void ExportGraph::global_pool(const karyon::Node& node) {
  check(node.shape[1] == 1 && node.shape[2] == 1, "export_onnx: adaptive_avg_pool2d to ", node.shape,
        " is not possible");
  emit("GlobalAveragePool", {in(node, 0).name}, current_);
}

void ExportGraph::resize(const karyon::Node& node) {
  const Named x = in(node, 0);
  const auto factor = [&](int d) {
    return static_cast<double>(node.shape[d]) / static_cast<double>(x.shape[d]);
  };
  const std::string scales = initializer("scales_" + current_, tensor({1.0, 1.0, factor(1), factor(2)}));
  onnx_file::Node& to = emit("Resize", {x.name, "", scales}, current_);
  const bool nearest = std::string(guess_.upsampling) == "nearest";
  put(to, "mode", std::string(nearest ? "nearest" : "linear"));
  put(to, "coordinate_transformation_mode",
      nearest ? std::string("asymmetric") : std::string(guess_.upsampling));
  if (nearest) put(to, "nearest_mode", std::string("floor"));
}

void ExportGraph::join(const karyon::Node& node) {
  std::vector<std::string> names;
  const Shape first = in(node, 0).shape;
  for (std::size_t i = 0; i < node.edges.size(); ++i) names.push_back(in(node, i).name);
  int dim = 0;
  while (dim < node.shape.dims() - 1 && node.shape[dim] == first[dim]) ++dim;
  constexpr int of_images[] = {0, 2, 3, 1};
  put(emit("Concat", names, current_), "axis", std::int64_t{node.shape.dims() == 4 ? of_images[dim] : dim});
}

void ExportGraph::linear(const karyon::Node& node) {
  const Named x = in(node, 0);
  check(x.shape.dims() != 4, "export_onnx: linear of images is not possible");
  const std::string weight = parameter(node, 1, false), bias = parameter(node, 2, false);
  if (x.shape.dims() == 2) {
    std::vector<std::string> inputs{x.name, weight};
    if (!bias.empty()) inputs.push_back(bias);
    put(emit("Gemm", inputs, current_), "transB", std::int64_t{1});
    return;
  }
  const std::string turned = fresh(), product = bias.empty() ? current_ : fresh();
  put(emit("Transpose", {weight}, turned), "perm", std::vector<std::int64_t>{1, 0});
  emit("MatMul", {x.name, turned}, product);
  if (!bias.empty()) emit("Add", {product, bias}, current_);
}

void ExportGraph::reshape(const karyon::Node& node) {
  const Named x = in(node, 0);
  check(node.shape.dims() != 4, "export_onnx: reshape to ", node.shape, " is not possible");
  std::string from = x.name;
  if (x.shape.dims() == 4) {
    from = fresh();
    put(emit("Transpose", {x.name}, from), "perm", std::vector<std::int64_t>{0, 2, 3, 1});
  }
  std::vector<std::int64_t> sizes(node.shape.begin(), node.shape.end());
  if (!sizes.empty() && sizes[0] == batch_ && x.shape.dims() > 0 && x.shape[0] == batch_)
    sizes[0] = 0;  // stays open
  emit("Reshape", {from, initializer("shape_" + current_, tensor(sizes))}, current_);
}

void ExportGraph::add(const karyon::Node& node) {
  static const std::map<std::string, Writer> writers{
      {"conv2d", &ExportGraph::conv},           {"conv_transpose2d", &ExportGraph::conv_transpose},
      {"batch_norm", &ExportGraph::batch_norm}, {"group_norm", &ExportGraph::group_norm},
      {"layer_norm", &ExportGraph::layer_norm}, {"max_pool2d", &ExportGraph::pool},
      {"avg_pool2d", &ExportGraph::pool},       {"adaptive_avg_pool2d", &ExportGraph::global_pool},
      {"interpolate", &ExportGraph::resize},    {"cat", &ExportGraph::join},
      {"linear", &ExportGraph::linear},         {"reshape", &ExportGraph::reshape},
  };
  const std::string name = node.name;
  current_ = fresh();
  const auto is = [&](const Simple& row) { return name == row.name; };
  const auto* one = std::find_if(std::begin(of_one), std::end(of_one), is);
  const auto* two = std::find_if(std::begin(of_two), std::end(of_two), is);
  const auto writer = writers.find(name);
  if (one != std::end(of_one))
    simple(node, one->type);
  else if (two != std::end(of_two))
    pair(node, two->type);
  else if (writer != writers.end())
    (this->*writer->second)(node);
  else
    throw Error("export_onnx: no operator for " + name + " is known");
  values_[&node] = {current_, node.shape};
}

std::string ExportGraph::finish(const Tensor& y) {
  const auto found = values_.find(y.node().get());
  emit("Identity", {found->second.name}, "output");
  describe(*model_.mutable_graph()->add_output(), "output", y);
  return model_.SerializeAsString();
}

}  // namespace karyon::onnx
