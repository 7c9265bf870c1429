#include "training/step.h"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "common/progress.h"
#include "inference/segmenter.h"

namespace nuclei {

using karyon::Tensor;

void set_training(karyon::UNet& model, bool keep_statistics) {
  model.train();
  if (!keep_statistics) return;
  for (const auto& [name, module] : model.named_modules())
    if (dynamic_cast<karyon::BatchNorm2d*>(module) != nullptr) module->eval();
}

Tensor loss_of(karyon::UNet& model, const karyon::Batch& batch, const TrainOptions& o) {
  const karyon::AutocastGuard autocast(select_precision(o.precision));
  const Tensor logits = model(batch[0]);
  const Tensor& target = batch[1];
  const Tensor entropy = karyon::bce_with_logits(logits, target, {.weight = batch[2]});
  const Tensor overlap = karyon::dice_loss(karyon::split(logits, {2, map_count - 2}, -1)[0],
                                           karyon::split(target, {2, map_count - 2}, -1)[0]);
  return entropy * 2 + overlap;
}

double average_share(std::int64_t step) { return std::max(0.002, 9 / (10 + static_cast<double>(step))); }

double cross_entropy(const PixelMaps& maps, const LabelMap& truth) {
  double sum = 0;
  for (std::size_t i = 0; i < maps.pixels(); ++i) {
    const float p = maps.pixel(i)[nucleus_map];
    sum -= std::log(std::max(1e-7, static_cast<double>(truth[i] > 0 ? p : 1 - p)));
  }
  return sum / static_cast<double>(maps.pixels());
}

double ending_seconds(double network, double separation) {
  constexpr double tries = 40;  // two rounds of tune_thresholds(), on all threads
  return network + tries * separation / karyon::num_threads();
}

Costs guess_costs(const TrainOptions& options, karyon::DataLoader& loader, karyon::Device device,
                  const std::vector<Example>& validation) {
  karyon::UNet probe(network(options));
  probe.to(device);
  karyon::AdamW optimizer(probe.parameters());
  Costs costs;
  for (int i = 0; i < 4; ++i) {
    auto batches = loader.epoch(0);
    const karyon::Batch batch = *next_batch(batches, device);
    const auto begin = std::chrono::steady_clock::now();
    loss_of(probe, batch, options).backward();
    optimizer.step();
    optimizer.zero_grad();
    const double time = seconds_since(begin);
    if (i > 0) costs.step = i == 1 ? time : std::min(costs.step, time);
  }
  double pixels = 0;
  for (const Example& e : validation) pixels += static_cast<double>(e.image.pixels());
  const auto batch_pixels = static_cast<double>(loader.options().batch_size * options.crop * options.crop);
  // A forward pass alone takes about a third of a step.
  const double network_seconds = costs.step * pixels / batch_pixels / 3, separation_seconds = 1.5e-7 * pixels;
  costs.validation = network_seconds + separation_seconds;
  costs.rest = 0.2;
  costs.ending = validation.empty() ? 0 : ending_seconds(network_seconds, separation_seconds);
  return costs;
}

}  // namespace nuclei
