#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/data/dataset.h>

namespace karyon {

/// The order in which a DataLoader takes samples, as torch.utils.data.Sampler. A class of your own defines
/// both functions. A loader calls indices() once for each epoch, with a generator that depends on its seed
/// and the epoch alone.
class Sampler {
 public:
  virtual ~Sampler() = default;
  /// Indices in an epoch: of every epoch the same number.
  virtual std::int64_t size() const = 0;
  /// The indices of an epoch. All randomness comes from `generator`.
  virtual std::vector<std::int64_t> indices(Generator& generator) const = 0;
};

/// Whole batches of indices: those of similar size together, say.
class BatchSampler {
 public:
  virtual ~BatchSampler() = default;
  /// Batches in an epoch: of every epoch the same number.
  virtual std::int64_t size() const = 0;
  /// The batches of an epoch; none is empty.
  virtual std::vector<std::vector<std::int64_t>> batches(Generator& generator) const = 0;
};

/// 0, 1, ..., n - 1.
class SequentialSampler : public Sampler {
 public:
  explicit SequentialSampler(std::int64_t n);
  std::int64_t size() const override { return n_; }
  std::vector<std::int64_t> indices(Generator& generator) const override;

 private:
  std::int64_t n_;
};

struct RandomSamplerOptions {
  bool replacement = false;      ///< an index may come again
  std::int64_t num_samples = 0;  ///< indices in an epoch; 0: all n. More than n only with replacement
};
/// A random order of 0, ..., n - 1, as `shuffle`. Or independent ones of them, with replacement.
class RandomSampler : public Sampler {
 public:
  explicit RandomSampler(std::int64_t n, const RandomSamplerOptions& options = {});
  std::int64_t size() const override { return options_.num_samples; }
  std::vector<std::int64_t> indices(Generator& generator) const override;

 private:
  std::int64_t n_;
  RandomSamplerOptions options_;
};

/// A random order of the given indices.
class SubsetRandomSampler : public Sampler {
 public:
  explicit SubsetRandomSampler(std::vector<std::int64_t> indices);
  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  std::vector<std::int64_t> indices(Generator& generator) const override;

 private:
  std::vector<std::int64_t> indices_;
};

/// Indices with a probability in proportion to their weight. Without replacement each comes at most once: the
/// next is drawn in proportion to the weights of those that are left (Efraimidis and Spirakis, 2006).
class WeightedRandomSampler : public Sampler {
 public:
  /// Throws Error unless weights are finite, not negative and not all 0, and, without replacement, at least
  /// num_samples of them are not 0.
  WeightedRandomSampler(std::vector<double> weights, std::int64_t num_samples, bool replacement = true);
  std::int64_t size() const override { return num_samples_; }
  std::vector<std::int64_t> indices(Generator& generator) const override;

 private:
  std::vector<double> weights_;
  std::int64_t num_samples_;
  bool replacement_;
};

}  // namespace karyon
