#pragma once
#include <cmath>
#include <functional>

#include <karyon/core/dtype.h>
#include <karyon/core/tensor.h>

#include "fuzz.h"

// Tensors from numbers, and what an operation must give.
namespace fuzz {

using karyon::DType;
using karyon::Shape;
using karyon::Tensor;
using Tensors = std::vector<Tensor>;
using Op = std::function<Tensor(const Tensors&)>;

/// Sizes, strides and the like. Most are small, and some are nonsense.
inline std::int64_t any_size(ByteReader& in, std::int64_t low, std::int64_t high) {
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  constexpr std::array<std::int64_t, 16> nonsense{-1,
                                                  0,
                                                  -most,
                                                  -most - 1,
                                                  most,
                                                  most - 1,
                                                  most / 2,
                                                  most / 2 + 1,
                                                  std::int64_t{1} << 61,
                                                  std::int64_t{1} << 40,
                                                  std::int64_t{1} << 33,
                                                  std::int64_t{1} << 32,
                                                  std::int64_t{1} << 31,
                                                  (std::int64_t{1} << 31) - 1,
                                                  65536,
                                                  -7};
  const std::uint8_t kind = in.byte();
  return kind >= 0xf0 ? nonsense[kind & 15u] : low + kind % (high - low + 1);
}

/// A product of sizes that may be far above 64 bits.
inline double product(const Shape& shape) {
  double n = 1;
  for (const std::int64_t size : shape) n *= static_cast<double>(size);
  return n;
}

/// Whether a result of so many elements is one that a test can afford, or one that the library must refuse.
/// In between lies what only needs much memory.
inline bool can_ask_for(double elements) { return !(elements > 1e5 && elements < 9e18); }

/// Uniform in [-1, 1), rounded to the dtype; whole numbers up to 199 or truth values for the other dtypes.
inline Tensor noise(const Shape& shape, DType dtype, std::uint64_t seed) {
  Noise values(seed);
  const bool whole = !karyon::is_floating(dtype);
  std::vector<double> all(static_cast<std::size_t>(shape.numel()));
  for (double& value : all)
    value = whole ? values.next() % (dtype == karyon::boolean ? 2 : 200) : values.real();
  return karyon::tensor(all, shape, {.dtype = karyon::f64}).to(dtype);
}

/// `got` must have this shape and, up to `tolerance` of the largest, these values.
inline void expect_close(const char* what, const Tensor& got, const Shape& shape,
                         const std::vector<double>& want, double tolerance) {
  expect(got.shape() == shape, what, ": shape ", got.shape(), ", expected ", shape);
  const std::vector<double> values = got.to_vector<double>();
  double scale = 1;
  for (const double value : want)
    if (std::isfinite(value)) scale = std::max(scale, std::abs(value));
  for (std::size_t i = 0; i < want.size(); ++i) {
    const double a = values[i], b = want[i];
    const bool close = a == b || (std::isnan(a) && std::isnan(b)) || std::abs(a - b) <= tolerance * scale;
    expect(close, what, ": element ", i, " of ", shape, " is ", a, ", expected ", b, ", scale ", scale);
  }
}

/// How far a sum may be off in a dtype, relative to the largest value.
inline double rounding(DType dtype) {
  return dtype == karyon::f64 ? 1e-11 : dtype == karyon::f32 ? 2e-5 : 1.25 / 256;
}

/// The derivative of a weighted sum of f in a random direction: by backward() and by a central difference. f
/// is smooth around the inputs, which are f64; others are constants.
inline void check_gradient(const char* what, const Op& f, const Tensors& inputs, double tolerance = 2e-5) {
  constexpr double step = 1e-5;
  Tensors leaves, ahead, behind, directions;
  for (const Tensor& x : inputs) {
    const bool varies = x.defined() && x.dtype() == karyon::f64;
    directions.push_back(varies ? noise(x.shape(), karyon::f64, leaves.size() + 77) : Tensor());
    leaves.push_back(varies ? x.clone().requires_grad_() : x);
    ahead.push_back(varies ? x.clone().add_(directions.back(), step) : x);
    behind.push_back(varies ? x.clone().add_(directions.back(), -step) : x);
  }
  const Tensor y = f(leaves);
  if (!y.requires_grad() || y.numel() == 0) return;
  const Tensor weights = noise(y.shape(), karyon::f64, 99);
  const auto weighted = [&](const Tensor& result) {
    const auto values = result.to_vector<double>(), factors = weights.to_vector<double>();
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[i] * factors[i];
    return sum;
  };
  y.backward(weights);
  double slope = 0, scale = 1;
  for (std::size_t i = 0; i < leaves.size(); ++i) {
    if (!directions[i].defined()) continue;
    const Tensor gradient = leaves[i].grad();
    if (!gradient.defined()) continue;
    expect(gradient.shape() == leaves[i].shape(), what, ": a gradient of shape ", gradient.shape());
    const auto values = gradient.to_vector<double>(), factors = directions[i].to_vector<double>();
    for (std::size_t k = 0; k < values.size(); ++k) {
      slope += values[k] * factors[k];
      scale += std::abs(values[k]);
    }
  }
  const double difference = (weighted(f(ahead)) - weighted(f(behind))) / (2 * step);
  if (!std::isfinite(difference)) return;  // the mean of nothing, say
  expect(std::abs(slope - difference) <= tolerance * scale, what, ": slope ", slope, " by backward(), ",
         difference, " by differences, scale ", scale);
}

/// The places of a shape in order, as indices.
template <class Visit>
void for_each_place(const Shape& shape, const Visit& visit) {
  std::vector<std::int64_t> at(static_cast<std::size_t>(shape.dims()));
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    visit(at);
    for (int d = shape.dims(); d-- > 0;) {
      if (++at[static_cast<std::size_t>(d)] < shape[d]) break;
      at[static_cast<std::size_t>(d)] = 0;
    }
  }
}

/// The values of a tensor by place.
class Values {
 public:
  explicit Values(const Tensor& x) : shape_(x.shape()), values_(x.to_vector<double>()) {}
  const Shape& shape() const { return shape_; }
  /// The value at a place; sizes of 1 are repeated, and a longer place is aligned at the right.
  double at(const std::vector<std::int64_t>& place) const { return of(place); }
  const double& of(const std::vector<std::int64_t>& place) const {
    const std::size_t skipped = place.size() - static_cast<std::size_t>(shape_.dims());
    std::int64_t index = 0;
    for (int d = 0; d < shape_.dims(); ++d)
      index = index * shape_[d] + (shape_[d] == 1 ? 0 : place[skipped + static_cast<std::size_t>(d)]);
    return values_[static_cast<std::size_t>(index)];
  }

 private:
  Shape shape_;
  std::vector<double> values_;
};

inline constexpr std::array floating{karyon::f32, karyon::f64, karyon::bf16};

inline Shape any_shape(ByteReader& in, int least_dims, int most_dims, std::int64_t most) {
  Shape shape;
  for (int dims = in.whole(least_dims, most_dims); dims > 0; --dims) shape.push_back(in.between(0, most));
  return shape;
}

}  // namespace fuzz
