#pragma once

#include <optional>

#include <karyon/karyon.h>

#include "dataset/bowl_layout.h"
#include "instances/watershed.h"
#include "training/plan.h"
#include "training/settings.h"

namespace nuclei {

/// Training mode. Where statistics are kept, batch norms use those that they have, as in prediction; those of
/// a batch are noise beside them.
void set_training(karyon::UNet& model, bool keep_statistics);

/// What a step makes smaller: cross entropy of all maps. The two maps that answer yes or no add the overlap
/// of areas (Dice), in which the few pixels of borders and of sparse pictures count as much as those of other
/// pictures.
karyon::Tensor loss_of(karyon::UNet& model, const karyon::Batch& batch, const TrainOptions& options);

/// The share of a step's weights in their moving average. The average forgets weights that are older than a
/// tenth of the training so far, or than 500 steps.
double average_share(std::int64_t step);

/// The mean cross entropy of the nucleus map.
double cross_entropy(const PixelMaps& maps, const LabelMap& truth);

/// The next batch of an epoch, on the device that computes.
template <class Batches>
std::optional<karyon::Batch> next_batch(Batches& batches, karyon::Device device) {
  std::optional<karyon::Batch> batch = batches.next();
  if (batch)
    for (karyon::Tensor& x : *batch) x = x.to(device);
  return batch;
}

/// What fitting the thresholds takes, seconds: the network's answer, and then its separation and scores for
/// one threshold after the other.
double ending_seconds(double network, double separation);

/// A guess of what the parts of a training take. Times a few steps of a network of the same size, which is
/// thrown away.
Costs guess_costs(const TrainOptions& options, karyon::DataLoader& loader, karyon::Device device,
                  const std::vector<Example>& validation);

}  // namespace nuclei
