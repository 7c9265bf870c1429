#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/models/onnx/small_float.h>
#include <karyon/models/onnx/value.h>

namespace karyon::onnx {
namespace {

struct TypeRow {
  const char* name;
  int bits;        // 0: cannot be held
  DType dtype;     // what holds it
  int whole_bits;  // of a whole type: of its range; negative if it has a sign
};
constexpr std::array<TypeRow, 27> types{{
    {"undefined", 0, f32, 0},      {"float32", 32, f32, 0},   {"uint8", 8, i64, 8},
    {"int8", 8, i64, -8},          {"uint16", 16, i64, 16},   {"int16", 16, i64, -16},
    {"int32", 32, i64, -32},       {"int64", 64, i64, -64},   {"string", 0, f32, 0},
    {"bool", 8, boolean, 0},       {"float16", 16, f32, 0},   {"float64", 64, f64, 0},
    {"uint32", 32, i64, 32},       {"uint64", 64, i64, 64},   {"complex64", 0, f32, 0},
    {"complex128", 0, f32, 0},     {"bfloat16", 16, f32, 0},  {"float8e4m3fn", 8, f32, 0},
    {"float8e4m3fnuz", 8, f32, 0}, {"float8e5m2", 8, f32, 0}, {"float8e5m2fnuz", 8, f32, 0},
    {"uint4", 4, i64, 4},          {"int4", 4, i64, -4},      {"float4e2m1", 4, f32, 0},
    {"float8e8m0", 0, f32, 0},     {"uint2", 2, i64, 2},      {"int2", 2, i64, -2},
}};

const TypeRow& row(int type) {
  static constexpr TypeRow unknown{"", 0, f32, 0};
  return type >= 0 && type < static_cast<int>(types.size()) ? types[static_cast<std::size_t>(type)] : unknown;
}

Tensor reordered(const Tensor& x, bool to_last) {
  if (x.dim() < 3) return x;
  std::vector<int> order(static_cast<std::size_t>(x.dim()));
  std::iota(order.begin(), order.end(), 0);
  if (to_last)
    std::rotate(order.begin() + 1, order.begin() + 2, order.end());
  else
    std::rotate(order.begin() + 1, order.end() - 1, order.end());
  return permute(x, order);
}

/// The low bits of a number as one of a whole type.
std::int64_t wrapped(std::int64_t x, int type) {
  const int bits = std::abs(row(type).whole_bits);
  if (bits == 0 || bits == 64) return x;
  const std::uint64_t low = static_cast<std::uint64_t>(x) << (64 - bits);
  return row(type).whole_bits < 0 ? static_cast<std::int64_t>(low) >> (64 - bits)
                                  : static_cast<std::int64_t>(low >> (64 - bits));
}

/// Towards 0; what does not fit 64 bits becomes the lowest number, as in C on most machines.
std::int64_t whole(double x) {
  if (!(x > -9.3e18 && x < 9.22337203685477e18)) return std::numeric_limits<std::int64_t>::min();
  return static_cast<std::int64_t>(x);
}

}  // namespace

std::string type_name(int type) {
  const char* name = row(type).name;
  return *name != 0 ? name : "type " + std::to_string(type);
}
bool is_known(int type) { return row(type).bits != 0; }
DType dtype_of_type(int type) { return row(type).dtype; }
int bits_of(int type) { return row(type).bits; }
bool is_whole(int type) { return row(type).whole_bits != 0; }

int natural_type(DType dtype) {
  switch (dtype) {
    case DType::f64: return float64;
    case DType::bf16: return bfloat16;
    case DType::u8: return uint8;
    case DType::i64: return int64;
    case DType::boolean: return boolean_type;
    case DType::f16: return float16;
    case DType::i32: return int32;
    case DType::f32: break;
  }
  return float32;
}

std::int64_t lowest(int type) {
  const int bits = row(type).whole_bits;
  if (bits >= 0) return 0;
  return bits == -64 ? std::numeric_limits<std::int64_t>::min() : -(std::int64_t{1} << (-bits - 1));
}
std::int64_t highest(int type) {
  const int bits = row(type).whole_bits;
  if (bits == 64 || bits == -64) return std::numeric_limits<std::int64_t>::max();
  return (std::int64_t{1} << (bits < 0 ? -bits - 1 : bits)) - 1;
}

Tensor to_channels_last(const Tensor& x) { return reordered(x, true); }
Tensor to_channels_first(const Tensor& x) { return reordered(x, false); }

Tensor converted(const Tensor& x, int type, bool saturate) {
  if (type == boolean_type) return x.dtype() == boolean ? x : ne(x, 0.0);
  if (is_whole(type)) {
    std::vector<std::int64_t> numbers;
    if (is_floating(x.dtype())) {
      const std::vector<double> values = x.to_vector<double>();
      numbers.resize(values.size());
      std::transform(values.begin(), values.end(), numbers.begin(), whole);
    } else {
      if (x.dtype() == i64 && std::abs(row(type).whole_bits) == 64) return x;
      numbers = x.to_vector<std::int64_t>();
    }
    for (std::int64_t& n : numbers) n = wrapped(n, type);
    return tensor(numbers, x.shape(), {.dtype = i64, .device = x.device()});
  }
  const SmallFloat* format = small_float(type);
  if (format == nullptr) return x.to(row(type).dtype);
  // The gradient passes through the rounding.
  std::vector<double> values = x.to_vector<double>();
  for (double& v : values) v = format->round(v, saturate && format->bits() <= 8);
  const Tensor y = tensor(values, x.shape(), {.dtype = f32, .device = x.device()});
  if (!x.requires_grad()) return y;
  const Tensor wide = x.to(f32);
  return add(wide, sub(y, wide.detach()));
}

}  // namespace karyon::onnx
