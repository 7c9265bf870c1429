// Checkpoints of a whole training. What is refused changes nothing.
#include <karyon/core/optim/adam.h>
#include <karyon/layers/checkpoint.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>

#include <cmath>

#include "safetensors.h"

namespace {

using namespace fuzz;

struct Training {
  Training() {
    net.add<karyon::Linear>(2, 3);
    net.add<karyon::BatchNorm2d>(3);
  }
  karyon::Checkpoint parts() {
    return {.model = &net,
            .optimizer = &adam,
            .schedule = &schedule,
            .generators = {&noise},
            .numbers = {{"epoch", &epoch}, {"best", &best}},
            .texts = {{"note", &note}}};
  }
  std::vector<double> values() const {
    std::vector<double> all{adam.lr(), best, static_cast<double>(epoch),
                            static_cast<double>(noise.position()), static_cast<double>(note.size())};
    for (const auto& [name, x] : net.state_dict())
      for (const double value : x.to_vector<double>()) all.push_back(std::isnan(value) ? 0 : value);
    return all;
  }

  karyon::Generator noise{1};
  karyon::Sequential net;
  karyon::Adam adam{net.parameters(), {.lr = 0.01}};
  karyon::CosineLR schedule{adam, {.total_steps = 10}};
  std::int64_t epoch = 3;
  double best = 0.5;
  std::string note = "text";
};

void run(Bytes input) {
  static Training training;
  const std::filesystem::path path = as_safetensors(input);
  const std::vector<double> before = training.values();
  if (succeeds<karyon::Error>([&] { karyon::load_checkpoint(path, training.parts()); })) return;
  expect(training.values() == before, "load_checkpoint: what is refused changed something");
  succeeds<karyon::Error>([&] { karyon::load_checkpoint(path, {.model = &training.net}, false); });
}

Inputs seeds() {
  Training training;
  const std::filesystem::path path = empty_folder() / "seed";
  karyon::save_checkpoint(path, training.parts());
  const auto file = file_bytes(path);
  return {file, with_open_header(file)};
}

const Register target{{"training", run, seeds}};

}  // namespace
