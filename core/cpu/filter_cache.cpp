#include <atomic>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include <karyon/core/cpu/filter_cache.h>

namespace karyon::cpu {
namespace {

constexpr std::size_t most_bytes = std::size_t{256} << 20;
std::atomic<std::size_t> bytes_kept{0};

// The packed forms of one storage's contents.
class Kept : public Derived {
 public:
  explicit Kept(std::uint64_t version) : version_(version) {}
  ~Kept() override { bytes_kept.fetch_sub(bytes_); }

  std::uint64_t version() const { return version_; }
  Tensor find(const FilterKey& key) const {
    const std::lock_guard lock(mutex_);
    for (const auto& [known, packed] : entries_)
      if (known == key) return packed;
    return {};
  }
  void add(const FilterKey& key, const Tensor& packed) {
    const std::size_t bytes = packed.impl()->storage->bytes();
    const std::lock_guard lock(mutex_);
    for (const auto& entry : entries_)
      if (entry.first == key) return;  // another thread was faster
    if (bytes_kept.fetch_add(bytes) + bytes > most_bytes) {
      bytes_kept.fetch_sub(bytes);
      return;
    }
    bytes_ += bytes;
    entries_.emplace_back(key, packed);
  }

 private:
  const std::uint64_t version_;  // of the contents
  mutable std::mutex mutex_;
  std::size_t bytes_ = 0;
  std::vector<std::pair<FilterKey, Tensor>> entries_;
};

}  // namespace

Tensor kept_filters(const Tensor& weight, const FilterKey& key, const std::function<Tensor()>& make) {
  Storage& storage = *weight.impl()->storage;
  const std::uint64_t version = storage.version();
  auto kept = std::dynamic_pointer_cast<Kept>(storage.derived());
  if (!kept || kept->version() != version) {
    kept = std::make_shared<Kept>(version);
    storage.keep_derived(kept);
  }
  if (Tensor packed = kept->find(key); packed.defined()) return packed;
  Tensor packed = make();
  kept->add(key, packed);
  return packed;
}

}  // namespace karyon::cpu
