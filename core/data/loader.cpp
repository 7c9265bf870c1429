#include <condition_variable>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>

#include <karyon/core/autograd.h>
#include <karyon/core/data/loader.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

// Stream 0 of the seed orders the epochs; stream e + 1 is for the samples of epoch e.
Generator derived(std::uint64_t seed, std::uint64_t counter, std::uint64_t stream) {
  const auto words = philox(seed, counter, stream);
  return Generator((std::uint64_t{words[1]} << 32) | words[0]);
}

// The samples as one batch; indices are for messages.
Batch stacked(const std::vector<std::int64_t>& indices, const std::vector<Sample>& samples) {
  std::vector<std::vector<Tensor>> columns(samples[0].size());
  for (std::size_t s = 0; s < samples.size(); ++s) {
    const Sample& sample = samples[s];
    check(sample.size() == columns.size(), "DataLoader: sample ", indices[s], " has ", sample.size(),
          " tensors, expected ", columns.size());
    for (std::size_t c = 0; c < columns.size(); ++c) {
      const Tensor &x = sample[c], &first = samples[0][c];
      check(x.defined(), "DataLoader: tensor ", c, " of sample ", indices[s], " is undefined");
      check(x.shape() == first.shape() && x.dtype() == first.dtype(), "DataLoader: tensor ", c, " of sample ",
            indices[s], " is ", x.dtype(), x.shape(), ", expected ", first.dtype(), first.shape(),
            " as in the rest of its batch");
      columns[c].push_back(x);
    }
  }
  Batch out;
  for (const std::vector<Tensor>& column : columns) out.push_back(stack(column));
  return out;
}

// The samples of an epoch, of all ranks.
std::int64_t samples(const Dataset& dataset, const DataLoaderOptions& options) {
  return options.sampler ? options.sampler->size() : dataset.size();
}

// The samples of one rank, of n of all ranks.
std::int64_t share(const DataLoaderOptions& options, std::int64_t n) {
  const std::int64_t ranks = options.num_replicas, b = options.batch_size;
  return options.drop_last && ranks > 1 ? n / (b * ranks) * b : (n + ranks - 1) / ranks;
}

std::vector<std::int64_t> sample_order(const Dataset& dataset, const DataLoaderOptions& options,
                                       Generator& generator) {
  const std::int64_t n = dataset.size();
  if (options.sampler) return options.sampler->indices(generator);
  return options.shuffle ? RandomSampler(n).indices(generator) : SequentialSampler(n).indices(generator);
}

// The indices of each batch of an epoch.
std::vector<std::vector<std::int64_t>> batch_order(const Dataset& dataset, const DataLoaderOptions& options,
                                                   Generator& generator) {
  if (options.batch_sampler) return options.batch_sampler->batches(generator);
  const std::vector<std::int64_t> all = sample_order(dataset, options, generator);
  std::vector<std::int64_t> order;
  for (std::int64_t i = 0; i < share(options, std::ssize(all)); ++i)
    order.push_back(
        all[static_cast<std::size_t>((i * options.num_replicas + options.rank) % std::ssize(all))]);
  const auto n = static_cast<std::int64_t>(order.size()), most = options.batch_size;
  std::vector<std::vector<std::int64_t>> out;
  for (std::int64_t begin = 0; begin < n - (options.drop_last ? most - 1 : 0); begin += most)
    out.emplace_back(order.begin() + begin, order.begin() + begin + std::min(most, n - begin));
  return out;
}

void check_order(const std::vector<std::vector<std::int64_t>>& order, std::int64_t batches,
                 std::int64_t samples) {
  check(static_cast<std::int64_t>(order.size()) == batches, "DataLoader: the sampler has ", order.size(),
        " batches, but its size() promises ", batches);
  for (const std::vector<std::int64_t>& batch : order) {
    check(!batch.empty(), "DataLoader: the sampler has a batch without samples");
    for (const std::int64_t index : batch)
      check(index >= 0 && index < samples, "DataLoader: the sampler has index ", index, " of ", samples,
            " samples");
  }
}

}  // namespace

struct DataLoader::Epoch::State {
  struct Slot {
    Batch batch;
    std::exception_ptr error;
    bool filled = false;
  };

  const Dataset* dataset;
  DataLoaderOptions options;
  std::uint64_t number;
  std::vector<std::vector<std::int64_t>> order;  // indices by batch
  std::int64_t next, batches;                    // next for the consumer

  std::mutex mutex;
  std::condition_variable made, taken;
  std::vector<Slot> slots;  // made and not yet taken; at most prefetch
  std::int64_t claimed;     // next for a worker
  bool stop = false;
  std::vector<std::thread> threads;

  ~State() { join(); }

  Slot& slot_of(std::int64_t batch) { return slots[static_cast<std::size_t>(batch) % slots.size()]; }

  void join() {
    {
      const std::lock_guard lock(mutex);
      stop = true;
    }
    taken.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
    slots.clear();
  }

  Batch make(std::int64_t batch) const {
    const NoGradGuard no_grad;
    const std::vector<std::int64_t>& indices = order[static_cast<std::size_t>(batch)];
    std::vector<Sample> samples;
    for (const std::int64_t index : indices) {
      Generator generator = derived(options.seed, static_cast<std::uint64_t>(index), number + 1);
      samples.push_back(dataset->get(index, generator));
    }
    return options.collate ? options.collate(samples) : stacked(indices, samples);
  }

  void work() {
    const SerialGuard serial;
    std::unique_lock lock(mutex);
    for (;;) {
      // The window counts claimed batches, so a slow one holds the others to `prefetch` ahead of it.
      taken.wait(lock, [&] { return stop || claimed >= batches || claimed - next < options.prefetch; });
      if (stop || claimed >= batches) return;
      const std::int64_t batch = claimed++;
      lock.unlock();
      Slot slot;
      try {
        slot.batch = make(batch);
      } catch (...) {
        slot.error = std::current_exception();
      }
      slot.filled = true;
      lock.lock();
      slot_of(batch) = std::move(slot);
      made.notify_one();
    }
  }

  std::optional<Batch> take() {
    if (next >= batches) return std::nullopt;
    if (options.workers == 0) {
      const std::int64_t batch = next;
      next = batches;  // over, should it throw
      Batch out = make(batch);
      next = batch + 1;
      return out;
    }
    std::unique_lock lock(mutex);
    made.wait(lock, [&] { return slot_of(next).filled; });
    Slot slot = std::exchange(slot_of(next), {});
    ++next;
    const bool last = next == batches || slot.error;
    if (slot.error) next = batches;
    lock.unlock();
    taken.notify_all();
    if (last) join();
    if (slot.error) std::rethrow_exception(slot.error);
    return std::move(slot.batch);
  }
};

DataLoader::Epoch::Epoch(std::unique_ptr<State> state) : state_(std::move(state)) {
  for (int i = 0; i < state_->options.workers && state_->next < state_->batches; ++i)
    state_->threads.emplace_back([s = state_.get()] { s->work(); });
}
DataLoader::Epoch::Epoch(Epoch&&) noexcept = default;
DataLoader::Epoch& DataLoader::Epoch::operator=(Epoch&&) noexcept = default;
DataLoader::Epoch::~Epoch() = default;

std::optional<Batch> DataLoader::Epoch::next() {
  check(state_ != nullptr, "DataLoader::Epoch: used after it was moved from");
  return state_->take();
}

DataLoader::DataLoader(const Dataset& dataset, const DataLoaderOptions& options)
    : dataset_(&dataset), options_(options) {
  check(options.batch_size >= 1, "DataLoader: expects a batch_size of 1 or more, got ", options.batch_size);
  check(options.workers >= 0 && options.workers <= 1024, "DataLoader: expects 0 to 1024 workers, got ",
        options.workers);
  check(!(options.shuffle && options.sampler), "DataLoader: expects shuffle or a sampler, not both");
  check(options.prefetch >= 1, "DataLoader: expects a prefetch of 1 or more, got ", options.prefetch);
  check(options.num_replicas >= 1 && options.rank >= 0 && options.rank < options.num_replicas,
        "DataLoader: expects a rank below num_replicas, got ", options.rank, " of ", options.num_replicas);
  check(options.num_replicas == 1 || !options.batch_sampler,
        "DataLoader: num_replicas shares out samples, and a batch_sampler gives whole batches");
}

std::int64_t DataLoader::size() const {
  if (options_.batch_sampler) return options_.batch_sampler->size();
  const std::int64_t n = share(options_, samples(*dataset_, options_)), b = options_.batch_size;
  return n / b + (options_.drop_last || n % b == 0 ? 0 : 1);
}

DataLoader::Epoch DataLoader::epoch(std::uint64_t number, std::int64_t first_batch) const {
  check(first_batch >= 0 && first_batch <= size(), "DataLoader: first batch ", first_batch, " of ", size());
  auto state = std::make_unique<DataLoader::Epoch::State>();
  state->dataset = dataset_;
  state->options = options_;
  state->number = number;
  state->next = state->claimed = first_batch;
  state->batches = size();
  state->slots.resize(static_cast<std::size_t>(std::min(options_.prefetch, state->batches)));
  Generator generator = derived(options_.seed, number, 0);
  state->order = batch_order(*dataset_, options_, generator);
  check_order(state->order, state->batches, dataset_->size());
  return Epoch(std::move(state));
}

}  // namespace karyon
