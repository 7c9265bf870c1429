#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <vector>

#include <karyon/core/format/stored_values.h>

namespace karyon {
namespace {

static_assert(std::endian::native == std::endian::little, "values are little-endian in memory");

template <class From>
From element(const char* from, std::size_t i) {
  From value;
  std::memcpy(&value, from + i * sizeof value, sizeof value);
  return value;
}

template <class From>
bool widen(const char* from, std::size_t count, void* to) {
  auto* out = static_cast<std::int64_t*>(to);
  for (std::size_t i = 0; i < count; ++i) {
    const auto value = element<From>(from, i);
    if constexpr (std::is_same_v<From, std::uint64_t>)
      if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) return false;
    out[i] = static_cast<std::int64_t>(value);
  }
  return true;
}

// Any byte but 0 and 1 would be undefined as a bool.
bool to_truth(const char* from, std::size_t count, void* to) {
  auto* out = static_cast<std::uint8_t*>(to);
  for (std::size_t i = 0; i < count; ++i) out[i] = from[i] != 0;
  return true;
}

const StoredType types[] = {{"F32", 4, f32, nullptr},
                            {"F64", 8, f64, nullptr},
                            {"BF16", 2, bf16, nullptr},
                            {"I64", 8, i64, nullptr},
                            {"U8", 1, u8, nullptr},
                            {"BOOL", 1, boolean, to_truth},
                            {"F16", 2, f16, nullptr},
                            {"I32", 4, i32, nullptr},
                            {"I8", 1, i64, widen<std::int8_t>},
                            {"I16", 2, i64, widen<std::int16_t>},
                            {"U16", 2, i64, widen<std::uint16_t>},
                            {"U32", 4, i64, widen<std::uint32_t>},
                            {"U64", 8, i64, widen<std::uint64_t>}};

bool has_no_elements(const Shape& shape) { return std::find(shape.begin(), shape.end(), 0) != shape.end(); }

// Throws Error unless all elements lie in `bytes`. Strides that are never walked become 0.
void check_inside(StoredLayout& layout, std::size_t element_bytes, std::size_t bytes,
                  const std::string& where) {
  bool inside = layout.offset >= 0;
  std::int64_t last = layout.offset;
  for (int d = 0; d < layout.shape.dims(); ++d) {
    std::int64_t& stride = layout.strides[static_cast<std::size_t>(d)];
    if (layout.shape[d] <= 1) stride = 0;
    std::int64_t way = 0;
    inside = inside && stride >= 0 && !__builtin_mul_overflow(stride, layout.shape[d] - 1, &way) &&
             !__builtin_add_overflow(last, way, &last);
  }
  check(inside && static_cast<std::uint64_t>(last) < bytes / element_bytes, where, "a tensor of shape ",
        layout.shape, " does not fit in its values: truncated, or damaged");
}

template <std::size_t element_bytes>
void gather(const StoredLayout& layout, const char* from, std::size_t count, char* to) {
  std::array<std::int64_t, Shape::max_dims> index{};
  std::int64_t at = layout.offset;
  for (std::size_t i = 0; i < count; ++i) {
    char* const out = to + i * element_bytes;
    std::memcpy(out, from + static_cast<std::size_t>(at) * element_bytes, element_bytes);
    if (layout.big_endian) std::reverse(out, out + element_bytes);
    for (int d = layout.shape.dims() - 1; d >= 0; --d) {
      const auto dim = static_cast<std::size_t>(d);
      at += layout.strides[dim];
      if (++index[dim] < layout.shape[d]) break;
      at -= layout.strides[dim] * layout.shape[d];
      index[dim] = 0;
    }
  }
}

Tensor allocate(const Shape& shape, DType dtype, const std::string& where) {
  try {
    return empty(shape, {.dtype = dtype});
  } catch (const Error& e) {
    throw Error(where + e.what());
  }
}

bool is_packed(const StoredLayout& layout) {
  const auto packed = packed_strides(layout.shape);
  for (int d = 0; d < layout.shape.dims(); ++d) {
    const auto dim = static_cast<std::size_t>(d);
    if (layout.shape[d] > 1 && layout.strides[dim] != packed[dim]) return false;
  }
  return true;
}

}  // namespace

const StoredType* stored_type(std::string_view name) {
  for (const StoredType& type : types)
    if (name == type.name) return &type;
  return nullptr;
}

const StoredType& stored_type(DType dtype) {
  for (const StoredType& type : types)
    if (type.dtype == dtype) return type;  // a tensor's own types stand first
  return types[0];
}

std::array<std::int64_t, Shape::max_dims> packed_strides(const Shape& shape, bool first_innermost) {
  std::array<std::int64_t, Shape::max_dims> strides{};
  std::int64_t stride = 1;
  for (int i = 0; i < shape.dims(); ++i) {
    const int d = first_innermost ? i : shape.dims() - 1 - i;
    strides[static_cast<std::size_t>(d)] = stride;
    if (__builtin_mul_overflow(stride, shape[d], &stride)) stride = -1;  // which is never inside
  }
  return strides;
}

std::uint64_t stored_bytes(const Shape& shape, const StoredType& type) {
  if (has_no_elements(shape)) return 0;
  std::uint64_t bytes = type.bytes;
  for (const std::int64_t size : shape)
    if (__builtin_mul_overflow(bytes, static_cast<std::uint64_t>(size), &bytes))
      return std::numeric_limits<std::uint64_t>::max();
  return bytes;
}

Tensor decode(const StoredType& type, StoredLayout layout, std::span<const char> bytes,
              const std::string& where) {
  for (const std::int64_t size : layout.shape)
    check(size >= 0, where, "a tensor of shape ", layout.shape, " has a negative size: damaged");
  if (has_no_elements(layout.shape)) return allocate(layout.shape, type.dtype, where);
  check_inside(layout, type.bytes, bytes.size(), where);
  Tensor x = allocate(layout.shape, type.dtype, where);
  const auto count = static_cast<std::size_t>(x.numel());
  const char* from = bytes.data() + static_cast<std::size_t>(layout.offset) * type.bytes;
  std::vector<char> packed;
  if (!is_packed(layout) || (layout.big_endian && type.bytes > 1)) {
    packed.resize(count * type.bytes);
    const auto copy = type.bytes == 1   ? gather<1>
                      : type.bytes == 2 ? gather<2>
                      : type.bytes == 4 ? gather<4>
                                        : gather<8>;
    copy(layout, bytes.data(), count, packed.data());
    from = packed.data();
  }
  if (type.convert == nullptr)
    std::memcpy(x.data_ptr(), from, count * type.bytes);
  else
    check(type.convert(from, count, x.data_ptr()), where, "a value of type ", type.name, " does not fit in ",
          type.dtype);
  return x;
}

}  // namespace karyon
