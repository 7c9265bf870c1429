#include <cmath>
#include <numbers>

#include <karyon/core/factories.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>

// Tensors made of numbers and sizes.
namespace karyon::onnx {
namespace {

Values constant(const Call& call) {
  const Node& node = call.node;
  if (const Attribute* value = node.find("value")) return {value->t};
  if (node.has("value_float")) return {tensor(static_cast<float>(node.real("value_float", 0)))};
  if (node.has("value_int")) return {tensor(node.integer("value_int", 0))};
  if (node.has("value_ints")) return {numbers_of(node.integers("value_ints"))};
  check(node.has("value_floats"), "has no value");
  return {tensor(node.find("value_floats")->floats)};
}
std::string constant_refuses(const Node& node, const Facts&) {
  for (const char* name : {"value_string", "value_strings", "sparse_value"})
    if (node.has(name)) return std::string("with ") + name;
  return "";
}

Values constant_of_shape(const Call& call) {
  const Shape shape = shape_of(call.numbers(0));
  const Attribute* value = call.node.find("value");
  if (value == nullptr) return {Value(zeros(shape), float32)};
  check(value->t.tensor.defined() && value->t.tensor.numel() == 1, "expects a value of one element");
  const Tensor one = value->t.tensor.reshape(Shape());
  return {Value(expand(one, shape).clone(), value->t.type)};
}

/// start + i delta, in whole numbers where the type is.
Values range(const Call& call) {
  const Tensor start = call.x(0);
  if (start.dtype() == i64) {
    const auto from = start.item<std::int64_t>(), to = call.x(1).item<std::int64_t>(),
               by = call.x(2).item<std::int64_t>();
    check(by != 0, "expects a step that is not 0");
    if ((by > 0) == (to <= from) || to == from) return {empty({0}, {.dtype = i64})};
    return {arange(from, to, by)};
  }
  const double from = start.item<double>(), by = call.x(2).item<double>();
  const double count = std::ceil((call.x(1).item<double>() - from) / by);
  check(count < 1e12, "expects a step that leads to the end");
  const Tensor steps = arange(static_cast<std::int64_t>(count > 0 ? count : 0), {.dtype = start.dtype()});
  return {add(mul(steps, by), from)};
}

Values eye_like(const Call& call) {
  const Tensor x = call.x(0);
  check(x.dim() == 2, "expects a matrix, got ", x.shape());
  const int type = call.node.has("dtype") ? static_cast<int>(call.node.integer("dtype", 0)) : call.type(0);
  const auto k = call.node.integer("k", 0);
  const Tensor whole = ones(x.shape(), {.dtype = f32});
  return {Value(converted(triu(tril(whole, k), k), type), type)};
}

Values shape(const Call& call) {
  const Tensor x = call.value(0).channels_last ? call.x(0) : call.raw(0);
  const std::int64_t dims = x.dim();
  const auto place = [&](std::int64_t i) { return std::clamp<std::int64_t>(i < 0 ? i + dims : i, 0, dims); };
  const std::int64_t start = place(call.node.integer("start", 0)),
                     end = place(call.node.integer("end", dims));
  std::vector<std::int64_t> sizes;
  for (std::int64_t d = start; d < end; ++d) sizes.push_back(x.size(static_cast<int>(d)));
  return {Value(numbers_of(sizes), int64)};
}
Values size(const Call& call) { return {Value(tensor(call.raw(0).numel()), int64)}; }

Values trilu(const Call& call) {
  const std::int64_t k = static_cast<std::int64_t>(call.number(1, 0));
  return {call.node.integer("upper", 1) != 0 ? triu(call.x(0), k) : tril(call.x(0), k)};
}

/// a0 - a1 cos(2 pi i / N) + a2 cos(4 pi i / N)
Values window(const Call& call, double a0, double a1, double a2) {
  const auto n = static_cast<std::int64_t>(call.number(0, 0));
  const double length = static_cast<double>(call.node.integer("periodic", 1) != 0 ? n : n - 1);
  std::vector<double> values;
  for (std::int64_t i = 0; i < n; ++i) {
    const double angle = 2 * std::numbers::pi * static_cast<double>(i) / length;
    values.push_back(a0 - a1 * std::cos(angle) + a2 * std::cos(2 * angle));
  }
  const auto type = static_cast<int>(call.node.integer("output_datatype", float32));
  return {Value(tensor(values, {.dtype = dtype_of_type(type)}), type)};
}
Values hann(const Call& call) { return window(call, 0.5, 0.5, 0); }
Values hamming(const Call& call) { return window(call, 25.0 / 46, 21.0 / 46, 0); }
Values blackman(const Call& call) { return window(call, 0.42, 0.5, 0.08); }

}  // namespace

std::vector<Operator> make_operators() {
  return {
      {"Constant", constant, constant_refuses},
      {"ConstantOfShape", constant_of_shape},
      {"Range", range},
      {"EyeLike", eye_like},
      {"Shape", shape},
      {"Size", size},
      {"Trilu", trilu},
      {"HannWindow", hann},
      {"HammingWindow", hamming},
      {"BlackmanWindow", blackman},
  };
}

}  // namespace karyon::onnx
