#include <algorithm>
#include <cstring>
#include <memory>

#include <karyon/core/dlpack.h>
#include <karyon/core/storage.h>

namespace karyon {
namespace {

using namespace dlpack;

struct Type {
  DType dtype;
  DLDataTypeCode code;
};
constexpr Type types[] = {{f32, DLDataTypeCode::floating},        {f64, DLDataTypeCode::floating},
                          {bf16, DLDataTypeCode::bfloat},         {i64, DLDataTypeCode::integer},
                          {u8, DLDataTypeCode::unsigned_integer}, {boolean, DLDataTypeCode::boolean},
                          {f16, DLDataTypeCode::floating},        {i32, DLDataTypeCode::integer}};

constexpr std::uint8_t bits_of(DType dtype) { return static_cast<std::uint8_t>(8 * element_size(dtype)); }

DLDataType type_of(DType dtype) {
  for (const Type& type : types)
    if (type.dtype == dtype) return {.code = type.code, .bits = bits_of(dtype), .lanes = 1};
  throw Error(std::string("to_dlpack: has no type for ") + name(dtype));
}

DType dtype_of_type(DLDataType given) {
  check(given.lanes == 1, "from_dlpack: expects elements of one lane, got ", given.lanes);
  for (const Type& type : types)
    if (type.code == given.code && bits_of(type.dtype) == given.bits) return type.dtype;
  throw Error("from_dlpack: expects f32, f64, bf16, f16, i64, i32, u8 or bool, got type code " +
              std::to_string(static_cast<int>(given.code)) + " of " + std::to_string(given.bits) + " bits");
}

// What lives as long as an exported tensor: a handle, and the arrays that DLTensor points to.
template <class Managed>
struct Exported {
  Tensor tensor;
  std::vector<std::int64_t> shape, strides;
  Managed managed;
};

template <class Managed>
Managed* exported(const Tensor& x) {
  check(x.defined(), "to_dlpack: expects a tensor, got an undefined one");
  check(x.device() == Device::cpu(), "to_dlpack: expects a tensor in the CPU's memory, got ", x.device());
  check(!x.requires_grad(), "to_dlpack: expects a tensor that requires no gradient: detach() it");
  auto owner = std::make_unique<Exported<Managed>>();
  owner->tensor = x;
  x.impl()->storage->lend();
  std::int64_t stride = 1;
  for (int d = 0; d < x.dim(); ++d) owner->shape.push_back(x.size(d));
  for (int d = x.dim() - 1; d >= 0; --d) {
    owner->strides.insert(owner->strides.begin(), stride);
    stride *= std::max<std::int64_t>(1, x.size(d));
  }
  Managed& managed = owner->managed;
  managed.dl_tensor = {.data = owner->tensor.data_ptr(),
                       .device = {.device_type = DLDeviceType::cpu, .device_id = 0},
                       .ndim = x.dim(),
                       .dtype = type_of(x.dtype()),
                       .shape = owner->shape.data(),
                       .strides = owner->strides.data(),
                       .byte_offset = 0};
  managed.manager_ctx = owner.get();
  managed.deleter = [](Managed* self) { delete static_cast<Exported<Managed>*>(self->manager_ctx); };
  return &owner.release()->managed;
}

bool row_major(const DLTensor& x) {
  std::int64_t stride = 1;
  for (int d = x.ndim - 1; d >= 0; --d) {
    if (x.shape[d] != 1 && x.strides[d] != stride) return false;
    stride *= x.shape[d];
  }
  return true;
}

// The elements in row-major order.
Tensor copied(const std::byte* data, const DLTensor& x, const Shape& shape, DType dtype) {
  Tensor out = empty(shape, {.dtype = dtype});
  auto* to = static_cast<std::byte*>(out.data_ptr());
  const std::size_t bytes = element_size(dtype);
  std::vector<std::int64_t> at(static_cast<std::size_t>(x.ndim), 0);
  for (std::int64_t i = 0; i < shape.numel(); ++i, to += bytes) {
    std::int64_t place = 0;
    for (int d = 0; d < x.ndim; ++d) place += at[static_cast<std::size_t>(d)] * x.strides[d];
    std::memcpy(to, data + place * static_cast<std::int64_t>(bytes), bytes);
    for (int d = x.ndim - 1; d >= 0 && ++at[static_cast<std::size_t>(d)] == x.shape[d]; --d)
      at[static_cast<std::size_t>(d)] = 0;
  }
  return out;
}

template <class Managed>
Tensor imported(Managed* managed, bool read_only) {
  const DLTensor& x = managed->dl_tensor;
  check(x.device.device_type == DLDeviceType::cpu || x.device.device_type == DLDeviceType::cuda_host,
        "from_dlpack: expects memory of the CPU, got that of device type ",
        static_cast<int>(x.device.device_type));
  check(x.ndim >= 0, "from_dlpack: expects ndim >= 0, got ", x.ndim);
  const DType dtype = dtype_of_type(x.dtype);
  Shape shape;
  for (int d = 0; d < x.ndim; ++d) shape.push_back(x.shape[d]);
  auto* const data = static_cast<std::byte*>(x.data) + x.byte_offset;
  const auto release = [managed] {
    if (managed->deleter != nullptr) managed->deleter(managed);
  };
  const bool aligned = reinterpret_cast<std::uintptr_t>(data) % element_size(dtype) == 0;
  const bool in_order = x.strides == nullptr || shape.numel() == 0 || row_major(x);
  if (in_order && aligned && !read_only && shape.numel() > 0)
    return from_blob(data, shape, {.dtype = dtype}, [release](void*) { release(); });
  Tensor out;
  if (in_order) {
    out = empty(shape, {.dtype = dtype});
    if (shape.numel() > 0)
      std::memcpy(out.data_ptr(), data, static_cast<std::size_t>(shape.numel()) * element_size(dtype));
  } else {
    out = copied(data, x, shape, dtype);
  }
  release();
  return out;
}

}  // namespace

DLManagedTensor* to_dlpack(const Tensor& x) { return exported<DLManagedTensor>(x); }

DLManagedTensorVersioned* to_dlpack_versioned(const Tensor& x) {
  auto* const managed = exported<DLManagedTensorVersioned>(x);
  managed->version = {.major = 1, .minor = 0};
  managed->flags = 0;
  return managed;
}

Tensor from_dlpack(DLManagedTensor* managed) {
  check(managed != nullptr, "from_dlpack: expects a tensor, got null");
  return imported(managed, false);
}

Tensor from_dlpack(DLManagedTensorVersioned* managed) {
  check(managed != nullptr, "from_dlpack: expects a tensor, got null");
  check(managed->version.major == 1, "from_dlpack: expects version 1 of DLPack, got ",
        managed->version.major);
  return imported(managed, (managed->flags & flag_read_only) != 0);
}

}  // namespace karyon
