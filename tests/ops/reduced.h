#pragma once
#include <algorithm>
#include <functional>
#include <utility>
#include <vector>

#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

// Reductions by plain loops, for the tests of reductions.
namespace karyon::test {

using Dims = std::vector<int>;

inline Tensor normal(const Shape& shape, DType dtype = f32) {
  Generator generator(11);
  return randn(shape, generator, {.dtype = dtype});
}

inline bool contains(const Dims& dims, int d, int count) {
  return dims.empty() || std::count(dims.begin(), dims.end(), d) ||
         std::count(dims.begin(), dims.end(), d - count);
}

/// For every element of the result, f of the elements of x that make it.
inline Tensor reduced(const Tensor& x, const Dims& dims, bool keepdim,
                      const std::function<double(const std::vector<double>&)>& f) {
  Shape shape;
  std::int64_t size = 1;
  for (int d = 0; d < x.dim(); ++d) {
    const bool goes = contains(dims, d, x.dim());
    if (!goes || keepdim) shape.push_back(goes ? 1 : x.shape()[d]);
    if (!goes) size *= x.shape()[d];
  }
  std::vector<std::vector<double>> groups(static_cast<std::size_t>(size));
  const auto in = x.to_vector<double>();
  for (std::size_t i = 0; i < in.size(); ++i) {
    std::int64_t rest = static_cast<std::int64_t>(i), target = 0, stride = 1;
    for (int d = x.dim() - 1; d >= 0; --d) {
      if (!contains(dims, d, x.dim())) {
        target += rest % x.shape()[d] * stride;
        stride *= x.shape()[d];
      }
      rest /= x.shape()[d];
    }
    groups[static_cast<std::size_t>(target)].push_back(in[i]);
  }
  std::vector<double> out;
  for (const auto& group : groups) out.push_back(f(group));
  return tensor(out, shape, {.dtype = f64});
}

inline const std::vector<std::pair<Shape, Dims>> reduced_shapes{{{}, {}},
                                                                {{1}, {}},
                                                                {{7}, {0}},
                                                                {{2, 3, 5}, {}},
                                                                {{2, 3, 5}, {0}},
                                                                {{2, 3, 5}, {1}},
                                                                {{2, 3, 5}, {-1}},
                                                                {{2, 3, 5}, {2, 0}},
                                                                {{2, 3, 5}, {0, 1}},
                                                                {{3, 1, 5}, {1}},
                                                                {{1, 1}, {0}},
                                                                {{2, 3, 2, 5}, {1, 3}},
                                                                {{2, 3, 2, 5}, {-4, 2}},
                                                                {{2, 1, 3, 1}, {0, 1, 3}},
                                                                {{67, 3}, {0}},
                                                                {{3, 131}, {1}}};

}  // namespace karyon::test
