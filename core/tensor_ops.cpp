#include <algorithm>
#include <cstring>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/storage.h>
#include <karyon/core/tensor.h>

namespace karyon {
namespace {

Tensor make(const Shape& shape, DType dtype, std::shared_ptr<Storage> storage, std::int64_t offset) {
  auto impl = std::make_shared<Tensor::Impl>();
  impl->shape = shape;
  impl->dtype = dtype;
  impl->storage = std::move(storage);
  impl->offset = offset;
  return Tensor(std::move(impl));
}

constexpr std::int64_t max_numel = std::int64_t{1} << 46;

// The product of sizes that are 0 or more. Those that are not 0 have a bounded product: kernels multiply some
// of the sizes without a check.
std::int64_t checked_numel(const char* op, const Shape& shape) {
  std::int64_t some = 1;
  bool none = false;
  for (const std::int64_t size : shape) {
    check(size >= 0, op, ": negative size in ", shape);
    none |= size == 0;
    if (size == 0) continue;
    check(some <= max_numel / size, op, ": ", shape, " is too large");
    some *= size;
  }
  return none ? 0 : some;
}

}  // namespace

Tensor Tensor::to(Device target) const {
  const Device source = device();
  if (source == target) return *this;
  Tensor out = empty(shape(), {.dtype = dtype(), .device = target});
  const DeviceType mover = target.type == DeviceType::cpu ? source.type : target.type;
  backend(mover).copy(out.data_ptr(), data_ptr(), static_cast<std::size_t>(numel()) * element_size(dtype()));
  return record("to", out, {*this}, twice_differentiable,
                [source](const Tensor& dy) { return std::vector{dy.to(source)}; });
}

Tensor Tensor::to(DType target) const {
  const DType source = dtype();
  if (source == target) return *this;
  Tensor out = empty(shape(), {.dtype = target, .device = device()});
  kernels::convert(*this, out);
  if (!is_floating(target)) return out;
  return record("to", out, {*this}, twice_differentiable,
                [source](const Tensor& dy) { return std::vector{dy.to(source)}; });
}

Tensor Tensor::clone() const {
  Tensor out = empty_like(*this);
  kernels::convert(*this, out);
  return record("clone", out, {*this}, twice_differentiable,
                [](const Tensor& dy) { return std::vector{dy}; });
}

Tensor Tensor::detach() const { return view(*this, shape()); }

Tensor Tensor::reshape(Shape shape) const {
  int unknown = -1;
  for (int d = 0; d < shape.dims(); ++d) {
    if (shape[d] != -1) continue;
    check(unknown < 0, "reshape: only one size may be -1, got ", shape);
    unknown = d;
    shape[d] = 1;
  }
  const std::int64_t known = checked_numel("reshape", shape);
  if (unknown >= 0 && known > 0) shape[unknown] = numel() / known;
  check(shape.numel() == numel() && (unknown < 0 || known > 0), "reshape: ", this->shape(), " has ", numel(),
        " elements, which do not fill ", shape);
  return record("reshape", view(*this, shape), {*this}, twice_differentiable,
                [before = this->shape()](const Tensor& dy) { return std::vector{dy.reshape(before)}; });
}

void Tensor::check_in_place(const char* op) const {
  check(!requires_grad() || !grad_enabled(), op,
        ": would change a tensor that requires a gradient in place; use NoGradGuard or detach()");
}

void Tensor::check_source(const char* op, const Tensor& source) const {
  check(source.defined(), op, ": the source is undefined");
  check(!grad_enabled() || !source.requires_grad(), op,
        ": the source requires a gradient and would get none; use a = a + b, NoGradGuard or detach()");
  const Impl &to = *impl_, &from = *source.impl();
  check(to.storage != from.storage || to.offset == from.offset || to.offset + numel() <= from.offset ||
            from.offset + source.numel() <= to.offset,
        op, ": source and target overlap in memory; clone() the source");
}

Tensor& Tensor::fill_(double value) {
  check_in_place("fill_");
  before_write();
  kernels::fill(*this, value);
  return *this;
}

Tensor& Tensor::copy_(const Tensor& src) {
  check_in_place("copy_");
  check_source("copy_", src);
  check(src.shape() == shape(), "copy_: expects shape ", shape(), ", got ", src.shape());
  before_write();
  kernels::convert(src.detach().to(device()), *this);
  return *this;
}

Tensor& Tensor::add_(const Tensor& other, double alpha) {
  check_in_place("add_");
  check_source("add_", other);
  check(other.shape() == shape() && other.dtype() == dtype(), "add_: expects ", dtype(), shape(), ", got ",
        other.dtype(), other.shape());
  before_write();
  kernels::axpy(alpha, other, *this);
  return *this;
}

Tensor& Tensor::mul_(double factor) {
  check_in_place("mul_");
  before_write();
  if (dtype() != f16) return kernels::scale(factor, *this), *this;
  Tensor wide = detach().to(f32);
  kernels::scale(factor, wide);
  kernels::convert(wide, *this);
  return *this;
}

Tensor& Tensor::requires_grad_(bool on) {
  check(!on || is_floating(dtype()), "requires_grad_: expects a floating type, got ", dtype());
  check(is_leaf(), "requires_grad_: only a leaf can be changed; detach() it first");
  impl_->requires_grad = on;
  return *this;
}

Tensor view(const Tensor& x, const Shape& shape, std::int64_t offset) {
  check(offset >= 0 && checked_numel("view", shape) <= x.numel() - offset, "view: ", shape, " from element ",
        offset, " does not fit in ", x.shape());
  return make(shape, x.dtype(), x.impl()->storage, x.impl()->offset + offset);
}

Tensor empty(const Shape& shape, TensorOptions options) {
  const std::size_t bytes =
      static_cast<std::size_t>(checked_numel("empty", shape)) * element_size(options.dtype);
  return make(shape, options.dtype, std::make_shared<Storage>(bytes, options.device), 0);
}

Tensor empty_like(const Tensor& x) { return empty(x.shape(), {.dtype = x.dtype(), .device = x.device()}); }
Tensor full(const Shape& shape, double value, TensorOptions options) {
  Tensor x = empty(shape, options);
  kernels::fill(x, value);
  return x;
}
Tensor zeros(const Shape& shape, TensorOptions options) { return full(shape, 0, options); }
Tensor ones(const Shape& shape, TensorOptions options) { return full(shape, 1, options); }
Tensor zeros_like(const Tensor& x) { return zeros(x.shape(), {.dtype = x.dtype(), .device = x.device()}); }
Tensor ones_like(const Tensor& x) { return ones(x.shape(), {.dtype = x.dtype(), .device = x.device()}); }

Tensor arange(std::int64_t n, TensorOptions options) {
  check(n >= 0, "arange: expects n >= 0, got ", n);
  Tensor x = empty({n}, {.dtype = i64});
  for (std::int64_t i = 0; i < n; ++i) x.data<std::int64_t>()[i] = i;
  return x.to(options.dtype).to(options.device);
}

Tensor tensor(const std::vector<double>& values, TensorOptions options) {
  return tensor(values, {static_cast<std::int64_t>(values.size())}, options);
}

Tensor tensor(const std::vector<double>& values, const Shape& shape, TensorOptions options) {
  return copy_of(values.data(), values.size(), f64, shape, options);
}

Tensor copy_of(const void* values, std::size_t count, DType dtype, const Shape& shape,
               TensorOptions options) {
  check(static_cast<std::int64_t>(count) == checked_numel("tensor", shape), "tensor: ", count,
        " values do not fill ", shape);
  Tensor x = empty(shape, {.dtype = dtype});
  if (count > 0) std::memcpy(x.data_ptr(), values, count * element_size(dtype));
  return x.to(options.dtype).to(options.device);
}

Tensor from_blob(void* data, const Shape& shape, TensorOptions options, std::function<void(void*)> deleter) {
  const std::size_t size = element_size(options.dtype);
  const std::size_t bytes = static_cast<std::size_t>(checked_numel("from_blob", shape)) * size;
  check(options.device == Device::cpu(), "from_blob: expects memory of the CPU, got ", options.device);
  check(data != nullptr || bytes == 0, "from_blob: expects the memory of ", shape, ", got null");
  check(reinterpret_cast<std::uintptr_t>(data) % size == 0, "from_blob: expects memory aligned to ", size,
        " bytes for ", options.dtype, ", got ", data);
  alignas(64) static char nothing[64];  // null is the address of a lazy storage
  std::function<void()> release;
  if (deleter) release = [data, free = std::move(deleter)] { free(data); };
  return make(shape, options.dtype,
              std::make_shared<Storage>(data == nullptr ? nothing : data, bytes, std::move(release)), 0);
}

std::ostream& operator<<(std::ostream& os, const Tensor& x) {
  if (!x.defined()) return os << "undefined tensor";
  constexpr std::int64_t shown = 8;
  os << x.dtype() << x.shape() << " {";
  const std::int64_t n = std::min(shown, x.numel());
  const auto values = view(x, {n}).to_vector<double>();
  for (std::int64_t i = 0; i < n; ++i) os << (i ? ", " : "") << values[static_cast<std::size_t>(i)];
  return os << (x.numel() > shown ? ", ...}" : "}");
}

}  // namespace karyon
