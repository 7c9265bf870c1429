#pragma once
#include <karyon/core/ops/loss.h>

#include "op_check.h"

// What tests of losses share: values, and references over doubles.
namespace karyon::test {

inline constexpr Reduction reductions[] = {Reduction::mean, Reduction::sum, Reduction::none};

inline Tensor random(const Shape& shape, std::uint64_t seed, double std = 2) {
  Generator generator(seed);
  Tensor x = empty(shape);
  return normal_(x, 0, std, generator);
}
inline Tensor probabilities(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return rand(shape, generator);
}
inline Tensor labels(const Shape& shape, std::uint64_t seed) {
  Tensor x = probabilities(shape, seed);
  for (std::int64_t i = 0; i < x.numel(); ++i) x.data<float>()[i] = x.data<float>()[i] < 0.5f ? 0 : 1;
  return x;
}

// Losses and their divisor -> what the reduction returns.
inline Tensor reduced(const std::vector<double>& losses, const Shape& shape, Reduction reduction,
                      double count) {
  if (reduction == Reduction::none) return tensor(losses, shape, {.dtype = f64});
  double sum = 0;
  for (double loss : losses) sum += loss;
  return full({}, reduction == Reduction::mean ? sum / count : sum, {.dtype = f64});
}

template <class F>
inline Tensor pointwise(const Tensor& x, const Tensor& t, Reduction reduction, F f) {
  std::vector<double> losses;
  for (std::int64_t i = 0; i < x.numel(); ++i)
    losses.push_back(f(x.data<double>()[i], t.data<double>()[i], i));
  return reduced(losses, x.shape(), reduction, static_cast<double>(x.numel()));
}

inline double p(double x) { return 1 / (1 + std::exp(-x)); }

// The targets are given in the dtype of the input (f32 beside bf16) and where it is, and want no gradient.
inline Tensor as(const Tensor& t, const Tensor& x) { return t.to(parameter_dtype(x.dtype())).to(x.device()); }

inline const std::vector<Shape> shapes = {{2, 3, 5, 1}, {1}, {7, 4}, {1, 3, 3, 5}};

/// Class indices [0, c), -7 for the last ones if `ignored`.
inline Tensor classes(const Shape& shape, std::int64_t c, bool ignored = false) {
  Tensor t = empty(shape, {.dtype = i64});
  for (std::int64_t i = 0; i < t.numel(); ++i)
    t.data<std::int64_t>()[i] = ignored && i % 5 == 4 ? -7 : (i * i + i / 3) % c;
  return t;
}
/// Where x is.
inline Tensor there(const Tensor& t, const Tensor& x) { return t.to(x.device()); }

/// softmax over rows of c doubles.
inline std::vector<double> softmax_rows(const Tensor& x) {
  std::vector<double> out = x.to_vector<double>();
  const auto c = static_cast<std::size_t>(x.size(-1));
  for (std::size_t row = 0; row < out.size(); row += c) {
    double sum = 0;
    for (std::size_t k = 0; k < c; ++k) sum += out[row + k] = std::exp(out[row + k]);
    for (std::size_t k = 0; k < c; ++k) out[row + k] /= sum;
  }
  return out;
}

}  // namespace karyon::test
