#pragma once
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/module.h>

// The activation operations as modules, for Sequential. Any shape, f32, f64 or bf16; the same shape comes
// out.
namespace karyon {

/// relu: max(x, 0).
struct ReLU : Module {
  Tensor forward(Tensor x) override { return relu(x); }
};
/// leaky_relu: x where x > 0, negative_slope * x elsewhere.
struct LeakyReLU : Module {
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(Tensor x) override { return leaky_relu(x, negative_slope_); }

 private:
  double negative_slope_;
};
/// sigmoid: 1 / (1 + exp(-x)).
struct Sigmoid : Module {
  Tensor forward(Tensor x) override { return sigmoid(x); }
};
/// tanh.
struct Tanh : Module {
  Tensor forward(Tensor x) override { return tanh(x); }
};
/// softplus: log(1 + exp(beta x)) / beta.
struct Softplus : Module {
  using Options = SoftplusOptions;
  explicit Softplus(const Options& options = {}) : options_(options) {}
  Tensor forward(Tensor x) override { return softplus(x, options_); }

 private:
  Options options_;
};
/// silu: x sigmoid(x).
struct SiLU : Module {
  Tensor forward(Tensor x) override { return silu(x); }
};
/// gelu: x Phi(x).
struct GELU : Module {
  Tensor forward(Tensor x) override { return gelu(x); }
};
/// softmax over one dimension; the channels by default.
struct Softmax : Module {
  explicit Softmax(int dim = -1) : dim_(dim) {}
  Tensor forward(Tensor x) override { return softmax(x, dim_); }

 private:
  int dim_;
};

}  // namespace karyon
