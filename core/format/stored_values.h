#pragma once
#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include <karyon/core/tensor.h>

// Private: how values in files become tensors.
namespace karyon {

/// An element type in files.
struct StoredType {
  const char* name;   // as safetensors spells it: "F16"
  std::size_t bytes;  // of an element in the file
  DType dtype;        // what it becomes
  /// Converts `count` elements of any alignment; false if one does not fit. Null where the bits stay.
  bool (*convert)(const char* from, std::size_t count, void* to);
};

/// The type of that name: F16, F32, F64, BF16, I8, I16, U16, U32, U64 (these five become i64), I32, I64, U8 or
/// BOOL. Null for others.
const StoredType* stored_type(std::string_view name);
/// The type whose values are a tensor's as they are.
const StoredType& stored_type(DType dtype);

/// Where the elements of a tensor lie among others.
struct StoredLayout {
  Shape shape;
  std::array<std::int64_t, Shape::max_dims> strides{};  // in elements, as the offset
  std::int64_t offset = 0;
  bool big_endian = false;
};
/// The strides of elements that lie one after the other, the last dimension innermost or the first.
std::array<std::int64_t, Shape::max_dims> packed_strides(const Shape& shape, bool first_innermost = false);

/// The bytes of a tensor in a file, or 2^64 - 1 where they are that many or more. 0 for no elements.
std::uint64_t stored_bytes(const Shape& shape, const StoredType& type);

/// The tensor whose elements lie in `bytes`. Throws Error, which begins with `where`, if one of them lies
/// outside, or does not fit in the type that it becomes. A large tensor of few bytes (strides of 0) is the
/// caller's to refuse.
Tensor decode(const StoredType& type, StoredLayout layout, std::span<const char> bytes,
              const std::string& where);

}  // namespace karyon
