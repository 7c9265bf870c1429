// The plan of a training that has a time, on a clock that the test turns.
#include "training/plan.h"

#include <catch2/catch.hpp>
#include <functional>

using namespace nuclei;

namespace {

struct Machine {
  std::function<double(double)> step = [](double) { return 0.1; };  // seconds, by the time
  double validation = 1, rest = 0.2, ending = 3, guess = 0.1;
  std::int64_t steps_per_epoch = 20, validate_every = 1;
};

struct Outcome {
  double seconds = 0, phase = 0, last_step_at = 0;  // last_step_at: the phase of the last step
  std::int64_t epochs = 0, steps = 0, planned_first = 0;
  bool falls = true;  // the phase never went back
};

/// Trains as training.cpp does.
Outcome train_for(double limit, const Machine& m, double phase = 0, std::int64_t epochs_done = 0) {
  Plan plan(limit, m.steps_per_epoch, m.validate_every,
            {.step = m.guess, .validation = m.validation / 3, .rest = 0.1, .ending = m.ending / 3});
  plan.resume(phase);
  Outcome out;
  double now = 0;
  std::int64_t epoch = epochs_done;
  do {
    plan.begin_epoch(epoch, 0, now);
    if (out.planned_first == 0) out.planned_first = plan.epochs();
    for (bool goes_on = true; goes_on; ++out.steps) {
      out.falls = out.falls && plan.phase() >= out.last_step_at;
      out.last_step_at = plan.phase();
      now += m.step(now);
      goes_on = plan.step_done(now);
    }
    ++epoch;
    if (epoch % m.validate_every == 0 || epoch == plan.epochs()) {
      now += m.validation;
      plan.validation_took(m.validation);
      plan.ending_will_take(m.ending);
    }
    now += m.rest;
    plan.rest_took(m.rest);
  } while (epoch < plan.epochs());
  out.epochs = epoch;
  out.phase = plan.phase();
  out.seconds = now + m.ending;
  return out;
}

void check_kept(const Outcome& out, double limit) {
  CHECK(out.seconds <= limit);
  CHECK(out.phase == 1);
  CHECK(out.last_step_at > 0.8);  // the rate came down, it did not jump
  CHECK(out.falls);
}

}  // namespace

TEST_CASE("nuclei: a plan fills its time, whatever steps and validations take", "[nuclei][plan]") {
  const auto always = [](double seconds) { return [seconds](double) { return seconds; }; };
  for (const Machine& m : {Machine{}, Machine{.step = always(0.002), .guess = 0.002},  // cheap steps
                           Machine{.step = always(1), .validation = 10, .guess = 1},   // dear ones
                           Machine{.validation = 20, .ending = 30},                    // slow validation
                           Machine{.validation = 9, .validate_every = 4},              // seldom
                           Machine{.guess = 0.01}, Machine{.guess = 0.3}}) {           // wrong guesses
    for (const double limit : {120.0, 600.0}) {
      INFO(m.step(0) << " s a step, " << limit << " s");
      const Outcome out = train_for(limit, m);
      check_kept(out, limit);
      const bool most = out.epochs == Plan::most_epochs;
      CHECK((most || out.seconds > 0.9 * limit - 20 * m.step(0) - m.validation));
    }
  }
}

TEST_CASE("nuclei: a plan follows a machine that becomes slower or faster", "[nuclei][plan]") {
  const Outcome slower = train_for(300, {.step = [](double now) { return now < 100 ? 0.1 : 0.4; }});
  check_kept(slower, 300);
  CHECK(slower.epochs < slower.planned_first);
  const Outcome faster =
      train_for(300, {.step = [](double now) { return now < 100 ? 0.4 : 0.1; }, .guess = 0.4});
  check_kept(faster, 300);
  CHECK(faster.epochs > faster.planned_first);
  // Suddenly, in the last epoch: the epoch is cut.
  const Outcome late = train_for(60, {.step = [](double now) { return now < 51 ? 0.1 : 0.6; }});
  CHECK(late.seconds <= 63);
}

TEST_CASE("nuclei: where no epoch fits, a plan cuts one, and its schedule ends", "[nuclei][plan]") {
  const Outcome out = train_for(60, {.step = [](double) { return 1.0; }, .guess = 1, .steps_per_epoch = 500});
  CHECK(out.epochs == 1);
  CHECK(out.steps > 40);
  check_kept(out, 63);  // validation and ending took longer than guessed
  const Outcome nothing = train_for(0.001, {});
  CHECK(nothing.epochs == 1);
  CHECK(nothing.steps == 1);
}

TEST_CASE("nuclei: a plan that is resumed ends its schedule in the time that is left", "[nuclei][plan]") {
  const Outcome out = train_for(100, {}, 0.6, 30);
  check_kept(out, 100);
  CHECK(out.epochs > 31);
  CHECK(train_for(100, {}, 0.6, Plan::most_epochs - 1).epochs == Plan::most_epochs);
}

TEST_CASE("nuclei: without a change of costs a plan's schedule is that of its number of epochs",
          "[nuclei][plan]") {
  Plan plan(100, 10, 1, {.step = 0.5, .validation = 1, .rest = 0.1, .ending = 2});
  plan.begin_epoch(0, 0, 0);
  const std::int64_t epochs = plan.epochs();
  CHECK(epochs == 15);  // (100 - 2) / 1.02 / 6.1
  double now = 0;
  for (int step = 1; step <= 10; ++step) {
    plan.step_done(now += 0.5);
    CHECK(plan.phase() == Approx(step / (10.0 * static_cast<double>(epochs))));
  }
}
