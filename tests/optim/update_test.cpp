#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>

#include <karyon/core/optim/adagrad.h>
#include <karyon/core/optim/lamb.h>
#include <karyon/core/optim/lion.h>
#include <karyon/core/optim/rmsprop.h>
#include <karyon/core/random.h>
#include <karyon/core/serialize.h>

#include "op_check.h"
#include "temp_folder.h"

using namespace karyon;
using Doubles = std::vector<double>;
using Make = std::function<std::unique_ptr<Optimizer>(std::vector<Tensor>)>;

namespace {

template <class O, class Options>
Make maker(Options options) {
  return [options](std::vector<Tensor> p) { return std::make_unique<O>(std::move(p), options); };
}

/// The gradient of sum (p s - 1)^2 with s = 1, 2, 3, 1, ...
Doubles gradient(const Doubles& p) {
  Doubles g;
  for (std::size_t i = 0; i < p.size(); ++i) {
    const double s = static_cast<double>(i % 3 + 1);
    g.push_back(2 * s * (p[i] * s - 1));
  }
  return g;
}

void set_gradient(Tensor& p) {
  p.set_grad(tensor(gradient(p.to_vector<double>()), p.shape(), {.dtype = p.dtype(), .device = p.device()}));
}

Doubles after_steps(const Make& make, DType dtype, const Doubles& start, int steps) {
  const Device device = dtype == f32 ? test::device() : Device::cpu();
  Tensor p = tensor(start, {static_cast<std::int64_t>(start.size())}, {.dtype = dtype, .device = device});
  p.requires_grad_();
  const auto optimizer = make({p});
  for (int i = 0; i < steps; ++i) {
    set_gradient(p);
    optimizer->step();
  }
  return p.to_vector<double>();
}

void check_close(const Doubles& got, const Doubles& expected, double tolerance) {
  REQUIRE(got.size() == expected.size());
  for (std::size_t i = 0; i < got.size(); ++i) CHECK(got[i] == Approx(expected[i]).epsilon(tolerance));
}

// Starts that span several vectors and have a tail.
Doubles start_values() {
  Doubles out;
  for (int i = 0; i < 37; ++i) out.push_back(std::sin(i) * 2);
  return out;
}

double norm(const Doubles& x) {
  double sum = 0;
  for (const double v : x) sum += v * v;
  return std::sqrt(sum);
}

const std::pair<const char*, Make> all[] = {
    {"rmsprop", maker<RMSprop>(RMSpropOptions{})},
    {"rmsprop with momentum", maker<RMSprop>(RMSpropOptions{.momentum = 0.8})},
    {"centered rmsprop", maker<RMSprop>(RMSpropOptions{.weight_decay = 0.1, .centered = true})},
    {"centered rmsprop with momentum", maker<RMSprop>(RMSpropOptions{.momentum = 0.8, .centered = true})},
    {"adagrad", maker<Adagrad>(AdagradOptions{.lr_decay = 0.1, .initial_accumulator_value = 0.1})},
    {"lion", maker<Lion>(LionOptions{.lr = 0.01, .weight_decay = 0.1})},
    {"lamb", maker<LAMB>(LAMBOptions{.lr = 0.01, .weight_decay = 0.1})},
};

}  // namespace

TEST_CASE("updates: twenty steps equal PyTorch's") {
  const std::tuple<const char*, Make, Doubles> cases[] = {
      {"rmsprop", maker<RMSprop>(RMSpropOptions{}), {1.0, -1.2764189862160409, 0.3333333386930643}},
      {"rmsprop with momentum and weight decay",
       maker<RMSprop>(
           RMSpropOptions{.lr = 0.01, .alpha = 0.9, .eps = 1e-3, .weight_decay = 0.1, .momentum = 0.8}),
       {0.9516113613780375, -0.8853686197908787, 0.3191484263223172}},
      {"centered rmsprop",
       maker<RMSprop>(RMSpropOptions{.lr = 0.01, .weight_decay = 0.1, .centered = true}),
       {0.9523809541224828, -1.2488079549608153, 0.33149171840054636}},
      {"centered rmsprop with momentum",
       maker<RMSprop>(RMSpropOptions{.lr = 0.003, .momentum = 0.5, .centered = true}),
       {1.0, -1.5496726956165938, 0.3332444912801462}},
      {"adagrad", maker<Adagrad>(AdagradOptions{.lr = 0.1}), {1.0, -1.2890693301162874, 0.3333333516510401}},
      {"adagrad with all options",
       maker<Adagrad>(AdagradOptions{
           .lr = 0.1, .lr_decay = 0.05, .weight_decay = 0.1, .initial_accumulator_value = 0.2, .eps = 1e-3}),
       {0.9524003721069464, -1.4411464079846203, 0.3315018503363509}},
  };
  for (const auto& [name, make, expected] : cases) {
    INFO(name);
    check_close(after_steps(make, f64, {1, -2, 0.5}, 20), expected, 1e-11);
    check_close(after_steps(make, f32, {1, -2, 0.5}, 20), expected, 1e-4);
  }
}

TEST_CASE("updates: lion follows its definition") {
  const LionOptions o{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1};
  Doubles p = start_values(), m(p.size());
  for (int step = 0; step < 20; ++step) {
    const Doubles g = gradient(p);
    for (std::size_t i = 0; i < p.size(); ++i) {
      const double c = o.beta1 * m[i] + (1 - o.beta1) * g[i];
      p[i] -= o.lr * ((c > 0) - (c < 0) + o.weight_decay * p[i]);
      m[i] = o.beta2 * m[i] + (1 - o.beta2) * g[i];
    }
  }
  check_close(after_steps(maker<Lion>(o), f64, start_values(), 20), p, 1e-12);
  check_close(after_steps(maker<Lion>(o), f32, start_values(), 20), p, 1e-4);

  Tensor still = zeros({2}, {.device = test::device()}).requires_grad_();
  still.set_grad(tensor({0, NAN}, {.device = test::device()}));
  Lion({still}).step();
  CHECK(still.to_vector<double>()[0] == 0);
  CHECK(std::isnan(still.to_vector<double>()[1]));
}

TEST_CASE("updates: lamb follows its definition") {
  const LAMBOptions o{.lr = 0.02, .beta1 = 0.8, .beta2 = 0.95, .weight_decay = 0.1};
  Doubles p = start_values(), m(p.size()), v(p.size()), d(p.size());
  for (int step = 1; step <= 20; ++step) {
    const Doubles g = gradient(p);
    for (std::size_t i = 0; i < p.size(); ++i) {
      m[i] = o.beta1 * m[i] + (1 - o.beta1) * g[i];
      v[i] = o.beta2 * v[i] + (1 - o.beta2) * g[i] * g[i];
      const double m_hat = m[i] / (1 - std::pow(o.beta1, step)), v_hat = v[i] / (1 - std::pow(o.beta2, step));
      d[i] = m_hat / (std::sqrt(v_hat) + o.eps) + o.weight_decay * p[i];
    }
    const double trust = norm(p) / norm(d);
    for (std::size_t i = 0; i < p.size(); ++i) p[i] -= o.lr * trust * d[i];
  }
  check_close(after_steps(maker<LAMB>(o), f64, start_values(), 20), p, 1e-11);
  check_close(after_steps(maker<LAMB>(o), f32, start_values(), 20), p, 1e-4);
}

TEST_CASE("updates: where a norm is 0, lamb moves by its rate") {
  const Device device = test::device();
  Tensor p = zeros({2}, {.device = device}).requires_grad_();
  p.set_grad(tensor({1, -1}, {.device = device}));
  LAMB({p}, {.lr = 0.5}).step();
  check_close(p.to_vector<double>(), {-0.5, 0.5}, 1e-5);
  Tensor q = ones({2}, {.device = device}).requires_grad_();
  q.set_grad(zeros({2}, {.device = device}));
  LAMB({q}, {.lr = 0.5}).step();
  CHECK(q.to_vector<double>() == Doubles{1, 1});
}

TEST_CASE("updates: the same bits with any number of threads") {
  for (const auto& [name, make] : all) {
    INFO(name);
    CHECK(test::same_for_any_thread_count([&, &build = make] {
      Generator generator(1);
      Tensor p = randn({70001}, generator).to(test::device()).requires_grad_();
      const auto optimizer = build({p});
      for (int i = 0; i < 3; ++i) {
        set_gradient(p);
        optimizer->step();
      }
      return p;
    }));
  }
}

TEST_CASE("updates: a state saved to a file continues bit for bit") {
  const test::TempFolder folder;
  for (const auto& [name, make] : all) {
    INFO(name);
    Tensor a = tensor({1, 2, 3}, {.device = test::device()}).requires_grad_();
    const auto first = make({a});
    for (int i = 0; i < 5; ++i) {
      set_gradient(a);
      first->step();
    }
    save_safetensors(folder / "state", {.tensors = first->state_dict(), .metadata = {}});
    Tensor b = a.detach().clone().requires_grad_();
    const auto second = make({b});
    second->load_state_dict(load_safetensors(folder / "state").tensors);
    for (int i = 0; i < 3; ++i) {
      set_gradient(a), set_gradient(b);
      first->step(), second->step();
    }
    CHECK(a.to_vector<float>() == b.to_vector<float>());
  }
}

TEST_CASE("updates: parameters of several sizes, and one without elements") {
  for (const auto& [name, make] : all) {
    INFO(name);
    std::vector<Tensor> parameters;
    for (const std::int64_t n : {0, 1, 3, 5}) {
      parameters.push_back(full({n}, 2, {.device = test::device()}).requires_grad_());
      parameters.back().set_grad(ones({n}, {.device = test::device()}));
    }
    make(parameters)->step();
    for (const Tensor& p : parameters)
      for (const double v : p.to_vector<double>()) CHECK(v < 2);
  }
}

TEST_CASE("updates: bad values are Errors that name them") {
  const std::vector<Tensor> p{tensor({1}).requires_grad_()};
  CHECK_THROWS_WITH(RMSprop(p, {.alpha = 1.5}), "RMSprop: expects alpha in [0, 1], got 1.5");
  CHECK_THROWS_WITH(RMSprop(p, {.eps = -1}), Catch::StartsWith("RMSprop: expects eps"));
  CHECK_THROWS_WITH(RMSprop(p, {.momentum = -1}), Catch::StartsWith("RMSprop: expects momentum"));
  CHECK_THROWS_WITH(Adagrad(p, {.lr_decay = -1}), Catch::StartsWith("Adagrad: expects lr_decay"));
  CHECK_THROWS_WITH(Adagrad(p, {.initial_accumulator_value = -1}), Catch::Contains("initial_accumulator"));
  CHECK_THROWS_WITH(Lion(p, {.beta1 = 1}), "Lion: expects betas in [0, 1), got 1");
  CHECK_THROWS_WITH(LAMB(p, {.beta2 = -1}), "LAMB: expects betas in [0, 1), got -1");
  CHECK_THROWS_WITH(LAMB(p, {.weight_decay = -1}), Catch::StartsWith("LAMB: expects weight_decay"));
}
