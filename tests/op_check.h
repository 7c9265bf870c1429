#pragma once
#include <catch2/catch.hpp>
#include <cstdint>
#include <functional>
#include <set>
#include <string>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/gradcheck.h>
#include <karyon/core/parallel.h>
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

#include "test_device.h"

// The proof that every operation passes. It compares forward in f32 and f64 with an independent double
// reference, gradients with finite differences, and f32 gradients with f64 ones, and gradients of gradients
// with finite differences. It checks that nothing is leaked. Then it compares bf16 with f64 on the same
// inputs, rounded to bf16. With KARYON_TEST_DEVICE=cuda all f32 and bf16 runs on the CUDA device, with the
// same tolerances. f64 stays on the CPU, whose finite differences the ordinary run has checked.
namespace karyon::test {

using Op = std::function<Tensor(const std::vector<Tensor>&)>;

struct OpCheckOptions {
  double forward_tolerance = 1e-5;   ///< f32 forward against the reference, relative to its largest value
  double gradient_tolerance = 1e-4;  ///< f32 gradients against f64 gradients, likewise
  bool gradient = true;
  GradcheckOptions gradcheck = {};
  /// bf16 has 8 significant bits, so one rounding is off by 2^-8 of a value at worst; an eighth is added for
  /// sums in f32. A gradient has up to three roundings: of the saved tensor, of dy times a factor, and of the
  /// sum.
  double bf16_forward_tolerance = 1.125 / 256;
  double bf16_gradient_tolerance = 3 * 1.125 / 256;
  bool bf16 = true;
  std::size_t parameters_from =
      SIZE_MAX;  ///< inputs from here on stay f32 beside bf16: a norm's weight, a bias
};

/// Largest |a - b| relative to max(1, largest |b|); infinite if shapes differ or anything is NaN.
inline double difference(const Tensor& a, const Tensor& b) {
  if (a.shape() != b.shape()) return INFINITY;
  const auto x = a.to_vector<double>(), y = b.to_vector<double>();
  double scale = 1, worst = 0;
  for (double v : y) scale = std::max(scale, std::abs(v));
  for (std::size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i]) != std::isnan(y[i])) return INFINITY;
    if (!std::isnan(x[i]) && x[i] != y[i]) worst = std::max(worst, std::abs(x[i] - y[i]) / scale);
  }
  return worst;
}

/// The bf16 part of check_op.
inline void check_op_in_bf16(const Op& op, const Op& reference, const std::vector<Tensor>& inputs,
                             const OpCheckOptions& options) {
  INFO("in bf16");
  std::vector<Tensor> in16, in64;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    Tensor leaf = inputs[i], wide = leaf;
    if (leaf.defined() && is_floating(leaf.dtype())) {
      leaf = leaf.detach().to(i < options.parameters_from ? bf16 : f32).clone();
      wide = leaf.to(f64).requires_grad_(options.gradient);
      leaf = leaf.to(device()).requires_grad_(options.gradient);
    } else if (leaf.defined()) {
      leaf = leaf.to(device());
    }
    in16.push_back(leaf);
    in64.push_back(wide);
  }
  const Tensor out16 = op(in16);
  {
    const NoGradGuard no_grad;
    CHECK(difference(out16, reference(in64)) <= options.bf16_forward_tolerance);
  }
  if (!options.gradient) return;
  Generator generator(7);
  const Tensor weighting = randn(out16.shape(), generator).to(bf16);
  op(in64).backward(weighting.to(f64));
  out16.backward(weighting.to(out16.dtype()).to(device()));
  for (std::size_t i = 0; i < in64.size(); ++i) {
    if (!in64[i].defined() || !in64[i].requires_grad()) continue;
    INFO("gradient of input " << i);
    REQUIRE(in16[i].grad().defined());
    CHECK(in16[i].grad().dtype() == in16[i].dtype());
    CHECK(difference(in16[i].grad(), in64[i].grad()) <= options.bf16_gradient_tolerance);
  }
}

/// Operations whose gradients have none. This list only gets shorter.
inline const std::set<std::string> once_differentiable = {"grid_sample"};

/// The part of check_op about gradients of gradients: their slope along one random direction.
inline void check_second_gradient(const Op& op, const std::vector<Tensor>& inputs,
                                  const OpCheckOptions& options) {
  INFO("gradients of gradients");
  GradcheckOptions second = options.gradcheck;
  second.fast_mode = true;
  try {
    const GradcheckResult result = gradgradcheck(op, inputs, second);
    INFO(result.message);
    CHECK(result.ok);
  } catch (const Error& error) {
    const std::string what = error.what(), reason = ": has no gradient of its gradient";
    INFO(what);
    const std::size_t at = what.find(reason);
    CHECK((at != std::string::npos && once_differentiable.contains(what.substr(0, at))));
  }
}

/// inputs: f32 tensors (or i64 / bool / undefined, passed on as they are).
/// reference: plain double loops, given the inputs in f64; returns f64. Independent of the kernels.
inline void check_op(const std::string& name, const Op& op, const Op& reference,
                     const std::vector<Tensor>& inputs, OpCheckOptions options = {}) {
  INFO(name);
  for (const Tensor& x : inputs)
    if (x.defined()) UNSCOPED_INFO("  input " << x.shape());
  auto leaves = [&](DType dtype) {
    std::vector<Tensor> out;
    for (const Tensor& x : inputs) {
      Tensor leaf = x;
      if (x.defined() && is_floating(x.dtype())) {
        leaf = x.detach().to(dtype).clone();
      }
      if (leaf.defined() && dtype == f32) leaf = leaf.to(device());
      if (leaf.defined() && is_floating(leaf.dtype())) leaf.requires_grad_(options.gradient);
      out.push_back(leaf);
    }
    return out;
  };

  const std::vector<Tensor> in32 = leaves(f32), in64 = leaves(f64);
  Tensor out32 = op(in32), out64 = op(in64);
  {
    const NoGradGuard no_grad;
    const Tensor expected = reference(in64);
    CHECK(out64.shape() == expected.shape());
    CHECK(difference(out64, expected) <= 1e-10);
    CHECK(difference(out32, expected) <= options.forward_tolerance);
  }
  if (options.bf16 && device_has_bf16()) check_op_in_bf16(op, reference, inputs, options);
  if (!options.gradient) return;

  REQUIRE(out64.requires_grad());
  const std::weak_ptr<Node> watch = out64.node();
  Generator generator(7);
  const Tensor weighting = randn(out64.shape(), generator, {.dtype = f64});
  out64.backward(weighting);
  out32.backward(weighting.to(f32).to(device()));
  for (std::size_t i = 0; i < in64.size(); ++i) {
    if (!in64[i].defined() || !in64[i].requires_grad()) continue;
    INFO("gradient of input " << i);
    REQUIRE(in64[i].grad().defined());
    REQUIRE(in32[i].grad().defined());
    CHECK(difference(in32[i].grad(), in64[i].grad()) <= options.gradient_tolerance);
  }
  out64 = Tensor();
  CHECK(watch.expired());

  if (device() != Device::cpu()) return;
  const GradcheckResult result = gradcheck(op, inputs, options.gradcheck);
  INFO(result.message);
  CHECK(result.ok);
  check_second_gradient(op, inputs, options);
}

/// True if f's tensor, or each of its vector of tensors, has the same bits with 1, 2 and 3 threads. NaN
/// differs from itself here.
template <class F>
bool same_for_any_thread_count(const F& f) {
  const int before = num_threads();
  std::vector<std::vector<double>> results[3];
  for (const int threads : {1, 2, 3}) {
    set_num_threads(threads);
    for (const Tensor& x : std::vector<Tensor>{f()}) results[threads - 1].push_back(x.to_vector<double>());
  }
  set_num_threads(before);
  return results[0] == results[1] && results[0] == results[2];
}

}  // namespace karyon::test
