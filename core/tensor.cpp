// The tensor itself: its shape, type and memory. tensor_ops.cpp holds the functions that create, copy and
// change tensors. The CUDA backend compiles only this file of the two.
#include <karyon/core/storage.h>
#include <karyon/core/tensor.h>

namespace karyon {
namespace {

const std::shared_ptr<Tensor::Impl>& live(const std::shared_ptr<Tensor::Impl>& impl) {
  check(impl != nullptr, "tensor: used while undefined");
  return impl;
}

void check_holds(const Tensor::Impl& impl, DType dtype) {
  check(impl.dtype == dtype, "data: expects a tensor of ", dtype, ", this one holds ", impl.dtype);
}

}  // namespace

const Shape& Tensor::shape() const { return live(impl_)->shape; }
std::int64_t Tensor::size(int dim) const { return shape()[normalize_dim(dim, this->dim(), "size")]; }
DType Tensor::dtype() const { return live(impl_)->dtype; }
Device Tensor::device() const { return live(impl_)->storage->device(); }

void* Tensor::address() const {
  const Impl& impl = *live(impl_);
  return static_cast<char*>(impl.storage->data()) +
         static_cast<std::size_t>(impl.offset) * element_size(impl.dtype);
}

const void* Tensor::data_ptr() const { return address(); }

void* Tensor::data_ptr() {
  live(impl_)->storage->release_readers();
  return address();
}

const void* Tensor::checked_data(DType dtype) const {
  check_holds(*live(impl_), dtype);
  return data_ptr();
}

void* Tensor::writable_data(DType dtype) {
  check_holds(*live(impl_), dtype);
  return data_ptr();
}

std::uint64_t Tensor::version() const { return live(impl_)->storage->version(); }
void Tensor::before_write() { live(impl_)->storage->before_write(); }
bool Tensor::owns_storage_alone() const {
  return live(impl_).use_count() == 1 && impl_->storage.use_count() == 1 && !impl_->storage->borrowed();
}

bool Tensor::requires_grad() const { return live(impl_)->requires_grad; }

Tensor Tensor::grad() const { return live(impl_)->grad; }

void Tensor::set_grad(const Tensor& grad) {
  if (grad.defined())
    check(grad.shape() == shape() && grad.dtype() == dtype(), "set_grad: expects ", dtype(), shape(),
          ", got ", grad.dtype(), grad.shape());
  live(impl_)->grad = grad;
}

const std::shared_ptr<Node>& Tensor::node() const { return live(impl_)->node; }

}  // namespace karyon
