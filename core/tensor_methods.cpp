// The methods of Tensor that are operations.
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/index.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/scan.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/ops/statistics.h>

namespace karyon {

Tensor Tensor::sum(const std::vector<int>& dims, bool keepdim) const {
  return karyon::sum(*this, dims, keepdim);
}
Tensor Tensor::mean(const std::vector<int>& dims, bool keepdim) const {
  return karyon::mean(*this, dims, keepdim);
}
Tensor Tensor::max(const std::vector<int>& dims, bool keepdim) const {
  return karyon::max(*this, dims, keepdim);
}
Tensor Tensor::min(const std::vector<int>& dims, bool keepdim) const {
  return karyon::min(*this, dims, keepdim);
}
Tensor Tensor::prod(const std::vector<int>& dims, bool keepdim) const {
  return karyon::prod(*this, dims, keepdim);
}
Tensor Tensor::norm(double p, const std::vector<int>& dims, bool keepdim) const {
  return karyon::norm(*this, p, dims, keepdim);
}
Tensor Tensor::argmax(int dim, bool keepdim) const { return karyon::argmax(*this, dim, keepdim); }
Tensor Tensor::argmin(int dim, bool keepdim) const { return karyon::argmin(*this, dim, keepdim); }
Tensor Tensor::any(const std::vector<int>& dims, bool keepdim) const {
  return karyon::any(*this, dims, keepdim);
}
Tensor Tensor::all(const std::vector<int>& dims, bool keepdim) const {
  return karyon::all(*this, dims, keepdim);
}
Tensor Tensor::cumsum(int dim) const { return karyon::cumsum(*this, dim); }
Tensor Tensor::exp() const { return karyon::exp(*this); }
Tensor Tensor::log() const { return karyon::log(*this); }
Tensor Tensor::sqrt() const { return karyon::sqrt(*this); }
Tensor Tensor::abs() const { return karyon::abs(*this); }
Tensor Tensor::pow(double exponent) const { return karyon::pow(*this, exponent); }
Tensor Tensor::pow(const Tensor& exponent) const { return karyon::pow(*this, exponent); }
Tensor Tensor::relu() const { return karyon::relu(*this); }
Tensor Tensor::sigmoid() const { return karyon::sigmoid(*this); }
Tensor Tensor::softmax(int dim) const { return karyon::softmax(*this, dim); }
Tensor Tensor::matmul(const Tensor& other) const { return karyon::matmul(*this, other); }
Tensor Tensor::permute(const std::vector<int>& order) const { return karyon::permute(*this, order); }
Tensor Tensor::transpose(int dim0, int dim1) const { return karyon::transpose(*this, dim0, dim1); }
Tensor Tensor::squeeze() const { return karyon::squeeze(*this); }
Tensor Tensor::squeeze(int dim) const { return karyon::squeeze(*this, dim); }
Tensor Tensor::unsqueeze(int dim) const { return karyon::unsqueeze(*this, dim); }
Tensor Tensor::flatten(int start, int end) const { return karyon::flatten(*this, start, end); }
Tensor Tensor::expand(const Shape& shape) const { return karyon::expand(*this, shape); }
Tensor Tensor::repeat(const Shape& repeats) const { return karyon::repeat(*this, repeats); }
Tensor Tensor::flip(const std::vector<int>& dims) const { return karyon::flip(*this, dims); }
Tensor Tensor::operator[](std::int64_t index) const { return karyon::select(*this, 0, index); }
Tensor Tensor::index(const std::vector<TensorIndex>& indices) const { return karyon::index(*this, indices); }
Tensor Tensor::index_select(int dim, const Tensor& index) const {
  return karyon::index_select(*this, dim, index);
}
Tensor Tensor::gather(int dim, const Tensor& index) const { return karyon::gather(*this, dim, index); }
Tensor Tensor::masked_fill(const Tensor& mask, double value) const {
  return karyon::masked_fill(*this, mask, value);
}

// Tensors of one shape and dtype need no intermediate memory.
Tensor& Tensor::operator+=(const Tensor& other) {
  const bool alike = other.shape() == shape() && other.dtype() == dtype();
  return alike ? add_(other) : copy_(*this + other);
}
Tensor& Tensor::operator-=(const Tensor& other) {
  const bool alike = other.shape() == shape() && other.dtype() == dtype() && dtype() != boolean;
  return alike ? add_(other, -1) : copy_(*this - other);
}
Tensor& Tensor::operator*=(const Tensor& other) { return copy_(*this * other); }
Tensor& Tensor::operator/=(const Tensor& other) { return copy_(*this / other); }
Tensor& Tensor::operator+=(double value) { return copy_(*this + value); }
Tensor& Tensor::operator-=(double value) { return copy_(*this - value); }
Tensor& Tensor::operator*=(double value) { return mul_(value); }
Tensor& Tensor::operator/=(double value) { return copy_(*this / value); }

Tensor Tensor::cpu() const { return to(Device::cpu()); }
Tensor Tensor::cuda(int index) const { return to(Device::cuda(index)); }

}  // namespace karyon
