// What training.py asks of optimizers and schedules. Each line of the input is NAME KEY=NUMBER...; the answer is a
// line of numbers: a parameter after 20 steps, or the rates of 20 steps.
#include <cmath>
#include <iomanip>
#include <iostream>
#include <map>
#include <sstream>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

/// The numbers of one line. What a line does not name is the default of Karyon.
class Options {
 public:
  explicit Options(std::istream& line) {
    for (std::string word; line >> word;) {
      const std::size_t at = word.find('=');
      numbers_[word.substr(0, at)] = std::stod(word.substr(at + 1));
    }
  }
  template <class T>
  void take(const char* name, T& option) const {
    if (const auto it = numbers_.find(name); it != numbers_.end()) option = static_cast<T>(it->second);
  }

 private:
  std::map<std::string, double> numbers_;
};

template <class O>
std::unique_ptr<Optimizer> made(const std::vector<ParamGroup>& groups, O options, const Options& given) {
  given.take("lr", options.lr);
  given.take("weight_decay", options.weight_decay);
  if constexpr (requires { options.beta1; }) {
    given.take("beta1", options.beta1);
    given.take("beta2", options.beta2);
  }
  if constexpr (requires { options.eps; }) given.take("eps", options.eps);
  if constexpr (requires { options.momentum; }) given.take("momentum", options.momentum);
  if constexpr (requires { options.nesterov; }) {
    given.take("nesterov", options.nesterov);
    given.take("dampening", options.dampening);
  }
  if constexpr (requires { options.alpha; }) {
    given.take("alpha", options.alpha);
    given.take("centered", options.centered);
  }
  if constexpr (requires { options.lr_decay; }) {
    given.take("lr_decay", options.lr_decay);
    given.take("initial_accumulator_value", options.initial_accumulator_value);
  }
  if constexpr (std::is_same_v<O, SGDOptions>) return std::make_unique<SGD>(groups, options);
  if constexpr (std::is_same_v<O, AdamOptions>) return std::make_unique<Adam>(groups, options);
  if constexpr (std::is_same_v<O, AdamWOptions>) return std::make_unique<AdamW>(groups, options);
  if constexpr (std::is_same_v<O, RMSpropOptions>) return std::make_unique<RMSprop>(groups, options);
  if constexpr (std::is_same_v<O, AdagradOptions>) return std::make_unique<Adagrad>(groups, options);
}

std::unique_ptr<Optimizer> optimizer(const std::string& name, const std::vector<ParamGroup>& groups,
                                     const Options& given) {
  if (name == "SGD") return made(groups, SGDOptions(), given);
  if (name == "Adam") return made(groups, AdamOptions(), given);
  if (name == "AdamW") return made(groups, AdamWOptions(), given);
  if (name == "RMSprop") return made(groups, RMSpropOptions(), given);
  if (name == "Adagrad") return made(groups, AdagradOptions(), given);
  return nullptr;
}

// The gradient of sum (p s - 1)^2 with s = 1, 2, 3, 1, ...
void set_gradient(Tensor& p) {
  std::vector<double> values = p.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double s = static_cast<double>(i % 3 + 1);
    values[i] = 2 * s * (values[i] * s - 1);
  }
  p.set_grad(tensor(values, p.shape(), {.dtype = f64}));
}

bool optimize(const std::string& name, const Options& given) {
  std::vector<double> start;
  for (int i = 0; i < 7; ++i) start.push_back(std::sin(i) * 2);
  Tensor a = tensor(start, {7}, {.dtype = f64}).requires_grad_(), b = a.detach().clone().requires_grad_();
  ParamGroup second{.params = {b}, .lr = 0.5, .weight_decay = 0};
  given.take("second_lr", *second.lr);
  given.take("second_weight_decay", *second.weight_decay);
  const auto made = optimizer(name, {{.params = {a}}, second}, given);
  if (!made) return false;
  for (int step = 0; step < 20; ++step) {
    set_gradient(a), set_gradient(b);
    made->step();
  }
  for (const Tensor& p : {a, b})
    for (const double v : p.to_vector<double>()) std::cout << v << ' ';
  return true;
}

template <class S, class O>
void rates(O options, const Options& given) {
  SGD sgd(std::vector<ParamGroup>{{.params = {tensor({0}).requires_grad_()}},
                                  {.params = {tensor({0}).requires_grad_()}, .lr = 0.02}},
          {.lr = 0.1});
  if constexpr (requires { options.gamma; }) given.take("gamma", options.gamma);
  if constexpr (requires { options.step_size; }) given.take("step_size", options.step_size);
  if constexpr (requires { options.power; }) given.take("power", options.power);
  if constexpr (requires { options.factor; }) given.take("factor", options.factor);
  if constexpr (requires { options.total_iters; }) given.take("total_iters", options.total_iters);
  if constexpr (requires { options.start_factor; }) {
    given.take("start_factor", options.start_factor);
    given.take("end_factor", options.end_factor);
  }
  if constexpr (requires { options.t_0; }) {
    given.take("T_0", options.t_0);
    given.take("T_mult", options.t_mult);
    given.take("eta_min", options.min_lr);
  }
  S schedule(sgd, options);
  for (int step = 0; step < 20; ++step) {
    std::cout << sgd.lr(0) << ' ' << sgd.lr(1) << ' ';
    schedule.step();
  }
}

bool schedule(const std::string& name, const Options& given) {
  if (name == "StepLR") return rates<StepLR>(StepLROptions(), given), true;
  if (name == "ExponentialLR") return rates<ExponentialLR>(ExponentialLROptions(), given), true;
  if (name == "PolynomialLR") return rates<PolynomialLR>(PolynomialLROptions(), given), true;
  if (name == "LinearLR") return rates<LinearLR>(LinearLROptions(), given), true;
  if (name == "ConstantLR") return rates<ConstantLR>(ConstantLROptions(), given), true;
  if (name != "CosineAnnealingWarmRestarts") return false;
  return rates<CosineAnnealingWarmRestarts>(CosineAnnealingWarmRestartsOptions(), given), true;
}

}  // namespace

int main() {
  std::cout << std::setprecision(17);
  for (std::string text; std::getline(std::cin, text);) {
    std::istringstream line(text);
    std::string name;
    line >> name;
    const Options given(line);
    if (!optimize(name, given) && !schedule(name, given)) return std::cerr << "unknown: " << name << '\n', 2;
    std::cout << '\n';
  }
}
