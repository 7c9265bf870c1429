#pragma once
#include <memory>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/storage.h>

// Results that an operation leaves unmade while it is recorded on the CPU, because the kernels that use them
// most can read what they are made of. Whoever else asks for the memory gets it made, once.
namespace karyon {

/// max(scale x + shift, 0) per channel: a batch norm with its ReLU. f32 or bf16, scale and shift f32.
struct DeferredNorm : Deferred {
  DeferredNorm(const Tensor& x, const Tensor& scale, const Tensor& shift);
  std::shared_ptr<Storage> make() const override;

  SavedTensor x;
  Tensor scale, shift;  // [C]
};

/// Images side by side in their channels: cat(parts, -1).
struct DeferredCat : Deferred {
  explicit DeferredCat(const std::vector<Tensor>& parts);
  std::shared_ptr<Storage> make() const override;

  std::vector<SavedTensor> parts;
};

/// The gradient of a 2 x 2 max pool in its input, which is added to that of another use of the input without
/// being written first.
struct DeferredMaxPoolGradient : Deferred {
  DeferredMaxPoolGradient(const Tensor& dy, const Tensor& index, const Shape& shape,
                          const kernels::PoolWindow& window);
  std::shared_ptr<Storage> make() const override;

  SavedTensor dy;
  Tensor index;
  Shape shape;
  kernels::PoolWindow window;
};

/// Whether there are kernels that read what x is made of: on the CPU, for whole vectors of channels.
inline bool reads_in_parts(const Tensor& x) {
  if (x.device().type != DeviceType::cpu) return false;
  return (x.dtype() == f32 && x.size(-1) % 16 == 0) || (x.dtype() == bf16 && x.size(-1) % 32 == 0);
}

/// A tensor of these contents, made of `sources`: before one of those changes in place it is made.
Tensor defer(const Shape& shape, DType dtype, std::shared_ptr<const Deferred> contents,
             const std::vector<Tensor>& sources);

/// What all of x would be made of if that is of this kind and not in memory yet; else null.
template <class Kind>
std::shared_ptr<const Kind> deferred_as(const Tensor& x) {
  if (!x.defined()) return nullptr;
  const Storage& storage = *x.impl()->storage;
  if (static_cast<std::size_t>(x.numel()) * element_size(x.dtype()) != storage.bytes()) return nullptr;
  return std::dynamic_pointer_cast<const Kind>(storage.deferred());
}

}  // namespace karyon
