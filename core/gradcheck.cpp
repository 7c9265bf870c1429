#include <karyon/core/autograd.h>
#include <karyon/core/gradcheck.h>
#include <karyon/core/random.h>

#include <limits>

namespace karyon {

namespace {

// The central difference of value() in *x that agrees best with `expected`, and its relative error.
struct Difference {
  double gradient = 0, error = std::numeric_limits<double>::infinity();
};
Difference best_difference(const std::function<double()>& value, Tensor& leaf, double& x, double expected,
                           const std::vector<double>& steps) {
  const double before = x;
  const auto value_at = [&](double at) {
    leaf.before_write();
    x = at;
    return value();
  };
  Difference best;
  for (const double step : steps) {
    const double above = value_at(before + step), below = value_at(before - step);
    const double numeric = (above - below) / (2 * step);
    const double error =
        std::abs(numeric - expected) / std::max({1.0, std::abs(numeric), std::abs(expected)});
    if (error < best.error) best = {numeric, error};
  }
  leaf.before_write();
  x = before;
  return best;
}

}  // namespace

GradcheckResult gradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                          const std::vector<Tensor>& inputs, GradcheckOptions options) {
  std::vector<Tensor> leaves;
  for (const Tensor& input : inputs) {
    Tensor leaf = input;
    if (input.defined() && is_floating(input.dtype())) {
      leaf = input.detach().to(f64).clone();
      leaf.requires_grad_();
    }
    leaves.push_back(leaf);
  }
  const Tensor output = f(leaves);
  check(output.dtype() == f64, "gradcheck: expects f to give f64 for f64 inputs, got ", output.dtype());
  Generator generator(42);
  const Tensor weighting = randn(output.shape(), generator, {.dtype = f64});
  output.backward(weighting);
  const auto weights = weighting.to_vector<double>();

  // The weighted sum of the output, as a function of the leaves' present values.
  auto value = [&] {
    const NoGradGuard no_grad;
    const auto y = f(leaves).to_vector<double>();
    double sum = 0;
    for (std::size_t i = 0; i < y.size(); ++i) sum += y[i] * weights[i];
    return sum;
  };

  GradcheckResult result;
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    Tensor& leaf = leaves[k];
    if (!leaf.defined() || !leaf.requires_grad()) continue;
    const auto analytic = (leaf.grad().defined() ? leaf.grad() : zeros_like(leaf)).to_vector<double>();
    auto* x = leaf.data<double>();
    for (std::size_t i = 0; i < analytic.size(); ++i) {
      const Difference best = best_difference(value, leaf, x[i], analytic[i], options.steps);
      result.worst = std::max(result.worst, best.error);
      if (best.error <= options.tolerance || !result.ok) continue;
      std::ostringstream message;
      message << "input " << k << " " << leaf.shape() << ", element " << i << ": backward gives "
              << analytic[i] << ", finite differences " << best.gradient;
      result.ok = false;
      result.message = message.str();
    }
  }
  return result;
}

}  // namespace karyon
