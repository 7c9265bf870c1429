#pragma once
#include <karyon/core/ops/elementwise.h>

#include "op_check.h"

// What tests of elementwise operations share: a reference that broadcasts, and check_op over odd shapes.
namespace karyon::test {

using Scalar = std::function<double(const std::vector<double>&)>;

// f for every element, each input's index found from the output's coordinates.
inline Op reference(const Scalar& f) {
  return [f](const std::vector<Tensor>& inputs) {
    Shape shape = inputs[0].shape();
    for (const Tensor& x : inputs) shape = broadcast_shapes(shape, x.shape(), "reference");
    std::vector<std::vector<double>> values;
    for (const Tensor& x : inputs) values.push_back(x.to_vector<double>());
    std::vector<double> out, arguments(inputs.size());
    for (std::int64_t i = 0; i < shape.numel(); ++i) {
      for (std::size_t k = 0; k < inputs.size(); ++k) {
        const Shape& s = inputs[k].shape();
        std::int64_t rest = i, index = 0, stride = 1;
        for (int d = shape.dims() - 1, e = s.dims() - 1; e >= 0; --d, --e) {
          if (s[e] != 1) index += rest % shape[d] * stride;
          stride *= s[e];
          rest /= shape[d];
        }
        arguments[k] = values[k][static_cast<std::size_t>(index)];
      }
      out.push_back(f(arguments));
    }
    return tensor(out, shape, {.dtype = f64});
  };
}

// Uniform in [low, high).
inline Tensor values(const Shape& shape, double low, double high, std::uint64_t seed = 1) {
  Generator generator(seed);
  Tensor x = empty(shape);
  return uniform_(x, low, high, generator);
}

inline const std::vector<std::pair<Shape, Shape>> shape_pairs{
    {{1}, {1}},
    {{}, {}},
    {{}, {3, 2}},
    {{7}, {7}},
    {{2, 3, 5}, {5}},
    {{5}, {2, 3, 5}},
    {{2, 3, 5}, {3, 1}},
    {{2, 1, 5}, {1, 3, 1}},
    {{2, 3, 1}, {2, 1, 5}},
    {{1, 3}, {2, 1}},
    {{2, 1, 3, 1, 2}, {3, 1, 5, 1}},
    {{0, 3}, {1, 3}},
    {{3, 0}, {3, 1}},
};

inline void check_binary(const std::string& name, Tensor (*op)(const Tensor&, const Tensor&),
                         double (*f)(double, double), double low, double high) {
  for (const auto& [a, b] : shape_pairs)
    check_op(name, [&](const auto& x) { return op(x[0], x[1]); },
             reference([&](const auto& v) { return f(v[0], v[1]); }),
             {values(a, low, high, 1), values(b, low, high, 2)});
}

inline void check_unary(const std::string& name, const std::function<Tensor(const Tensor&)>& op,
                        const std::function<double(double)>& f, double low, double high) {
  for (const Shape& shape : {Shape{}, Shape{1}, Shape{13}, Shape{3, 5, 7}, Shape{0, 2}})
    check_op(name, [&](const auto& x) { return op(x[0]); }, reference([&](const auto& v) { return f(v[0]); }),
             {values(shape, low, high)});
}

}  // namespace karyon::test
