#pragma once
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/module.h>

// The activation operations as modules, for Sequential.
namespace karyon {

struct ReLU : Module {
  Tensor forward(Tensor x) override { return relu(x); }
};
struct LeakyReLU : Module {
  explicit LeakyReLU(double slope = 0.01) : negative_slope(slope) {}
  Tensor forward(Tensor x) override { return leaky_relu(x, negative_slope); }
  double negative_slope;
};
struct Sigmoid : Module {
  Tensor forward(Tensor x) override { return sigmoid(x); }
};
struct Tanh : Module {
  Tensor forward(Tensor x) override { return tanh(x); }
};
struct Softplus : Module {
  explicit Softplus(double b = 1, double limit = 20) : beta(b), threshold(limit) {}
  Tensor forward(Tensor x) override { return softplus(x, beta, threshold); }
  double beta, threshold;
};
struct SiLU : Module {
  Tensor forward(Tensor x) override { return silu(x); }
};
struct GELU : Module {
  Tensor forward(Tensor x) override { return gelu(x); }
};
/// Over one dimension; the channels by default.
struct Softmax : Module {
  explicit Softmax(int d = -1) : dim(d) {}
  Tensor forward(Tensor x) override { return softmax(x, dim); }
  int dim;
};

}  // namespace karyon
