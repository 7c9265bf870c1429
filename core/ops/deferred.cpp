#include <karyon/core/kernels/deferred.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>

namespace karyon {

DeferredNorm::DeferredNorm(const Tensor& x_, const Tensor& scale_, const Tensor& shift_)
    : x(x_.detach()), scale(scale_), shift(shift_) {}

std::shared_ptr<Storage> DeferredNorm::make() const {
  const Tensor from = x.get();
  Tensor y = empty_like(from);
  kernels::batch_norm(from, scale, shift, zeros_like(scale), ones_like(scale), true, y);
  return y.impl()->storage;
}

DeferredCat::DeferredCat(const std::vector<Tensor>& parts_) {
  for (const Tensor& part : parts_) parts.emplace_back(part.detach());
}

std::shared_ptr<Storage> DeferredCat::make() const {
  const NoGradGuard no_grad;  // what is not recorded is not deferred
  std::vector<Tensor> tensors;
  for (const SavedTensor& part : parts) tensors.push_back(part.get());
  return cat(tensors, -1).impl()->storage;
}

DeferredMaxPoolGradient::DeferredMaxPoolGradient(const Tensor& dy_, const Tensor& index_, const Shape& shape_,
                                                 const kernels::PoolWindow& window_)
    : dy(dy_.detach()), index(index_), shape(shape_), window(window_) {}

std::shared_ptr<Storage> DeferredMaxPoolGradient::make() const {
  const Tensor from = dy.get();
  Tensor dx = empty(shape, {.dtype = from.dtype()});
  kernels::max_pool2d_backward(from, index, dx, window);
  return dx.impl()->storage;
}

Tensor defer(const Shape& shape, DType dtype, std::shared_ptr<const Deferred> contents,
             const std::vector<Tensor>& sources) {
  auto impl = std::make_shared<Tensor::Impl>();
  impl->shape = shape;
  impl->dtype = dtype;
  impl->storage = std::make_shared<Storage>(static_cast<std::size_t>(shape.numel()) * element_size(dtype),
                                            Device::cpu(), std::move(contents));
  for (const Tensor& source : sources) source.impl()->storage->add_dependent(impl->storage);
  return Tensor(std::move(impl));
}

}  // namespace karyon
