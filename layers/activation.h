#pragma once
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/layers/module.h>

// The activation operations as modules, for Sequential. Any shape, f32, f64 or bf16; the same shape comes
// out, but for GLU.
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
/// gelu: x Phi(x), or its approximation with tanh.
struct GELU : Module {
  using Options = GeluOptions;
  explicit GELU(const Options& options = {}) : options_(options) {}
  Tensor forward(Tensor x) override { return gelu(x, options_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<GELU>(options_); }
  const Options& options() const { return options_; }

 private:
  Options options_;
};
/// relu6: x limited to [0, 6].
struct ReLU6 : Module {
  Tensor forward(Tensor x) override { return relu6(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ReLU6>(); }
};
/// hardtanh: x limited to [low, high].
struct Hardtanh : Module {
  explicit Hardtanh(double low = -1, double high = 1) : low_(low), high_(high) {}
  Tensor forward(Tensor x) override { return hardtanh(x, low_, high_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Hardtanh>(low_, high_); }

 private:
  double low_, high_;
};
/// hardsigmoid: relu6(x + 3) / 6.
struct Hardsigmoid : Module {
  Tensor forward(Tensor x) override { return hardsigmoid(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Hardsigmoid>(); }
};
/// hardswish: x relu6(x + 3) / 6.
struct Hardswish : Module {
  Tensor forward(Tensor x) override { return hardswish(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Hardswish>(); }
};
/// elu: x where x > 0, alpha (exp(x) - 1) elsewhere.
struct ELU : Module {
  explicit ELU(double alpha = 1) : alpha_(alpha) {}
  Tensor forward(Tensor x) override { return elu(x, alpha_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<ELU>(alpha_); }

 private:
  double alpha_;
};
/// celu: elu with a gradient that has no jump.
struct CELU : Module {
  explicit CELU(double alpha = 1) : alpha_(alpha) {}
  Tensor forward(Tensor x) override { return celu(x, alpha_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<CELU>(alpha_); }

 private:
  double alpha_;
};
/// selu: elu, scaled.
struct SELU : Module {
  Tensor forward(Tensor x) override { return selu(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<SELU>(); }
};
/// mish: x tanh(softplus(x)).
struct Mish : Module {
  Tensor forward(Tensor x) override { return mish(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Mish>(); }
};
/// logsigmoid: log(sigmoid(x)).
struct LogSigmoid : Module {
  Tensor forward(Tensor x) override { return logsigmoid(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<LogSigmoid>(); }
};
/// softsign: x / (1 + |x|).
struct Softsign : Module {
  Tensor forward(Tensor x) override { return softsign(x); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Softsign>(); }
};
/// prelu, with one weight or one for each channel, at first `init`.
struct PReLU : Module {
  explicit PReLU(std::int64_t num_parameters = 1, double init = 0.25)
      : weight(full({num_parameters}, init)), init_(init) {
    register_parameter("weight", weight);
  }
  Tensor forward(Tensor x) override { return prelu(x, weight); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<PReLU>(weight.size(0), init_); }

  Tensor weight;  ///< [num_parameters]

 private:
  double init_;
};
/// glu: one half of x along `dim` times the sigmoid of the other; half the channels by default.
struct GLU : Module {
  explicit GLU(int dim = -1) : dim_(dim) {}
  Tensor forward(Tensor x) override { return glu(x, dim_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<GLU>(dim_); }

 private:
  int dim_;
};
/// log_softmax over one dimension; the channels by default.
struct LogSoftmax : Module {
  explicit LogSoftmax(int dim = -1) : dim_(dim) {}
  Tensor forward(Tensor x) override { return log_softmax(x, dim_); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<LogSoftmax>(dim_); }

 private:
  int dim_;
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
