#include <atomic>
#include <map>
#include <memory>
#include <mutex>

#include <karyon/core/storage.h>
#include <karyon/core/weight_cache.h>

namespace karyon {
namespace {

constexpr std::size_t most_bytes = std::size_t{256} << 20;
std::atomic<std::size_t> bytes_kept{0};

// The packed forms of one storage's contents.
class PackedFilters {
 public:
  explicit PackedFilters(std::uint64_t version) : version_(version) {}
  ~PackedFilters() { bytes_kept.fetch_sub(bytes_); }

  std::uint64_t version() const { return version_; }
  bool note(const FilterKey& key) {
    const std::lock_guard lock(mutex_);
    return !entries_.try_emplace(key).second;
  }
  Tensor find(const FilterKey& key) const {
    const std::lock_guard lock(mutex_);
    const auto entry = entries_.find(key);
    return entry == entries_.end() ? Tensor() : entry->second;
  }
  void add(const FilterKey& key, const Tensor& packed) {
    const std::size_t bytes = packed.impl()->storage->bytes();
    const std::lock_guard lock(mutex_);
    Tensor& entry = entries_[key];
    if (entry.defined()) return;  // another thread was faster
    if (bytes_kept.fetch_add(bytes) + bytes > most_bytes) {
      bytes_kept.fetch_sub(bytes);
      return;
    }
    bytes_ += bytes;
    entry = packed;
  }

 private:
  const std::uint64_t version_;  // version of the contents
  mutable std::mutex mutex_;
  std::size_t bytes_ = 0;
  std::map<FilterKey, Tensor> entries_;  // an undefined tensor: asked for, but not kept
};

std::shared_ptr<PackedFilters> kept_of(const Tensor& weight) {
  Storage& storage = *weight.impl()->storage;
  const std::uint64_t version = storage.version();
  auto kept = storage.cache<PackedFilters>();
  if (!kept || kept->version() != version) {
    kept = std::make_shared<PackedFilters>(version);
    storage.set_cache(kept);
  }
  return kept;
}

}  // namespace

bool used_before(const Tensor& weight, const FilterKey& key) { return kept_of(weight)->note(key); }

Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make) {
  const std::shared_ptr<PackedFilters> kept = kept_of(weight);
  if (Tensor packed = kept->find(key); packed.defined()) return packed;
  Tensor packed = make();
  kept->add(key, packed);
  return packed;
}

}  // namespace karyon
