#include <algorithm>
#include <cmath>
#include <numeric>

#include <karyon/core/data/sampler.h>

namespace karyon {

using Indices = std::vector<std::int64_t>;

SequentialSampler::SequentialSampler(std::int64_t n) : n_(n) {
  check(n >= 0, "SequentialSampler: expects n >= 0, got ", n);
}

Indices SequentialSampler::indices(Generator&) const {
  Indices out(static_cast<std::size_t>(n_));
  std::iota(out.begin(), out.end(), 0);
  return out;
}

RandomSampler::RandomSampler(std::int64_t n, const RandomSamplerOptions& options) : n_(n), options_(options) {
  check(n >= 0, "RandomSampler: expects n >= 0, got ", n);
  check(options.num_samples >= 0, "RandomSampler: expects num_samples >= 0, got ", options.num_samples);
  check(options.replacement ? n > 0 || options.num_samples == 0 : options.num_samples <= n,
        "RandomSampler: expects at most ", n, " samples, got ", options.num_samples);
  if (options_.num_samples == 0) options_.num_samples = n;
}

Indices RandomSampler::indices(Generator& generator) const {
  if (!options_.replacement) {
    Indices out = randperm(n_, generator).to_vector<std::int64_t>();
    out.resize(static_cast<std::size_t>(options_.num_samples));
    return out;
  }
  Indices out;
  for (std::int64_t i = 0; i < options_.num_samples; ++i) out.push_back(generator.below(n_));
  return out;
}

SubsetRandomSampler::SubsetRandomSampler(Indices indices) : indices_(std::move(indices)) {}

Indices SubsetRandomSampler::indices(Generator& generator) const {
  Indices out;
  for (const std::int64_t i : randperm(size(), generator).to_vector<std::int64_t>())
    out.push_back(indices_[static_cast<std::size_t>(i)]);
  return out;
}

WeightedRandomSampler::WeightedRandomSampler(std::vector<double> weights, std::int64_t num_samples,
                                             bool replacement)
    : weights_(std::move(weights)), num_samples_(num_samples), replacement_(replacement) {
  std::int64_t possible = 0;
  double sum = 0;
  for (const double w : weights_) {
    check(std::isfinite(w) && w >= 0, "WeightedRandomSampler: expects finite weights >= 0, got ", w);
    possible += w > 0;
    sum += w;
  }
  check(possible > 0 && std::isfinite(sum),
        "WeightedRandomSampler: expects weights with a finite sum above 0");
  check(num_samples >= 1, "WeightedRandomSampler: expects num_samples of 1 or more, got ", num_samples);
  check(replacement || num_samples <= possible, "WeightedRandomSampler: expects at most ", possible,
        " samples without replacement, got ", num_samples);
}

Indices WeightedRandomSampler::indices(Generator& generator) const {
  Indices out;
  if (replacement_) {
    std::vector<double> sums(weights_.size());
    std::partial_sum(weights_.begin(), weights_.end(), sums.begin());
    for (std::int64_t i = 0; i < num_samples_; ++i) {
      // The product can be rounded up to the whole sum: then the last index with a weight is meant.
      const double at = std::min(generator.uniform() * sums.back(), std::nextafter(sums.back(), 0.0));
      out.push_back(std::upper_bound(sums.begin(), sums.end(), at) - sums.begin());
    }
    return out;
  }
  std::vector<std::pair<double, std::int64_t>> keys;  // waiting times: exponential with the weight as rate
  for (std::size_t i = 0; i < weights_.size(); ++i) {
    const double u = generator.uniform();
    if (weights_[i] > 0) keys.emplace_back(-std::log1p(-u) / weights_[i], i);
  }
  std::sort(keys.begin(), keys.end());
  for (std::int64_t i = 0; i < num_samples_; ++i) out.push_back(keys[static_cast<std::size_t>(i)].second);
  return out;
}

}  // namespace karyon
