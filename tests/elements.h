#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/tensor.h>

// References of operations that move elements: tensors of f64 by a formula for each element.
namespace karyon::test {

using Index = std::vector<std::int64_t>;

/// A tensor of `shape` whose element at an index is source(index).
template <class F>
Tensor generate(const Shape& shape, F source) {
  std::vector<double> values;
  Index index(static_cast<std::size_t>(shape.dims()));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    std::int64_t rest = i;
    for (int d = shape.dims() - 1; d >= 0; --d) {
      index[static_cast<std::size_t>(d)] = rest % shape[d];
      rest /= shape[d];
    }
    values.push_back(source(index));
  }
  return tensor(values, shape, {.dtype = f64});
}

/// Where an element lies in the memory of a tensor of `shape`.
inline std::int64_t position(const Shape& shape, const Index& index) {
  std::int64_t offset = 0;
  for (int d = 0; d < shape.dims(); ++d) offset = offset * shape[d] + index[static_cast<std::size_t>(d)];
  return offset;
}
inline double at(const Tensor& x, const Index& index) { return x.data<double>()[position(x.shape(), index)]; }

/// 0, 1, 2, ... under `shape`.
inline Tensor counted(const Shape& shape, DType dtype) {
  return arange(shape.numel()).to(dtype).reshape(shape);
}

/// Numbers in [0, size), out of order and repeated.
inline Tensor repeated(const Shape& shape, std::int64_t size) {
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) values.push_back((i * 7 + i / 3) % size);
  return tensor(values, shape);
}

}  // namespace karyon::test
