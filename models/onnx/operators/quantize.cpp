#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>

namespace karyon::onnx {
namespace {

/// A scale or zero point as it stands beside x: one number, one for each slice along the axis, or for each
/// block.
Tensor beside(const Tensor& p, const Tensor& x, const Node& node) {
  if (p.numel() == 1) return p.reshape(Shape());
  const int axis = normalize_dim(static_cast<int>(node.integer("axis", 1)), x.dim(), "onnx");
  const std::int64_t block = node.integer("block_size", 0);
  if (p.dim() == 1 && x.dim() > 1) {
    Shape shape;
    for (int d = 0; d < x.dim(); ++d) shape.push_back(d == axis ? p.numel() : 1);
    return p.reshape(shape);
  }
  if (block <= 1) return p;
  return narrow(repeat_interleave(p, block, axis), axis, 0, x.size(axis));
}

Value quantized(const Tensor& x, const Tensor& scale, const Tensor& zero, int type, bool saturate) {
  Tensor y = div(x, scale);
  if (!is_whole(type))
    return Value(converted(zero.defined() ? add(y, zero.to(y.dtype())) : y, type, saturate), type);
  y = round(y).to(f64);
  if (zero.defined()) y = add(y, zero.to(f64));
  return Value(clamp(y, static_cast<double>(lowest(type)), static_cast<double>(highest(type))).to(i64), type);
}

Values quantize(const Call& call) {
  const Tensor x = call.x(0), given = call.x(1);
  const Tensor wide = is_floating(x.dtype()) ? x : x.to(f32);
  int type = static_cast<int>(call.node.integer("output_dtype", 0));
  if (call.has(2)) type = call.type(2);
  if (type == undefined_type) type = uint8;
  const Tensor zero = call.has(2) ? beside(call.x(2), x, call.node) : Tensor();
  return {quantized(wide, beside(given.to(wide.dtype()), x, call.node), zero, type,
                    call.node.integer("saturate", 1) != 0)};
}
std::string quantize_refuses(const Node& node, const Facts&) {
  const auto type = static_cast<int>(node.integer("output_dtype", 0));
  return type == undefined_type || is_known(type) ? "" : "to type " + type_name(type);
}

Values dequantize(const Call& call) {
  const Tensor x = call.x(0), scale = call.x(1);
  Tensor y = x.to(scale.dtype());
  if (call.has(2)) y = sub(y, beside(call.x(2).to(scale.dtype()), x, call.node));
  const auto type = static_cast<int>(call.node.integer("output_dtype", call.type(1)));
  return {Value(mul(y, beside(scale, x, call.node)), type)};
}

/// To uint8, with the range of the values and 0.
Values dynamic_quantize(const Call& call) {
  const Tensor x = call.x(0);
  const double low = std::min(0.0, min(x).item<double>()), high = std::max(0.0, max(x).item<double>());
  const auto scale = static_cast<float>((high - low) / 255);
  const Tensor by = tensor(scale);
  const Tensor zero = clamp(round(div(tensor(static_cast<float>(-low)), by)), 0, 255).to(i64);
  return {quantized(x, by, zero, uint8, true), by, Value(zero, uint8)};
}

}  // namespace

std::vector<Operator> quantize_operators() {
  return {{"QuantizeLinear", quantize, quantize_refuses},
          {"DequantizeLinear", dequantize},
          {"DynamicQuantizeLinear", dynamic_quantize}};
}

}  // namespace karyon::onnx
