#pragma once
#include <cstdint>
#include <functional>
#include <iterator>
#include <memory>
#include <optional>

#include <karyon/core/data/sampler.h>

namespace karyon {

struct DataLoaderOptions {
  std::int64_t batch_size = 1;
  bool shuffle = false;
  bool drop_last = false;     ///< leave out a last batch that is not full
  int workers = 0;            ///< threads that make batches; 0: the caller's
  std::int64_t prefetch = 4;  ///< batches made ahead of the consumer, with workers
  std::uint64_t seed = 0;
  /// The order of samples instead of `shuffle`. Both samplers must outlive the loader and its epochs.
  const Sampler* sampler = nullptr;
  /// Whole batches instead of batch_size, shuffle, drop_last and sampler.
  const BatchSampler* batch_sampler = nullptr;
  /// What makes a batch of samples: it may pad them, say. The default stacks each position. Workers call it at
  /// the same time.
  std::function<Batch(const std::vector<Sample>& samples)> collate = nullptr;
  std::int64_t num_replicas = 1;  ///< loaders that share out the dataset, one for each rank of a job ...
  std::int64_t rank = 0;          ///< ... of which this is one
};

/// Batches of a dataset, the same bits for any number of workers. The order of epoch e depends on (seed, e)
/// alone, and the generator of a sample on (seed, e, index) alone. So training can resume at any batch of any
/// epoch.
///
/// With num_replicas, each loader has an equal share, as with torch.utils.data.DistributedSampler: every
/// num_replicas-th sample of the same order, beginning with the rank's. Batch k of all of them is batch k of a
/// single loader whose batch_size is so many times as large. With drop_last all ranks have the full ones of
/// those batches. Otherwise samples from the beginning of the order make the shares equal.
///
///     DataLoader loader(dataset, {.batch_size = 8, .shuffle = true, .workers = 4});
///     for (const Batch& batch : loader.epoch(0)) ...
class DataLoader {
 public:
  class Epoch;

  /// The dataset must outlive the loader and its epochs. Throws Error for options out of range.
  explicit DataLoader(const Dataset& dataset, const DataLoaderOptions& options = {});
  explicit DataLoader(Dataset&& dataset, const DataLoaderOptions& options = {}) = delete;

  /// Batches of an epoch.
  std::int64_t size() const;
  /// Epoch `number`, from batch `first_batch` on. Throws Error unless first_batch is from 0 to size().
  Epoch epoch(std::uint64_t number, std::int64_t first_batch = 0) const;
  const DataLoaderOptions& options() const { return options_; }

 private:
  const Dataset* dataset_;
  DataLoaderOptions options_;
};

/// One pass over a dataset, batch after batch; a range for one `for`. Workers run while it lives, and
/// are joined when it is destroyed, finished or not.
class DataLoader::Epoch {
 public:
  Epoch(Epoch&&) noexcept;
  Epoch& operator=(Epoch&&) noexcept;
  ~Epoch();

  /// The next batch, or nothing at the end. Rethrows what the dataset threw for it; the epoch is over then.
  std::optional<Batch> next();

  class Iterator {
   public:
    using value_type = Batch;
    using difference_type = std::ptrdiff_t;
    explicit Iterator(Epoch* epoch) : epoch_(epoch) { ++*this; }
    const Batch& operator*() const { return *batch_; }
    const Batch* operator->() const { return &*batch_; }
    Iterator& operator++() {
      batch_.reset();  // freed before the next one is asked for
      batch_ = epoch_->next();
      return *this;
    }
    void operator++(int) { ++*this; }
    friend bool operator==(const Iterator& it, std::default_sentinel_t) { return !it.batch_; }

   private:
    Epoch* epoch_;
    std::optional<Batch> batch_;
  };
  Iterator begin() { return Iterator(this); }
  std::default_sentinel_t end() const { return {}; }

 private:
  friend class DataLoader;
  struct State;
  explicit Epoch(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace karyon
