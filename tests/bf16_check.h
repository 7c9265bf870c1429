#pragma once
#include <karyon/core/ops/elementwise.h>

#include "op_check.h"

// Compares an operation in bf16 on the CPU with itself in f64, from the same rounded inputs. check_op has
// proved f64. This is for shapes that are too large for finite differences. Its cases have the tag [cpu].
namespace karyon::test {

// A result rounded once is off by 2^-9 at most, 1.7e-3 in the relative L2 norm of many.
inline constexpr double rounded_once = 2.5e-3;

/// The relative L2 norm of the difference; infinite if shapes differ or anything is NaN.
inline double relative_error(const Tensor& got, const Tensor& expected) {
  if (got.shape() != expected.shape()) return INFINITY;
  const auto a = got.to_vector<double>(), b = expected.to_vector<double>();
  double error = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    if (std::isnan(a[i])) return INFINITY;
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return size > 0 ? std::sqrt(error / size) : std::sqrt(error);
}

struct Bf16Input {
  Shape shape;
  DType dtype = bf16;  // f32 for parameters
  double scale = 1;
};

struct Bf16Results {
  std::vector<Tensor> of_bf16, of_f64;  // the output, then the gradients
};

/// The operation and its gradients in bf16 and, from the same values, in f64.
inline Bf16Results run_in_bf16(const Op& op, const std::vector<Bf16Input>& inputs) {
  Generator generator(5);
  std::vector<Tensor> narrow, wide;
  for (const Bf16Input& input : inputs) {
    const Tensor x = mul(randn(input.shape, generator), input.scale).to(input.dtype);
    narrow.push_back(x.detach().requires_grad_());
    wide.push_back(x.to(f64).detach().requires_grad_());
  }
  const Tensor y = op(narrow), expected = op(wide);
  CHECK(y.dtype() == bf16);
  const Tensor dy = randn(y.shape(), generator).to(bf16);
  y.backward(dy);
  expected.backward(dy.to(f64));
  Bf16Results results{{y}, {expected}};
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    CHECK(narrow[i].grad().dtype() == inputs[i].dtype);
    results.of_bf16.push_back(narrow[i].grad());
    results.of_f64.push_back(wide[i].grad());
  }
  return results;
}

/// CHECKs the output and each gradient in bf16 against f64.
inline void check_bf16(const std::string& name, const Op& op, const std::vector<Bf16Input>& inputs,
                       double tolerance = rounded_once) {
  INFO(name);
  const Bf16Results results = run_in_bf16(op, inputs);
  for (std::size_t i = 0; i < results.of_f64.size(); ++i) {
    INFO((i == 0 ? "output" : "gradient of input " + std::to_string(i - 1)));
    CHECK(relative_error(results.of_bf16[i], results.of_f64[i]) < tolerance);
  }
}

}  // namespace karyon::test
