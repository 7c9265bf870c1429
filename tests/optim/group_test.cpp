#include <catch2/catch.hpp>

#include <karyon/core/optim/adam.h>
#include <karyon/core/optim/schedule.h>
#include <karyon/core/optim/sgd.h>

#include "op_check.h"

using namespace karyon;
using Doubles = std::vector<double>;

namespace {

Tensor parameter() { return tensor({1, -2, 0.5}, {.dtype = f64}).requires_grad_(); }

/// The gradient of sum (p s - 1)^2 with s = 1, 2, 3.
void set_gradient(Tensor& p) {
  auto values = p.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double s = static_cast<double>(i % 3 + 1);
    values[i] = 2 * s * (values[i] * s - 1);
  }
  p.set_grad(tensor(values, p.shape(), {.dtype = p.dtype(), .device = p.device()}));
}

}  // namespace

TEST_CASE("groups: rates and weight decay of their own, as PyTorch's") {
  Tensor a = parameter(), b = parameter(), c = parameter();
  AdamW adam(
      {{.params = {a}}, {.params = {b}, .lr = 0.05, .weight_decay = 0}, {.params = {c}, .weight_decay = 0.5}},
      {.lr = 0.01, .weight_decay = 0.1});
  CHECK(adam.groups() == 3);
  CHECK(adam.lr() == 0.01);
  CHECK(adam.lr(1) == 0.05);
  CHECK(adam.weight_decay(2) == 0.5);
  CHECK(adam.parameters().size() == 3);
  for (int i = 0; i < 20; ++i) {
    for (Tensor* p : {&a, &b, &c}) set_gradient(*p);
    adam.step();
  }
  const std::pair<Tensor, Doubles> expected[] = {
      {a, {0.9994721237661568, -1.7634555237324223, 0.32460807082374965}},
      {b, {1.0, -1.030169443057341, 0.371409582948813}},
      {c, {0.9998651131110017, -1.6204067985577713, 0.304466698653718}}};
  for (const auto& [p, values] : expected)
    for (std::size_t i = 0; i < 3; ++i) CHECK(p.to_vector<double>()[i] == Approx(values[i]).epsilon(1e-12));
}

TEST_CASE("groups: one rate for all, or one for each") {
  Tensor a = tensor({0}).requires_grad_(), b = tensor({0}).requires_grad_(), c = tensor({0}).requires_grad_();
  SGD sgd({{.params = {a}}, {.params = {b}, .lr = 1}}, {.lr = 0.5});
  sgd.add_group({.params = {c}, .lr = 2});
  const auto move = [&] {
    for (Tensor* p : {&a, &b, &c}) p->set_grad(tensor({-1}));
    sgd.step();
    return Doubles{a.item(), b.item(), c.item()};
  };
  CHECK(move() == Doubles{0.5, 1, 2});
  sgd.set_lr(4, 1);
  CHECK(move() == Doubles{1, 5, 4});
  sgd.set_lr(1);
  CHECK(move() == Doubles{2, 6, 5});
}

TEST_CASE("groups: schedules move each group from its own rate") {
  Tensor a = tensor({0}).requires_grad_(), b = tensor({0}).requires_grad_();
  SGD sgd({{.params = {a}}, {.params = {b}, .lr = 0.02}}, {.lr = 0.1});
  CosineLR cosine(sgd, {.total_steps = 4, .min_lr = 0.01});
  const Doubles first{0.1, 0.08681980515339464, 0.05500000000000001, 0.023180194846605363, 0.01};
  const Doubles second{0.02, 0.01853553390593274, 0.015, 0.011464466094067262, 0.01};
  for (std::size_t i = 0; i < 5; ++i) {
    CHECK(sgd.lr(0) == Approx(first[i]).epsilon(1e-12));
    CHECK(sgd.lr(1) == Approx(second[i]).epsilon(1e-12));
    cosine.step();
  }
  SGD other({{.params = {a}}, {.params = {b}, .lr = 0.02}}, {.lr = 0.1});
  CosineLR resumed(other, {.total_steps = 4, .min_lr = 0.01});
  auto state = cosine.state();
  state["steps"] = 2;
  resumed.load_state(state);
  CHECK(other.lr(1) == Approx(0.015));
  state.erase("base_lr.1");
  CHECK_THROWS_WITH(resumed.load_state(state), Catch::Contains("base_lr.1"));

  ReduceLROnPlateau plateau(sgd, {.factor = 0.5, .patience = 0, .min_lr = 0.004});
  sgd.set_lr(0.006, 1);
  plateau.step(1), plateau.step(1);
  CHECK(sgd.lr(0) == Approx(0.005));
  CHECK(sgd.lr(1) == Approx(0.004));
  other.set_lr(1);
  ReduceLROnPlateau(other).load_state(plateau.state());
  CHECK(other.lr(1) == sgd.lr(1));
}

TEST_CASE("groups: a state keeps their rates") {
  Tensor a = parameter(), b = parameter();
  const auto make = [&](Tensor& p, Tensor& q) {
    return Adam({{.params = {p}}, {.params = {q}, .lr = 0.5}}, {.lr = 0.1});
  };
  auto first = make(a, b);
  set_gradient(a), set_gradient(b);
  first.step();
  first.set_lr(0.25, 1);
  const auto state = first.state_dict();
  CHECK(state.at("lr.1").item<double>() == 0.25);
  Tensor c = parameter(), d = parameter();
  auto second = make(c, d);
  second.load_state_dict(state);
  CHECK(second.lr(1) == 0.25);
  CHECK(second.lr(0) == 0.1);
  Adam single({c, d});
  CHECK_THROWS_WITH(single.load_state_dict(state), Catch::Contains("'lr.1' is unexpected"));
  CHECK_THROWS_WITH(second.load_state_dict(single.state_dict()), Catch::Contains("expects 'lr.1'"));
}

TEST_CASE("groups: what is refused") {
  Tensor a = parameter();
  using Groups = std::vector<ParamGroup>;
  CHECK_THROWS_WITH(SGD(Groups{}), "SGD: expects at least one group of parameters");
  CHECK_THROWS_WITH(SGD(Groups{{.params = {a}}, {.params = {a}}}), Catch::Contains("is given twice"));
  CHECK_THROWS_WITH(SGD(Groups{{.params = {a}, .lr = -1}}),
                    "SGD: expects a finite learning rate >= 0, got -1");
  CHECK_THROWS_WITH(SGD(Groups{{.params = {a}, .weight_decay = -1}}), Catch::Contains("weight_decay >= 0"));
  SGD sgd({a});
  CHECK_THROWS_WITH(sgd.lr(1), "SGD: group 1 of 1");
  CHECK_THROWS_WITH(sgd.set_lr(1, 1), "SGD: group 1 of 1");
  CHECK_THROWS_AS(sgd.add_group({.params = {a}}), Error);
}
