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
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReLU>(); }
};
/// leaky_relu: x where x > 0, negative_slope * x elsewhere.
struct LeakyReLU : Module {
  explicit LeakyReLU(double negative_slope = 0.01) : negative_slope_(negative_slope) {}
  Tensor forward(Tensor x) override { return leaky_relu(x, negative_slope_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<LeakyReLU>(negative_slope_); }

 private:
  double negative_slope_;
};
/// sigmoid: 1 / (1 + exp(-x)).
struct Sigmoid : Module {
  Tensor forward(Tensor x) override { return sigmoid(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Sigmoid>(); }
};
/// tanh.
struct Tanh : Module {
  Tensor forward(Tensor x) override { return tanh(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Tanh>(); }
};
/// softplus: log(1 + exp(beta x)) / beta.
struct Softplus : Module {
  using Options = SoftplusOptions;
  explicit Softplus(const Options& options = {}) : options_(options) {}
  Tensor forward(Tensor x) override { return softplus(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Softplus>(options_); }

 private:
  Options options_;
};
/// silu: x sigmoid(x).
struct SiLU : Module {
  Tensor forward(Tensor x) override { return silu(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<SiLU>(); }
};
/// gelu: x Phi(x).
struct GELU : Module {
  Tensor forward(Tensor x) override { return gelu(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<GELU>(); }
};
/// softmax over one dimension; the channels by default.
struct Softmax : Module {
  explicit Softmax(int dim = -1) : dim_(dim) {}
  Tensor forward(Tensor x) override { return softmax(x, dim_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Softmax>(dim_); }

 private:
  int dim_;
};

}  // namespace karyon
