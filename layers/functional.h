#pragma once
#include <functional>

#include <karyon/layers/module.h>

// Modules that compute little, for Sequential.
namespace karyon {

/// Returns its input.
struct Identity : Module {
  Tensor forward(Tensor x) override { return x; }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Identity>(); }
};

/// Joins the dimensions start_dim to end_dim, both included: [N, H, W, C] -> [N, H W C]. The elements keep
/// their order, which is not that of PyTorch's [N, C, H, W]. Negative dimensions count from the end.
struct Flatten : Module {
  explicit Flatten(int start_dim = 1, int end_dim = -1) : start_dim_(start_dim), end_dim_(end_dim) {}
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Flatten>(start_dim_, end_dim_); }

 private:
  int start_dim_, end_dim_;
};

/// A function as a module, as torch::nn::Functional. What the function holds is not registered: it has no
/// parameters. A clone has a copy of the function.
struct Functional : Module {
  explicit Functional(std::function<Tensor(Tensor)> function) : function_(std::move(function)) {
    check(function_ != nullptr, "Functional: expects a function, got none");
  }
  Tensor forward(Tensor x) override { return function_(std::move(x)); }
  std::unique_ptr<Module> rebuilt() const override { return std::make_unique<Functional>(function_); }

 private:
  std::function<Tensor(Tensor)> function_;
};

}  // namespace karyon
