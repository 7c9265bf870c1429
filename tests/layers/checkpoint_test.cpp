#include <catch2/catch.hpp>
#include <cstdint>
#include <fstream>
#include <limits>

#include <karyon/core/ops/reduce.h>
#include <karyon/karyon.h>

#include "temp_folder.h"

using namespace karyon;
using Catch::Contains;

namespace {

struct Noisy {
  Noisy() {
    net.add<Conv2d>(1, 4, 3, {.padding = 1});
    net.add<BatchNorm2d>(4);
    net.add<Dropout>(0.3, &noise);
    net.add<Conv2d>(4, 1, 1);
  }
  Generator noise{1}, data{2};
  Sequential net;
};

struct Training : Noisy {
  void step() {
    const Tensor x = randn({2, 6, 6, 1}, data);
    adam.zero_grad();
    const Tensor loss = mse_loss(net(x), x * 0.5);
    loss.backward();
    adam.step();
    schedule.step();
    lerp_state_(*average, net, 0.1);
    ++steps;
    last = loss.item<double>();
  }

  Checkpoint parts() {
    return {.model = &net,
            .average = average.get(),
            .optimizer = &adam,
            .schedule = &schedule,
            .generators = {&noise, &data},
            .numbers = {{"steps", &steps}, {"last", &last}},
            .texts = {{"note", &note}}};
  }

  std::vector<double> values() {
    std::vector<double> out{adam.lr(), last, static_cast<double>(steps)};
    for (const Module* module : {static_cast<Module*>(&net), static_cast<Module*>(average.get())})
      for (const auto& [name, x] : module->state_dict())
        for (const double v : x.to_vector<double>()) out.push_back(v);
    return out;
  }

  std::unique_ptr<Sequential> average = clone(net);
  Adam adam{net.parameters(), {.lr = 0.01}};
  CosineLR schedule{adam, {.total_steps = 10}};
  std::int64_t steps = 0;
  double last = 0;
  std::string note;
};

}  // namespace

TEST_CASE("checkpoint: a training that goes on has the same bits") {
  const test::TempFolder folder;
  manual_seed(5);
  Training a;
  a.note = "of the third step\n";
  for (int i = 0; i < 3; ++i) a.step();
  save_checkpoint(folder / "last", a.parts());
  const auto then = a.values();
  for (int i = 0; i < 3; ++i) a.step();

  Training b;  // other initial values
  load_checkpoint(folder / "last", b.parts());
  CHECK(b.values() == then);
  CHECK(b.adam.state_dict().size() == 1 + 3 * b.net.parameters().size());
  CHECK(b.note == a.note);
  CHECK(b.schedule.steps() == 3);
  for (int i = 0; i < 3; ++i) b.step();
  CHECK(b.values() == a.values());
}

TEST_CASE("checkpoint: numbers keep all their digits and bits") {
  const test::TempFolder folder;
  std::int64_t large = std::numeric_limits<std::int64_t>::max(), small = -(std::int64_t{1} << 53) - 1;
  double tiny = 5e-324, none = std::numeric_limits<double>::quiet_NaN();
  Generator generator(UINT64_MAX, UINT64_MAX - 5);
  const Checkpoint parts{.generators = {&generator},
                         .numbers = {{"large", &large}, {"small", &small}, {"tiny", &tiny}, {"none", &none}}};
  save_checkpoint(folder / "n", parts);
  large = small = 0;
  tiny = none = 0;
  generator = Generator();
  load_checkpoint(folder / "n", parts);
  CHECK(large == std::numeric_limits<std::int64_t>::max());
  CHECK(small == -9007199254740993);
  CHECK(tiny == 5e-324);
  CHECK(none != none);
  CHECK(generator.seed() == UINT64_MAX);
  CHECK(generator.position() == UINT64_MAX - 5);
}

TEST_CASE("checkpoint: a schedule by a metric goes on where it was") {
  const test::TempFolder folder;
  Linear net(1, 1);
  SGD sgd(net.parameters(), {.lr = 1});
  ReduceLROnPlateau plateau(sgd, {.patience = 1});
  plateau.step(3);
  plateau.step(4);
  const Checkpoint parts{.plateau = &plateau};
  save_checkpoint(folder / "p", parts);
  plateau.step(4);
  const double after = sgd.lr();
  CHECK(after == Approx(0.1));
  load_checkpoint(folder / "p", parts);
  CHECK(sgd.lr() == 1);
  plateau.step(4);
  CHECK(sgd.lr() == after);
}

TEST_CASE("checkpoint: what does not fit is named, and nothing is changed") {
  const test::TempFolder folder;
  Training a, b;
  a.step();
  save_checkpoint(folder / "last", a.parts());
  const auto before = b.values();
  const auto refused = [&](const Checkpoint& parts, const char* message) {
    INFO(message);
    CHECK_THROWS_WITH(load_checkpoint(folder / "last", parts),
                      Contains("load_checkpoint: ") && Contains("last: ") && Contains(message));
    CHECK(b.values() == before);
    CHECK(b.noise.position() == 0);
    CHECK(b.schedule.steps() == 0);
  };
  Checkpoint parts = b.parts();
  Sequential other;
  other.add<Conv2d>(1, 5, 3);
  parts.model = &other;
  refused(parts, "0.weight expects [5, 3, 3, 1], got [4, 3, 3, 1]");

  parts = b.parts();
  const auto wide = clone(b.net);
  wide->to(f64);
  parts.average = wide.get();
  refused(parts, "average.0.bias expects f64, got f32");

  parts = b.parts();
  SGD sgd(b.net.parameters());
  parts.optimizer = &sgd;
  refused(parts, "SGD::load_state_dict");

  parts = b.parts();
  parts.generators.push_back(&b.data);
  refused(parts, "holds no 'generator.2'");

  parts = b.parts();
  parts.numbers["steps"] = &b.last;
  refused(parts, "'number.steps' expects f64[], got i64[]");
  parts.numbers = {{"steps", &b.steps}};
  refused(parts, "holds 'number.last', which is not asked for");

  parts = b.parts();
  parts.texts["more"] = &b.note;
  refused(parts, "holds no text 'more'");
  parts.texts.clear();
  refused(parts, "holds the text 'note', which is not asked for");

  ReduceLROnPlateau plateau(b.adam);
  parts = b.parts();
  parts.plateau = &plateau;
  refused(parts, "holds no plateau");

  load_checkpoint(folder / "last", {.model = &b.net}, false);
  CHECK(b.net.state_dict().at("0.weight").to_vector<float>() ==
        a.net.state_dict().at("0.weight").to_vector<float>());
}

TEST_CASE("checkpoint: other files, and parts that are none, are refused") {
  const test::TempFolder folder;
  Linear net(1, 1);
  CHECK_THROWS_WITH(load_checkpoint(folder / "none", {.model = &net}), Contains("no such file"));
  save_weights(net, folder / "weights");
  CHECK_THROWS_WITH(load_checkpoint(folder / "weights", {.model = &net}),
                    Contains("weights: is not a checkpoint"));
  save_safetensors(folder / "later", {.tensors = {}, .metadata = {{"karyon.checkpoint", "2"}}});
  CHECK_THROWS_WITH(load_checkpoint(folder / "later", {.model = &net}), Contains("of version 2, expected 1"));
  CHECK_THROWS_WITH(save_checkpoint(folder / "null", {.generators = {nullptr}}),
                    Contains("null: generator 0 expects a pointer, got none"));
  std::int64_t* nothing = nullptr;
  CHECK_THROWS_WITH(load_checkpoint(folder / "later", {.numbers = {{"epoch", nothing}}}),
                    Contains("'epoch' expects a pointer, got none"));
  std::string text;
  CHECK_THROWS_WITH(save_checkpoint(folder / "text", {.texts = {{"karyon.checkpoint", &text}}}),
                    Contains("has a name that the file needs for itself"));
}
