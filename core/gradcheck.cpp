#include <karyon/core/autograd.h>
#include <karyon/core/gradcheck.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>

#include <limits>
#include <sstream>

namespace karyon {

namespace {

// The central difference of value_at(step) at 0 that agrees best with `expected`, and its relative error.
struct Difference {
  double gradient = 0, error = std::numeric_limits<double>::infinity();
};
Difference best_difference(const std::function<double(double)>& value_at, double expected,
                           const std::vector<double>& steps) {
  Difference best;
  for (const double step : steps) {
    const double above = value_at(step), below = value_at(-step);
    const double numeric = (above - below) / (2 * step);
    const double error =
        std::abs(numeric - expected) / std::max({1.0, std::abs(numeric), std::abs(expected)});
    if (error < best.error) best = {numeric, error};
  }
  return best;
}

// One leaf, its gradient by backward(), and how its elements are moved.
struct Checked {
  Tensor leaf;
  std::vector<double> gradient, start;

  explicit Checked(const Tensor& x)
      : leaf(x),
        gradient((x.grad().defined() ? x.grad() : zeros_like(x)).to_vector<double>()),
        start(x.to_vector<double>()) {}
  double* values() {
    leaf.before_write();
    return leaf.data<double>();
  }
};

void note(GradcheckResult& result, const Difference& best, double expected, double tolerance,
          const std::string& where) {
  result.worst = std::max(result.worst, best.error);
  if (best.error <= tolerance || !result.ok) return;
  std::ostringstream message;
  message << where << ": backward gives " << expected << ", finite differences " << best.gradient;
  result.ok = false;
  result.message = message.str();
}

// Moves all elements of all leaves at once.
void check_direction(std::vector<Checked>& all, const std::function<double()>& value,
                     const GradcheckOptions& options, Generator& generator, GradcheckResult& result) {
  double expected = 0;
  std::vector<std::vector<double>> directions;
  for (const Checked& one : all) {
    directions.push_back(randn(one.leaf.shape(), generator, {.dtype = f64}).to_vector<double>());
    for (std::size_t i = 0; i < one.start.size(); ++i) expected += one.gradient[i] * directions.back()[i];
  }
  const auto move = [&](double step) {
    for (std::size_t k = 0; k < all.size(); ++k) {
      double* const x = all[k].values();
      for (std::size_t i = 0; i < all[k].start.size(); ++i) x[i] = all[k].start[i] + step * directions[k][i];
    }
  };
  const auto value_at = [&](double step) {
    move(step);
    return value();
  };
  note(result, best_difference(value_at, expected, options.steps), expected, options.tolerance,
       "a random direction");
  move(0);
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
  std::vector<Checked> all;
  std::vector<std::size_t> numbers;
  for (std::size_t k = 0; k < leaves.size(); ++k) {
    if (!leaves[k].defined() || !leaves[k].requires_grad()) continue;
    all.emplace_back(leaves[k]);
    numbers.push_back(k);
  }
  if (options.fast_mode) {
    check_direction(all, value, options, generator, result);
    return result;
  }
  for (std::size_t k = 0; k < all.size(); ++k) {
    for (std::size_t i = 0; i < all[k].start.size(); ++i) {
      const double start = all[k].start[i], expected = all[k].gradient[i];
      const auto value_at = [&](double step) {
        all[k].values()[i] = start + step;
        return value();
      };
      const Difference best = best_difference(value_at, expected, options.steps);
      all[k].values()[i] = start;
      std::ostringstream where;
      where << "input " << numbers[k] << " " << all[k].leaf.shape() << ", element " << i;
      note(result, best, expected, options.tolerance, where.str());
    }
  }
  return result;
}

GradcheckResult gradgradcheck(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                              const std::vector<Tensor>& inputs, GradcheckOptions options) {
  std::vector<Tensor> all;
  for (const Tensor& x : inputs)
    all.push_back(x.defined() && is_floating(x.dtype()) ? x.detach().to(f64) : x);
  {
    const NoGradGuard no_grad;
    Generator generator(43);
    all.push_back(randn(f(all).shape(), generator, {.dtype = f64}));
  }
  const auto gradients = [&f](const std::vector<Tensor>& given) {
    const EnableGradGuard on;
    const std::vector<Tensor> leaves(given.begin(), given.end() - 1);
    std::vector<Tensor> wanted;
    for (const Tensor& x : leaves)
      if (x.defined() && x.requires_grad()) wanted.push_back(x);
    // Also where no gradient depends on anything, there is something to call backward() on.
    std::vector<Tensor> parts{(sum(given.back()) * 0).reshape({1})};
    for (const Tensor& x :
         grad({f(leaves)}, wanted, {given.back()}, {.create_graph = true, .allow_unused = true}))
      if (x.defined()) parts.push_back(x.reshape({-1}));
    return cat(parts, 0);
  };
  return gradcheck(gradients, all, options);
}

}  // namespace karyon
