#include <catch2/catch.hpp>

#include <karyon/core/optim/lr_curves.h>
#include <karyon/core/optim/sgd.h>

using namespace karyon;

namespace {

struct Rig {
  SGD sgd{{tensor({0}).requires_grad_()}, {.lr = 0.1}};

  /// The rate before each of the steps and after the last.
  void check_rates(Schedule& schedule, const std::vector<double>& expected) {
    for (std::size_t i = 0; i < expected.size(); ++i) {
      INFO("step " << i);
      CHECK(sgd.lr() == Approx(expected[i]).epsilon(1e-12).margin(1e-15));
      CHECK(schedule.lr_at(static_cast<std::int64_t>(i)) == sgd.lr());
      if (i + 1 < expected.size()) schedule.step();
    }
  }
};

}  // namespace

TEST_CASE("curves: rates equal PyTorch's") {
  Rig rig;
  SECTION("LambdaLR") {
    LambdaLR s(rig.sgd, [](std::int64_t steps) { return 1 / (1 + static_cast<double>(steps)); });
    rig.check_rates(s, {0.1, 0.05, 0.03333333333333333, 0.025, 0.020000000000000004});
  }
  SECTION("MultiStepLR") {
    MultiStepLR s(rig.sgd, {.milestones = {2, 4, 4, 5}, .gamma = 0.5});
    rig.check_rates(s, {0.1, 0.1, 0.05, 0.05, 0.0125, 0.00625, 0.00625});
  }
  SECTION("ExponentialLR") {
    ExponentialLR s(rig.sgd, {.gamma = 0.9});
    rig.check_rates(s, {0.1, 0.09, 0.081, 0.0729, 0.06561});
  }
  SECTION("PolynomialLR") {
    PolynomialLR s(rig.sgd, {.total_iters = 4, .power = 2});
    rig.check_rates(s, {0.1, 0.05625, 0.025, 0.00625, 0, 0, 0});
  }
  SECTION("LinearLR") {
    LinearLR s(rig.sgd, {.start_factor = 0.25, .end_factor = 0.75, .total_iters = 4});
    rig.check_rates(s, {0.025, 0.0375, 0.05, 0.0625, 0.075, 0.075, 0.075});
  }
  SECTION("ConstantLR") {
    ConstantLR s(rig.sgd, {.factor = 0.25, .total_iters = 2});
    rig.check_rates(s, {0.025, 0.025, 0.1, 0.1, 0.1});
  }
  SECTION("CosineAnnealingWarmRestarts") {
    CosineAnnealingWarmRestarts s(rig.sgd, {.t_0 = 3, .min_lr = 0.01});
    rig.check_rates(s, {0.1, 0.0775, 0.0325, 0.1, 0.0775, 0.0325, 0.1, 0.0775});
  }
  SECTION("CosineAnnealingWarmRestarts with growing cycles") {
    CosineAnnealingWarmRestarts s(rig.sgd, {.t_0 = 2, .t_mult = 2, .min_lr = 0.01});
    rig.check_rates(s, {0.1, 0.055, 0.1, 0.08681980515339464, 0.055, 0.023180194846605363, 0.1,
                        0.0965745789630079, 0.08681980515339464, 0.07222075445642905, 0.055});
  }
  SECTION("SequentialLR") {
    LinearLR up(rig.sgd, {.start_factor = 0.1, .total_iters = 3});
    ExponentialLR down(rig.sgd, {.gamma = 0.9});
    PolynomialLR end(rig.sgd, {.total_iters = 3});
    SequentialLR s(rig.sgd, {&up, &down, &end}, {3, 6});
    rig.check_rates(
        s, {0.01, 0.04, 0.07, 0.1, 0.09, 0.081, 0.1, 0.06666666666666668, 0.03333333333333334, 0, 0});
  }
  SECTION("ChainedScheduler") {
    LinearLR up(rig.sgd, {.start_factor = 0.5, .total_iters = 4});
    ExponentialLR down(rig.sgd, {.gamma = 0.9});
    ChainedScheduler s(rig.sgd, {&up, &down});
    rig.check_rates(s, {0.05, 0.05625, 0.06075, 0.0637875, 0.06561, 0.059049, 0.0531441});
  }
}

TEST_CASE("curves: a schedule made of others is saved as one") {
  Rig a, b;
  const auto run = [](Rig& rig, const auto& then) {
    LinearLR up(rig.sgd, {.total_iters = 3});
    PolynomialLR down(rig.sgd, {.total_iters = 7});
    SequentialLR s(rig.sgd, {&up, &down}, {3});
    then(s);
  };
  run(a, [&](SequentialLR& s) {
    for (int i = 0; i < 6; ++i) s.step();
    run(b, [&](SequentialLR& t) { t.load_state(s.state()); });
    CHECK(b.sgd.lr() == a.sgd.lr());
    CHECK(a.sgd.lr() == Approx(0.1 * 4 / 7));
  });
}

TEST_CASE("curves: bad values are Errors") {
  Rig rig;
  CHECK_THROWS_WITH(LambdaLR(rig.sgd, nullptr), "LambdaLR: expects a function");
  CHECK_THROWS_WITH(MultiStepLR(rig.sgd, {.milestones = {3, 2}}), Catch::StartsWith("MultiStepLR"));
  CHECK_THROWS_WITH(ExponentialLR(rig.sgd, {.gamma = -1}), "ExponentialLR: expects gamma >= 0, got -1");
  CHECK_THROWS_WITH(PolynomialLR(rig.sgd, {.total_iters = 0}), Catch::StartsWith("PolynomialLR"));
  CHECK_THROWS_WITH(LinearLR(rig.sgd, {.start_factor = 0}), Catch::StartsWith("LinearLR"));
  CHECK_THROWS_WITH(ConstantLR(rig.sgd, {.factor = 2}), Catch::StartsWith("ConstantLR"));
  CHECK_THROWS_WITH(CosineAnnealingWarmRestarts(rig.sgd, {.t_0 = 0}),
                    "CosineAnnealingWarmRestarts: expects t_0 of 1 or more, got 0");
  LinearLR up(rig.sgd);
  CHECK_THROWS_WITH(SequentialLR(rig.sgd, {&up}, {1}), Catch::Contains("one milestone fewer"));
  CHECK_THROWS_WITH(SequentialLR(rig.sgd, {&up, &up}, {0}), Catch::Contains("rise"));
  CHECK_THROWS_WITH(ChainedScheduler(rig.sgd, {}), "ChainedScheduler: expects at least one schedule");
}
