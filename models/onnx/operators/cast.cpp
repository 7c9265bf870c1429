#include <bit>
#include <cstring>

#include <karyon/models/onnx/call.h>

namespace karyon::onnx {
namespace {

Values cast_to(const Call& call, int type) {
  check(is_known(type), "cannot cast to ", type_name(type));
  Value y = like(call, 0, converted(call.raw(0), type, call.node.integer("saturate", 1) != 0));
  y.type = type;
  return {y};
}
Values cast(const Call& call) { return cast_to(call, static_cast<int>(call.node.integer("to", 0))); }
Values cast_like(const Call& call) { return cast_to(call, call.type(1)); }

std::string cast_refuses(const Node& node, const Facts&) {
  const auto to = static_cast<int>(node.integer("to", 0));
  return is_known(to) ? "" : "to type " + type_name(to);
}

/// The bits of 32- and 64-bit types under another type of the same width.
bool has_plain_bits(int type) {
  return type == float32 || type == float64 || (is_whole(type) && bits_of(type) >= 8);
}

Values bit_cast(const Call& call) {
  const int from = call.type(0), to = static_cast<int>(call.node.integer("to", 0));
  const Tensor x = call.x(0);
  check(has_plain_bits(from) && has_plain_bits(to) && bits_of(from) == bits_of(to), "cannot read ",
        type_name(from), " as ", type_name(to));
  if (is_whole(from) && is_whole(to)) return {Value(converted(x, to), to)};
  if (from == to) return {Value(x, to)};
  if (is_whole(to)) {
    std::vector<std::int64_t> bits;
    if (from == float32)
      for (const float v : x.to_vector<float>()) bits.push_back(std::bit_cast<std::int32_t>(v));
    else
      for (const double v : x.to_vector<double>()) bits.push_back(std::bit_cast<std::int64_t>(v));
    return {Value(converted(tensor(bits, x.shape()), to), to)};
  }
  std::vector<double> wide;
  std::vector<float> narrow;
  for (const std::int64_t v : x.to_vector<std::int64_t>()) {
    wide.push_back(std::bit_cast<double>(v));
    narrow.push_back(std::bit_cast<float>(static_cast<std::int32_t>(v)));
  }
  return {Value(to == float32 ? tensor(narrow, x.shape()) : tensor(wide, x.shape(), {.dtype = f64}), to)};
}
std::string bit_cast_refuses(const Node& node, const Facts& facts) {
  const auto to = static_cast<int>(node.integer("to", 0));
  const Fact* from = fact_of(facts, node, 0);
  if (!has_plain_bits(to)) return "to type " + type_name(to);
  return from != nullptr && !has_plain_bits(from->type) ? "from type " + type_name(from->type) : "";
}

}  // namespace

std::vector<Operator> cast_operators() {
  return {{"Cast", cast, cast_refuses}, {"CastLike", cast_like}, {"BitCast", bit_cast, bit_cast_refuses}};
}

}  // namespace karyon::onnx
