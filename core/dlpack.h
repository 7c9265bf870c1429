#pragma once
#include <cstdint>

#include <karyon/core/tensor.h>

// Arrays of other libraries without a copy, by the DLPack standard (versions 0.8 and 1.0). The types have the
// names and the memory layout of its dlpack.h, in a namespace of their own. A pointer of one can be cast to the
// other.
namespace karyon::dlpack {

struct DLPackVersion {
  std::uint32_t major, minor;
};

enum class DLDeviceType : std::int32_t { cpu = 1, cuda = 2, cuda_host = 3 };
struct DLDevice {
  DLDeviceType device_type;
  std::int32_t device_id;
};

enum class DLDataTypeCode : std::uint8_t {
  integer = 0,
  unsigned_integer = 1,
  floating = 2,
  bfloat = 4,
  boolean = 6
};
struct DLDataType {
  DLDataTypeCode code;
  std::uint8_t bits;
  std::uint16_t lanes;
};

struct DLTensor {
  void* data;
  DLDevice device;
  std::int32_t ndim;
  DLDataType dtype;
  std::int64_t* shape;
  std::int64_t* strides;  ///< in elements; null: row-major
  std::uint64_t byte_offset;
};

/// What versions before 1.0 exchange. Whoever gets one calls its deleter, once.
struct DLManagedTensor {
  DLTensor dl_tensor;
  void* manager_ctx;
  void (*deleter)(DLManagedTensor* self);
};

constexpr std::uint64_t flag_read_only = 1, flag_is_copied = 2;
/// What versions from 1.0 on exchange.
struct DLManagedTensorVersioned {
  DLPackVersion version;
  void* manager_ctx;
  void (*deleter)(DLManagedTensorVersioned* self);
  std::uint64_t flags;
  DLTensor dl_tensor;
};

}  // namespace karyon::dlpack

namespace karyon {

/// The tensor for another library, which shares its memory and keeps it alive until it calls the deleter. Who
/// writes to it is seen by the next operation; call before_write() before, where a gradient may need the old
/// values. Throws Error unless the tensor is in the CPU's memory and requires no gradient (detach it).
dlpack::DLManagedTensor* to_dlpack(const Tensor& x);
/// The same for DLPack 1.0.
dlpack::DLManagedTensorVersioned* to_dlpack_versioned(const Tensor& x);

/// A tensor on the memory of another library, whose deleter is called when the last view is gone. Strides that
/// are not row-major, and memory that is for reading only, are copied at once. Throws Error, and leaves
/// `managed` to the caller, for memory of other devices, dtypes that Karyon lacks, vectors of elements, and
/// major versions other than 1.
Tensor from_dlpack(dlpack::DLManagedTensor* managed);
Tensor from_dlpack(dlpack::DLManagedTensorVersioned* managed);

}  // namespace karyon
