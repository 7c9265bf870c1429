// Checkpoints of a training and files of models, of a network that is as small as can be.
#include <karyon/core/optim/adam.h>
#include <karyon/models/unet.h>

#include "common/error.h"
#include "fuzz.h"
#include "inference/segmenter.h"
#include "safetensors.h"
#include "training/checkpoint.h"

namespace {

using namespace fuzz;

nuclei::TrainOptions smallest() {
  return {.data = {{"/data"}}, .out = "/run", .epochs = 2, .crop = 16, .base_width = 1, .depth = 1};
}

struct Network {
  karyon::UNet model{nuclei::network(smallest())}, average{nuclei::network(smallest())};
  karyon::AdamW optimizer{model.parameters()};
  nuclei::Trained trained() { return {model, average, optimizer}; }
};

template <class F>
void may_refuse(const F& f) {
  succeeds<nuclei::UsageError>([&] { succeeds<nuclei::Failure>([&] { succeeds<karyon::Error>(f); }); });
}

void run(Bytes input) {
  static Network network;
  const std::filesystem::path path = as_safetensors(input);
  may_refuse([&] {
    nuclei::TrainOptions options;
    const karyon::TensorFile checkpoint = nuclei::open_checkpoint(path, options);
    nuclei::check_options(options);
    nuclei::read_state(path, checkpoint, network.trained());
  });
  may_refuse([&] { karyon::load_unet(path); });
  may_refuse([&] { nuclei::Segmenter segmenter(path, karyon::Device::cpu()); });
}

Inputs seeds() {
  Network network;
  const std::filesystem::path path = empty_folder() / "seed";
  nuclei::TrainingState state{.epoch = 1, .fingerprint = "f"};
  state.history.push_back({.epoch = 1, .train_loss = 0.5, .lr = 0.1, .seconds = 2});
  nuclei::save_checkpoint(path, smallest(), 2, state, network.trained());
  const auto checkpoint = file_bytes(path);
  karyon::save_unet(network.model, path,
                    {{nuclei::thresholds_key, nuclei::to_text(nuclei::SegmentOptions{})}});
  const auto model = file_bytes(path);
  return {checkpoint, with_open_header(checkpoint), model, with_open_header(model)};
}

const Register target{{"checkpoint", run, seeds}};

}  // namespace
