#include <algorithm>

#include <karyon/core/kernels/lazy.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/storage.h>

namespace karyon {

bool Lazy::add_to(Tensor&) const { return false; }

bool reads_lazily(LazyKind kind, const Tensor& x) {
  return x.dim() > 0 && backend(x.device().type).reads_lazily(kind, x.dtype(), x.size(-1));
}

Tensor lazy_tensor(std::shared_ptr<const Lazy> recipe) {
  const Lazy& lazy = *recipe;
  auto impl = std::make_shared<Tensor::Impl>();
  impl->shape = lazy.shape();
  impl->dtype = lazy.options().dtype;
  const auto bytes = static_cast<std::size_t>(impl->shape.numel()) * element_size(impl->dtype);
  impl->storage = std::make_shared<Storage>(bytes, std::move(recipe));
  const Tensor y(std::move(impl));
  const std::vector<Tensor> sources = lazy.sources();
  const auto borrowed = [](const Tensor& source) { return source.impl()->storage->borrowed(); };
  if (y.numel() == 0 || !reads_lazily(lazy.kind(), y) || std::ranges::any_of(sources, borrowed)) {
    y.data_ptr();  // materializes
  } else {
    for (const Tensor& source : sources) source.impl()->storage->add_dependent(y.impl()->storage);
  }
  return y;
}

std::shared_ptr<const Lazy> lazy_of(const Tensor& x) {
  if (!x.defined()) return nullptr;
  const Storage& storage = *x.impl()->storage;
  const bool all = static_cast<std::size_t>(x.numel()) * element_size(x.dtype()) == storage.bytes();
  return all ? storage.lazy() : nullptr;
}

namespace {

TensorOptions options_of(const Tensor& x) { return {.dtype = x.dtype(), .device = x.device()}; }
SavedTensor detached(const Tensor& x) { return x.defined() ? x.detach() : Tensor(); }

Shape joined_shape(const std::vector<Tensor>& parts) {
  Shape shape = parts[0].shape();
  int last = shape.dims() - 1;
  shape[last] = 0;
  for (const Tensor& part : parts) shape[last] += part.size(-1);
  return shape;
}

}  // namespace

LazyNorm::LazyNorm(const Tensor& x_in, const Tensor& weight_in, const Tensor& bias_in, const Tensor& mean_in,
                   const Tensor& rstd_in)
    : Lazy(LazyKind::norm, x_in.shape(), options_of(x_in)),
      x(detached(x_in)),
      weight(detached(weight_in)),
      bias(detached(bias_in)),
      mean(mean_in),
      rstd(rstd_in) {}

Tensor LazyNorm::materialize() const {
  const Tensor from = x.get();
  Tensor y = empty_like(from);
  kernels::batch_norm(from, weight.get(), bias.get(), mean, rstd, true, y);
  return y;
}

std::vector<Tensor> LazyNorm::sources() const {
  std::vector<Tensor> all;
  for (const SavedTensor* source : {&x, &weight, &bias})
    if (const Tensor tensor = source->get(); tensor.defined()) all.push_back(tensor);
  return all;
}

LazyCat::LazyCat(const std::vector<Tensor>& tensors, bool is_output)
    : Lazy(LazyKind::cat, joined_shape(tensors), options_of(tensors[0])), output(is_output) {
  for (const Tensor& part : tensors) parts.push_back(detached(part));
}

Tensor LazyCat::materialize() const {
  const NoGradGuard no_grad;  // a result that is not recorded is not lazy
  std::vector<Tensor> tensors;
  for (const SavedTensor& part : parts) tensors.push_back(part.get());
  return cat(tensors, -1);
}

std::vector<Tensor> LazyCat::sources() const {
  std::vector<Tensor> all;
  if (output) return all;
  for (const SavedTensor& part : parts) all.push_back(part.get());
  return all;
}

LazyMaxPoolGradient::LazyMaxPoolGradient(const Tensor& dy_in, const Tensor& index_in, const Shape& input,
                                         const kernels::PoolWindow& window_in)
    : Lazy(LazyKind::max_pool_gradient, input, options_of(dy_in)),
      dy(detached(dy_in)),
      index(index_in),
      window(window_in) {}

Tensor LazyMaxPoolGradient::materialize() const {
  const Tensor from = dy.get();
  Tensor dx = empty(shape(), options());
  kernels::max_pool2d_backward(from, index, dx, window);
  return dx;
}

std::vector<Tensor> LazyMaxPoolGradient::sources() const { return {dy.get()}; }

bool LazyMaxPoolGradient::add_to(Tensor& y) const {
  kernels::add_max_pool2d_backward(dy.get(), index, y);
  return true;
}

}  // namespace karyon
