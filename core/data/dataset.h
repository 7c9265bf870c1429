#pragma once
#include <utility>
#include <vector>

#include <karyon/core/random.h>

namespace karyon {

/// The tensors of one item: an input and its target, say, and perhaps a weight. No batch dimension.
using Sample = std::vector<Tensor>;
/// The same tensors with a batch dimension in front.
using Batch = std::vector<Tensor>;

/// Samples by index. A loader's workers call get() at the same time.
class Dataset {
 public:
  virtual ~Dataset() = default;
  virtual std::int64_t size() const = 0;
  /// The tensors at one position have the same shape for every index. All randomness comes from
  /// `generator`, which belongs to this sample of this epoch.
  virtual Sample get(std::int64_t index, Generator& generator) const = 0;
};

/// Samples held in memory: slice i of each tensor.
class TensorDataset : public Dataset {
 public:
  /// Throws Error unless there are tensors and their first sizes agree.
  explicit TensorDataset(std::vector<Tensor> tensors);
  std::int64_t size() const override { return tensors_[0].size(0); }
  Sample get(std::int64_t index, Generator& generator) const override;

 private:
  std::vector<Tensor> tensors_;
};

/// Some samples of another dataset, as torch.utils.data.Subset. The dataset must outlive it.
class Subset : public Dataset {
 public:
  /// Throws Error if an index is not one of the dataset.
  Subset(const Dataset& dataset, std::vector<std::int64_t> indices);
  std::int64_t size() const override { return static_cast<std::int64_t>(indices_.size()); }
  Sample get(std::int64_t index, Generator& generator) const override;

 private:
  const Dataset* dataset_;
  std::vector<std::int64_t> indices_;
};

}  // namespace karyon
