#include <catch2/catch.hpp>
#include <cmath>
#include <memory>

#include <karyon/core/optim/schedule.h>
#include <karyon/core/optim/sgd.h>

using namespace karyon;

namespace {

struct Rig {
  SGD sgd{{tensor({0}).requires_grad_()}, {.lr = 0.1}};
};

/// The rate before each of the steps and after the last.
void check_rates(Schedule& schedule, Optimizer& optimizer, const std::vector<double>& expected) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    INFO("step " << i);
    CHECK(optimizer.lr() == Approx(expected[i]).epsilon(1e-12));
    if (i + 1 < expected.size()) schedule.step();
  }
}

}  // namespace

TEST_CASE("schedules: rates equal PyTorch's") {
  Rig rig;
  SECTION("StepLR") {
    StepLR s(rig.sgd, {.step_size = 3, .gamma = 0.5});
    check_rates(s, rig.sgd, {0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025});
  }
  SECTION("CosineLR") {
    CosineLR s(rig.sgd, {.total_steps = 6, .min_lr = 0.01});
    check_rates(s, rig.sgd,
                {0.1, 0.09397114317029975, 0.0775, 0.055, 0.0325, 0.01602885682970026, 0.01, 0.01});
  }
  SECTION("CosineLR after a warm-up") {
    CosineLR s(rig.sgd, {.total_steps = 10, .warmup_steps = 4, .warmup_factor = 0.1, .min_lr = 0.01});
    check_rates(s, rig.sgd,
                {0.01, 0.0325, 0.055, 0.0775, 0.1, 0.09397114317029975, 0.0775, 0.055, 0.0325,
                 0.01602885682970026, 0.01});
  }
  SECTION("OneCycleLR") {
    OneCycleLR s(rig.sgd, {.max_lr = 0.5, .total_steps = 10});
    check_rates(s, rig.sgd,
                {0.02, 0.26, 0.5, 0.47524231600673683, 0.40587282697488153, 0.30563101096814466,
                 0.19437098903185537, 0.09412917302511849, 0.024759683993263143, 2e-06, 2e-06});
  }
  SECTION("OneCycleLR with all options") {
    OneCycleLR s(
        rig.sgd,
        {.max_lr = 0.5, .total_steps = 12, .pct_start = 0.5, .div_factor = 10, .final_div_factor = 100});
    check_rates(s, rig.sgd,
                {0.05, 0.09297117626563683, 0.20547117626563682, 0.3445288237343631, 0.45702882373436315, 0.5,
                 0.4665398445951636, 0.375125, 0.25025, 0.12537500000000004, 0.033960155404836434, 0.0005});
  }
}

TEST_CASE("schedules: ReduceLROnPlateau equals PyTorch's") {
  Rig rig;
  ReduceLROnPlateau s(rig.sgd, {.factor = 0.5, .patience = 1, .cooldown = 1, .min_lr = 0.02});
  const double metrics[] = {1, 0.9, 0.9, 0.9, 0.9, 0.9, 0.9, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5};
  const double rates[] = {0.1, 0.1, 0.1, 0.05, 0.05, 0.05, 0.025, 0.025, 0.025, 0.02, 0.02, 0.02, 0.02, 0.02};
  for (std::size_t i = 0; i < 14; ++i) {
    INFO("step " << i);
    s.step(metrics[i]);
    CHECK(rig.sgd.lr() == Approx(rates[i]).epsilon(1e-12));
  }
  ReduceLROnPlateau up(rig.sgd, {.maximize = true, .factor = 0.5, .patience = 0});
  up.step(1);
  up.step(2);
  CHECK(rig.sgd.lr() == Approx(0.02));
  up.step(NAN);  // no improvement
  CHECK(rig.sgd.lr() == Approx(0.01));
}

TEST_CASE("schedules: a saved state continues") {
  Rig a, b;
  OneCycleLR s(a.sgd, {.total_steps = 20}), t(b.sgd, {.total_steps = 20});
  for (int i = 0; i < 7; ++i) s.step();
  t.load_state(s.state());
  CHECK(b.sgd.lr() == a.sgd.lr());
  s.step(), t.step();
  CHECK(b.sgd.lr() == a.sgd.lr());
  CHECK(t.steps() == 8);

  ReduceLROnPlateau p(a.sgd, {.patience = 2}), q(b.sgd, {.patience = 2});
  for (const double metric : {1.0, 2.0, 2.0}) p.step(metric);
  q.load_state(p.state());
  p.step(2), q.step(2);
  CHECK(a.sgd.lr() == b.sgd.lr());
  CHECK(a.sgd.lr() == Approx(s.lr_at(8) / 10));
}

TEST_CASE("schedules: a resumed optimizer does not shift the base rate") {
  Rig a;
  CosineLR s(a.sgd, {.total_steps = 10});
  for (int i = 0; i < 5; ++i) s.step();
  Rig b;
  b.sgd.load_state_dict(a.sgd.state_dict());  // its rate is now half way down
  CosineLR t(b.sgd, {.total_steps = 10});
  t.load_state(s.state());
  CHECK(b.sgd.lr() == a.sgd.lr());
}

TEST_CASE("schedules: bad values are Errors") {
  Rig rig;
  CHECK_THROWS_WITH(StepLR(rig.sgd, {.step_size = 0}), Catch::StartsWith("StepLR"));
  CHECK_THROWS_AS(CosineLR(rig.sgd, {.total_steps = 5, .warmup_steps = 5}), Error);
  CHECK_THROWS_AS(OneCycleLR(rig.sgd, {.max_lr = -1}), Error);
  CHECK_THROWS_AS(ReduceLROnPlateau(rig.sgd, {.factor = 1}), Error);
  StepLR s(rig.sgd);
  CHECK_THROWS_WITH(s.load_state({}), Catch::Contains("steps"));
  CHECK_THROWS_AS(s.load_state({{"steps", -1}, {"base_lr", 1}}), Error);
  CHECK_THROWS_AS(s.load_state({{"steps", NAN}, {"base_lr", 1}}), Error);
}
