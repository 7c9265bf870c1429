#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon::onnx {

/// Element types by their numbers in files.
enum Type : int {
  undefined_type = 0,
  float32 = 1,
  uint8 = 2,
  int8 = 3,
  uint16 = 4,
  int16 = 5,
  int32 = 6,
  int64 = 7,
  text = 8,
  boolean_type = 9,
  float16 = 10,
  float64 = 11,
  uint32 = 12,
  uint64 = 13,
  complex64 = 14,
  complex128 = 15,
  bfloat16 = 16,
  float8e4m3fn = 17,
  float8e4m3fnuz = 18,
  float8e5m2 = 19,
  float8e5m2fnuz = 20,
  uint4 = 21,
  int4 = 22,
  float4e2m1 = 23,
  float8e8m0 = 24,
  uint2 = 25,
  int2 = 26,
};

/// "float16"; a number that is no type by itself.
std::string type_name(int type);
/// Whether tensors of this type can be held at all, and how.
bool is_known(int type);
DType dtype_of_type(int type);
/// The type that tensors of a dtype have if nothing else is known.
int natural_type(DType dtype);
/// Bits of one element in raw data.
int bits_of(int type);
/// The range of a whole type.
std::int64_t lowest(int type);
std::int64_t highest(int type);
bool is_whole(int type);

/// What a name of a graph stands for.
struct Value {
  Tensor tensor;               ///< undefined: the optional input or output is absent
  int type = undefined_type;   ///< the file's type of what the tensor holds
  bool channels_last = false;  ///< the tensor is [N, ..., C] where the file means [N, C, ...]
  std::shared_ptr<const std::vector<Value>> list;  ///< a sequence instead of a tensor

  Value() = default;
  Value(Tensor x) : tensor(std::move(x)) {}
  Value(Tensor x, int element) : tensor(std::move(x)), type(element) {}

  bool present() const { return tensor.defined() || list != nullptr; }
};
using Values = std::vector<Value>;

/// An image or filter [N, C, ...] as [N, ..., C], and the way back. Of fewer than three dimensions, x itself.
Tensor to_channels_last(const Tensor& x);
Tensor to_channels_first(const Tensor& x);
inline Value last(Tensor x) {
  Value value(std::move(x));
  value.channels_last = value.tensor.dim() >= 3;
  return value;
}

/// The values rounded, or limited to the bits of, a type, in the dtype that holds it.
///   saturate  values beyond the range of an 8-bit float become its largest, not infinite or NaN
Tensor converted(const Tensor& x, int type, bool saturate = true);

}  // namespace karyon::onnx
