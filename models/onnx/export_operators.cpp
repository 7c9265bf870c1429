#include <algorithm>
#include <cctype>
#include <limits>

#include <karyon/core/factories.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/attributes.h>
#include <karyon/models/onnx/export_graph.h>

namespace karyon::onnx {
namespace {

using Node = karyon::Node;
using Value = ExportGraph::Value;
using Sizes = std::vector<std::int64_t>;

/// An option that the operation was called with.
template <class T>
const T& option(const Node& node, const char* name) {
  const auto& options = node.trace->options;
  const auto found = options.find(name);
  check(found != options.end() && std::holds_alternative<T>(found->second), "export_onnx: ", node.name,
        " cannot be written as it is called here");
  return std::get<T>(found->second);
}
const Sizes& sizes_of(const Node& node, const char* name) { return option<Sizes>(node, name); }
std::int64_t whole(const Node& node, const char* name) { return option<std::int64_t>(node, name); }
double number(const Node& node, const char* name) { return option<double>(node, name); }

Sizes twice(const Sizes& borders) {
  Sizes both = borders;
  both.insert(both.end(), borders.begin(), borders.end());
  return both;
}
std::string scalar(ExportGraph& graph, const Node& node, double value) {
  return graph.constant(full({}, value, {.dtype = node.dtype}));
}
std::string list(ExportGraph& graph, const Sizes& sizes) { return graph.constant(tensor(sizes)); }

/// Dimension d of a value in the file.
std::int64_t axis_of(const Value& value, std::int64_t d) {
  const std::int64_t last = value.shape.dims() - 1;
  if (!value.channels_first || d == 0 || last < 2) return d;
  return d == last ? 1 : d + 1;
}
/// The values of all dimensions in the file's order.
Sizes in_file(const Value& value, const Sizes& sizes) {
  Sizes there(sizes.size());
  for (std::size_t d = 0; d < sizes.size(); ++d)
    there[static_cast<std::size_t>(axis_of(value, static_cast<std::int64_t>(d)))] = sizes[d];
  return there;
}

// ---- of each element ----

onnx_file::Node& of_one(ExportGraph& graph, const Node& node, const std::string& type,
                        std::vector<std::string> further = {}) {
  const Value x = graph.input(node);
  further.insert(further.begin(), x.name);
  return graph.result(node, type, further, x.channels_first);
}
void simple(ExportGraph& graph, const Node& node) {
  std::string type = node.name;
  type[0] = static_cast<char>(std::toupper(static_cast<unsigned char>(type[0])));
  of_one(graph, node, type);
}
/// An activation whose first parameter is the attribute alpha.
Writer with_alpha(const char* type) {
  return [type](ExportGraph& graph, const Node& node) {
    put(of_one(graph, node, type), "alpha", number(node, "p"));
  };
}
void clip(ExportGraph& graph, const Node& node) {
  of_one(graph, node, "Clip",
         {scalar(graph, node, number(node, "p")), scalar(graph, node, number(node, "q"))});
}
void hard_sigmoid(ExportGraph& graph, const Node& node) {
  onnx_file::Node& to = of_one(graph, node, "HardSigmoid");
  put(to, "alpha", 1.0 / 6);
  put(to, "beta", 0.5);
}
void hard_swish(ExportGraph& graph, const Node& node) { of_one(graph, node, "HardSwish"); }
void softplus(ExportGraph& graph, const Node& node) {
  check(number(node, "p") == 1, "export_onnx: softplus cannot be written with a beta other than 1");
  of_one(graph, node, "Softplus");
}
void gelu(ExportGraph& graph, const Node& node) {
  put(of_one(graph, node, "Gelu"), "approximate", option<std::string>(node, "approximate"));
}
void silu(ExportGraph& graph, const Node& node) {
  const std::string gate = graph.emit("Sigmoid", {graph.input(node).name}).output(0);
  of_one(graph, node, "Mul", {gate});  // operator set 21 has no Swish
}
void log_sigmoid(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  const std::string minus = graph.emit("Neg", {x.name}).output(0);
  const std::string loss = graph.emit("Softplus", {minus}).output(0);
  graph.result(node, "Neg", {loss}, x.channels_first);
}
void prelu(ExportGraph& graph, const Node& node) {
  graph.result(node, "PRelu", {graph.channels_last(graph.input(node)), graph.input(node, 1).name});
}
void square(ExportGraph& graph, const Node& node) { of_one(graph, node, "Mul", {graph.input(node).name}); }

// ---- of pairs ----

/// Of two values, or of one and the number that an option holds.
void two(ExportGraph& graph, const Node& node, const char* type, const char* numeric) {
  const Value a = graph.input(node);
  if (node.trace->options.contains(numeric)) {
    of_one(graph, node, type, {scalar(graph, node, number(node, numeric))});
    return;
  }
  const Value b = graph.input(node, 1);
  const auto fits = [&](const Value& x) {
    return x.shape.dims() == node.shape.dims() || x.shape.dims() == 0;
  };
  const bool first = (a.channels_first || b.channels_first) && fits(a) && fits(b);
  const auto name = [&](const Value& x) { return first ? graph.channels_first(x) : graph.channels_last(x); };
  graph.result(node, type, {name(a), name(b)}, first);
}
Writer pair(const char* type, const char* numeric = "other") {
  return [=](ExportGraph& graph, const Node& node) { two(graph, node, type, numeric); };
}

// ---- layers ----

void conv(ExportGraph& graph, const Node& node) {
  const bool transposed = std::string(node.name).starts_with("conv_transpose");
  std::vector<std::string> inputs{graph.channels_first(graph.input(node)), graph.filter(node, 1)};
  if (graph.has_input(node, 2)) inputs.push_back(graph.input(node, 2).name);
  onnx_file::Node& to = graph.result(node, transposed ? "ConvTranspose" : "Conv", inputs, true);
  put(to, "strides", sizes_of(node, "stride"));
  put(to, "pads", twice(sizes_of(node, "padding")));
  put(to, "dilations", sizes_of(node, "dilation"));
  put(to, "group", whole(node, "groups"));
  if (transposed) put(to, "output_padding", sizes_of(node, "output_padding"));
}

void linear(ExportGraph& graph, const Node& node) {
  const std::string x = graph.channels_last(graph.input(node)), weight = graph.input(node, 1).name;
  const std::string bias = graph.has_input(node, 2) ? graph.input(node, 2).name : "";
  if (node.shape.dims() == 2) {
    std::vector<std::string> inputs{x, weight};
    if (!bias.empty()) inputs.push_back(bias);
    put(graph.result(node, "Gemm", inputs), "transB", std::int64_t{1});
    return;
  }
  onnx_file::Node& turned = graph.emit("Transpose", {weight});
  put(turned, "perm", Sizes{1, 0});
  if (bias.empty()) return void(graph.result(node, "MatMul", {x, turned.output(0)}));
  const std::string product = graph.emit("MatMul", {x, turned.output(0)}).output(0);
  graph.result(node, "Add", {product, bias});
}

void matmul(ExportGraph& graph, const Node& node) {
  graph.result(node, "MatMul",
               {graph.channels_last(graph.input(node)), graph.channels_last(graph.input(node, 1))});
}

/// A norm's weight or bias; where it has none, ones or zeros.
std::string affine(ExportGraph& graph, const Node& node, std::size_t index, const Shape& shape) {
  if (graph.has_input(node, index)) return graph.input(node, index).name;
  return graph.constant(full(shape, index == 1 ? 1 : 0, {.dtype = node.dtype}));
}

void batch_norm(ExportGraph& graph, const Node& node) {
  const Shape channels{node.shape[node.shape.dims() - 1]};
  const std::vector<std::string> inputs{graph.channels_first(graph.input(node)),
                                        affine(graph, node, 1, channels), affine(graph, node, 2, channels),
                                        graph.constant(option<Tensor>(node, "running_mean")),
                                        graph.constant(option<Tensor>(node, "running_var"))};
  if (whole(node, "relu") == 0) {
    put(graph.result(node, "BatchNormalization", inputs, true), "epsilon", number(node, "eps"));
    return;
  }
  onnx_file::Node& norm = graph.emit("BatchNormalization", inputs);
  put(norm, "epsilon", number(node, "eps"));
  graph.result(node, "Relu", {norm.output(0)}, true);
}

void group_norm(ExportGraph& graph, const Node& node) {
  const Shape channels{node.shape[node.shape.dims() - 1]};
  onnx_file::Node& to = graph.result(node, "GroupNormalization",
                                     {graph.channels_first(graph.input(node)),
                                      affine(graph, node, 1, channels), affine(graph, node, 2, channels)},
                                     true);
  put(to, "num_groups", whole(node, "num_groups"));
  put(to, "epsilon", number(node, "eps"));
}

void layer_norm(ExportGraph& graph, const Node& node) {
  const auto dims = static_cast<int>(whole(node, "dims"));
  const Shape normalized(std::span(node.shape.end() - dims, node.shape.end()));
  std::vector<std::string> inputs{graph.channels_last(graph.input(node)), affine(graph, node, 1, normalized)};
  if (graph.has_input(node, 2)) inputs.push_back(graph.input(node, 2).name);
  onnx_file::Node& to = graph.result(node, "LayerNormalization", inputs);
  put(to, "axis", std::int64_t{-dims});
  put(to, "epsilon", number(node, "eps"));
}

void pool(ExportGraph& graph, const Node& node) {
  const bool largest = std::string(node.name).starts_with("max");
  onnx_file::Node& to = graph.result(node, largest ? "MaxPool" : "AveragePool",
                                     {graph.channels_first(graph.input(node))}, true);
  put(to, "kernel_shape", sizes_of(node, "kernel_size"));
  put(to, "strides", sizes_of(node, "stride"));
  put(to, "pads", twice(sizes_of(node, "padding")));
  put(to, "dilations", sizes_of(node, "dilation"));
  put(to, "ceil_mode", whole(node, "ceil_mode"));
  if (!largest) put(to, "count_include_pad", whole(node, "count_include_pad"));
}

/// Where windows are as large as each other, their size is that of the example.
void adaptive_pool(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  const Shape &in = x.shape, &out = node.shape;
  Sizes window;
  bool one = true;
  for (int d = 1; d < in.dims() - 1; ++d) {
    one = one && out[d] == 1;
    check(out[d] == 1 || in[d] % out[d] == 0, "export_onnx: ", node.name, " of ", in, " to ", out,
          " has windows of several sizes");
    window.push_back(in[d] / out[d]);
  }
  if (one) return void(graph.result(node, "GlobalAveragePool", {graph.channels_first(x)}, true));
  onnx_file::Node& to = graph.result(node, "AveragePool", {graph.channels_first(x)}, true);
  put(to, "kernel_shape", window);
  put(to, "strides", window);
}

void resize(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  const std::string& mode = option<std::string>(node, "mode");
  const bool nearest = mode == "nearest", corners = whole(node, "align_corners") != 0;
  std::vector<double> factors{1, 1};
  for (int d = 1; d < x.shape.dims() - 1; ++d)
    factors.push_back(static_cast<double>(node.shape[d]) / static_cast<double>(x.shape[d]));
  const std::string scales = graph.constant(tensor(factors, {.dtype = f32}));
  onnx_file::Node& to = graph.result(node, "Resize", {graph.channels_first(x), "", scales}, true);
  put(to, "mode",
      std::string(mode == "bicubic"             ? "cubic"
                  : mode.starts_with("nearest") ? "nearest"
                                                : "linear"));
  put(to, "coordinate_transformation_mode",
      std::string(nearest   ? "asymmetric"
                  : corners ? "align_corners"
                            : "half_pixel"));
  if (mode.starts_with("nearest"))
    put(to, "nearest_mode", std::string(nearest ? "floor" : "round_prefer_ceil"));
  if (whole(node, "antialias") != 0) put(to, "antialias", std::int64_t{1});
  // PyTorch's cubics: -0.5 where they are smoothed, as in Pillow.
  if (mode == "bicubic") put(to, "cubic_coeff_a", whole(node, "antialias") != 0 ? -0.5 : -0.75);
}

void pixel_shuffle(ExportGraph& graph, const Node& node) {
  onnx_file::Node& to = graph.result(node, "DepthToSpace", {graph.channels_first(graph.input(node))}, true);
  put(to, "blocksize", whole(node, "upscale_factor"));
  put(to, "mode", std::string("CRD"));
}

void channel_shuffle(ExportGraph& graph, const Node& node) {
  const std::int64_t channels = node.shape[node.shape.dims() - 1], groups = whole(node, "groups");
  Sizes from;
  for (std::int64_t c = 0; c < channels; ++c) from.push_back(c % groups * (channels / groups) + c / groups);
  const Value x = graph.input(node);
  onnx_file::Node& to = of_one(graph, node, "Gather", {list(graph, from)});
  put(to, "axis", axis_of(x, node.shape.dims() - 1));
}

// ---- shapes and places ----

void reshape(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  // A channel per image lies alike in both layouts.
  const Shape& from = x.shape;
  const bool alone = std::all_of(from.begin() + 1, from.end() - 1, [](std::int64_t n) { return n == 1; });
  const std::string name = x.channels_first && alone ? x.name : graph.channels_last(x);
  graph.result(node, "Reshape", {name, graph.open_sizes(x, node.shape)});
}

void permute(ExportGraph& graph, const Node& node) {
  const std::string x = graph.channels_last(graph.input(node));
  put(graph.result(node, "Transpose", {x}), "perm", sizes_of(node, "dims"));
}

/// Sizes are fixed, but a first one of the batch is not.
void expand(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  Sizes sizes(node.shape.begin(), node.shape.end());
  const bool grows = graph.batches(sizes[0]) == 1;
  const bool by_batch = grows && (x.shape.dims() < node.shape.dims() || x.shape[0] == 1);
  if (grows) sizes[0] = 1;  // broadcast with what is there
  const std::string name = graph.channels_last(x);
  if (!by_batch) return void(graph.result(node, "Expand", {name, list(graph, sizes)}));
  onnx_file::Node& open =
      graph.emit("Concat", {graph.batch_size(), list(graph, Sizes(sizes.begin() + 1, sizes.end()))});
  put(open, "axis", std::int64_t{0});
  graph.result(node, "Expand", {name, open.output(0)});
}

/// Elements start, start + step, ... of each dimension. What reaches the end stays open.
std::string sliced(ExportGraph& graph, const Value& x, const Sizes& start, const Sizes& step,
                   const Sizes& count) {
  Sizes starts, ends, axes, steps;
  for (int d = 0; d < x.shape.dims(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    if (start[i] == 0 && step[i] == 1 && count[i] == x.shape[d]) continue;
    const std::int64_t end = start[i] + (count[i] - 1) * step[i] + 1;
    starts.push_back(start[i]);
    ends.push_back(count[i] == 0                                ? start[i]
                   : end + step[i] > x.shape[d] && count[i] > 1 ? std::numeric_limits<std::int64_t>::max()
                                                                : end);
    axes.push_back(axis_of(x, d));
    steps.push_back(step[i]);
  }
  if (axes.empty()) return x.name;
  return graph
      .emit("Slice", {x.name, list(graph, starts), list(graph, ends), list(graph, axes), list(graph, steps)})
      .output(0);
}

void narrow(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  Sizes start(static_cast<std::size_t>(x.shape.dims()), 0);
  if (std::string(node.name) == "crop")
    start = sizes_of(node, "start");
  else
    start[static_cast<std::size_t>(whole(node, "dim"))] = whole(node, "start");
  const Sizes step(start.size(), 1), count(node.shape.begin(), node.shape.end());
  graph.result(node, "Identity", {sliced(graph, x, start, step, count)}, x.channels_first);
}

void index(ExportGraph& graph, const Node& node) {
  Value x = graph.input(node);
  x = {graph.channels_last(x), x.shape, false, x.batched};
  const std::string part =
      sliced(graph, x, sizes_of(node, "start"), sizes_of(node, "step"), sizes_of(node, "count"));
  graph.result(node, "Reshape", {part, graph.open_sizes(x, node.shape)});
}

void join(ExportGraph& graph, const Node& node) {
  std::vector<std::string> names;
  bool first = false;
  for (std::size_t i = 0; i < node.edges.size(); ++i) first = first || graph.input(node, i).channels_first;
  for (std::size_t i = 0; i < node.edges.size(); ++i)
    names.push_back(first ? graph.channels_first(graph.input(node, i))
                          : graph.channels_last(graph.input(node, i)));
  const Value joined{.name = "", .shape = node.shape, .channels_first = first};
  put(graph.result(node, "Concat", names, first), "axis", axis_of(joined, whole(node, "dim")));
}

void pad(ExportGraph& graph, const Node& node) {
  const Value x = graph.input(node);
  Sizes borders = in_file(x, sizes_of(node, "before"));
  const Sizes after = in_file(x, sizes_of(node, "after"));
  borders.insert(borders.end(), after.begin(), after.end());
  const std::string value = scalar(graph, node, number(node, "value"));
  onnx_file::Node& to = of_one(graph, node, "Pad", {list(graph, borders), value});
  const std::string& mode = option<std::string>(node, "mode");
  put(to, "mode",
      mode == "replicate"  ? std::string("edge")
      : mode == "circular" ? std::string("wrap")
                           : mode);
}

void embedding(ExportGraph& graph, const Node& node) {
  graph.result(node, "Gather", {graph.input(node).name, graph.constant(option<Tensor>(node, "indices"))});
}

// ---- reductions ----

Writer softmax(const char* type) {
  return [type](ExportGraph& graph, const Node& node) {
    put(of_one(graph, node, type), "axis", axis_of(graph.input(node), whole(node, "dim")));
  };
}

void reduce(ExportGraph& graph, const Node& node, const char* type) {
  Value x = graph.input(node);
  const Sizes& dims = sizes_of(node, "dim");
  const std::int64_t keep = whole(node, "keepdim");
  // Without the dimensions of an image the order of the others is the same in both layouts.
  const bool between = std::ranges::all_of(dims, [&](auto d) { return d > 0 && d < x.shape.dims() - 1; }) &&
                       static_cast<int>(dims.size()) == x.shape.dims() - 2;
  if (keep == 0 && !between) x = {graph.channels_last(x), x.shape, false, x.batched};
  Sizes axes;
  for (const std::int64_t d : dims) axes.push_back(axis_of(x, d));
  std::ranges::sort(axes);
  onnx_file::Node& to = graph.result(node, type, {x.name, list(graph, axes)}, keep != 0 && x.channels_first);
  put(to, "keepdims", keep);
}
Writer reduction(const char* type) {
  return [type](ExportGraph& graph, const Node& node) { reduce(graph, node, type); };
}

// ---- attention ----

/// q [N, L, E], k [N, S, E], v [N, S, Ev]. The mask is that of the scores before the batch became one dimension.
void attention(ExportGraph& graph, const Node& node) {
  const Value q = graph.input(node), k = graph.input(node, 1), v = graph.input(node, 2);
  check(number(node, "dropout_p") == 0, "export_onnx: attention with dropout cannot be written");
  onnx_file::Node& turned = graph.emit("Transpose", {graph.channels_last(k)});
  put(turned, "perm", Sizes{0, 2, 1});
  const std::string scaled =
      graph.emit("Mul", {graph.channels_last(q), scalar(graph, node, number(node, "scale"))}).output(0);
  std::string score = graph.emit("MatMul", {scaled, turned.output(0)}).output(0);
  const std::int64_t rows = q.shape[1], columns = k.shape[1];
  const auto masked = [&](const Tensor& seen) {
    score = graph.emit("Where", {graph.constant(seen), score, scalar(graph, node, -1e30)}).output(0);
  };
  if (whole(node, "is_causal") != 0) masked(tril(ones({rows, columns}, {.dtype = boolean})));
  if (graph.has_input(node, 3)) {
    const Shape scores(sizes_of(node, "scores"));
    score = graph.emit("Reshape", {score, graph.open_sizes(q, scores)}).output(0);
    const Tensor& mask = node.trace->constants[3];
    if (mask.defined() && mask.dtype() == boolean)
      masked(mask);
    else
      score = graph.emit("Add", {score, graph.channels_last(graph.input(node, 3))}).output(0);
    score = graph.emit("Reshape", {score, graph.open_sizes(q, {q.shape[0], rows, columns})}).output(0);
  }
  onnx_file::Node& weights = graph.emit("Softmax", {score});
  put(weights, "axis", std::int64_t{-1});
  graph.result(node, "MatMul", {weights.output(0), graph.channels_last(v)});
}

/// Operations of one input without options, whose operators have the same name with a capital.
constexpr const char* plain[] = {"relu",  "sigmoid", "tanh",  "exp",  "log",        "sqrt", "abs",
                                 "neg",   "erf",     "sin",   "cos",  "reciprocal", "mish", "softsign",
                                 "floor", "ceil",    "round", "sign", "selu"};

}  // namespace

const std::map<std::string, Writer>& writers() {
  static const std::map<std::string, Writer> all = [] {
    std::map<std::string, Writer> found{
        {"leaky_relu", with_alpha("LeakyRelu")},
        {"elu", with_alpha("Elu")},
        {"celu", with_alpha("Celu")},
        {"hardtanh", clip},
        {"relu6", clip},
        {"clamp", clip},
        {"hardsigmoid", hard_sigmoid},
        {"hardswish", hard_swish},
        {"softplus", softplus},
        {"gelu", gelu},
        {"silu", silu},
        {"logsigmoid", log_sigmoid},
        {"prelu", prelu},
        {"square", square},
        {"add", pair("Add")},
        {"sub", pair("Sub")},
        {"mul", pair("Mul")},
        {"div", pair("Div")},
        {"maximum", pair("Max")},
        {"minimum", pair("Min")},
        {"pow", pair("Pow", "p")},
        {"conv2d", conv},
        {"conv3d", conv},
        {"conv_transpose2d", conv},
        {"conv_transpose3d", conv},
        {"linear", linear},
        {"matmul", matmul},
        {"batch_norm", batch_norm},
        {"group_norm", group_norm},
        {"layer_norm", layer_norm},
        {"max_pool2d", pool},
        {"max_pool3d", pool},
        {"avg_pool2d", pool},
        {"avg_pool3d", pool},
        {"adaptive_avg_pool2d", adaptive_pool},
        {"adaptive_avg_pool3d", adaptive_pool},
        {"pixel_shuffle", pixel_shuffle},
        {"channel_shuffle", channel_shuffle},
        {"interpolate", resize},
        {"reshape", reshape},
        {"permute", permute},
        {"expand", expand},
        {"narrow", narrow},
        {"crop", narrow},
        {"index", index},
        {"cat", join},
        {"pad", pad},
        {"embedding", embedding},
        {"softmax", softmax("Softmax")},
        {"log_softmax", softmax("LogSoftmax")},
        {"sum", reduction("ReduceSum")},
        {"mean", reduction("ReduceMean")},
        {"max", reduction("ReduceMax")},
        {"min", reduction("ReduceMin")},
        {"scaled_dot_product_attention", attention},
    };
    for (const char* name : plain) found[name] = simple;
    return found;
  }();
  return all;
}

}  // namespace karyon::onnx
