// A CUDA backend without a GPU: its memory is the CPU's, and it has one kernel. FAKE_CUDA=refuse takes the
// device away.
#include <karyon/core/cuda_plugin.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace karyon {
class Tensor;
}

namespace {

class FakeBackend : public karyon::Backend {
 public:
  void* allocate(std::size_t bytes, int) override {
    stats_.current += bytes;
    last_ = std::aligned_alloc(64, (bytes + 63) / 64 * 64);
    last_bytes_ = bytes;
    return last_;
  }
  void deallocate(void* data, std::size_t bytes, int) noexcept override {
    stats_.current -= bytes;
    std::free(data);
  }
  void copy(void* dst, const void* src, std::size_t bytes) override { std::memcpy(dst, src, bytes); }
  void synchronize(int) override {}
  karyon::MemoryStats memory_stats(int) const override { return stats_; }
  void reset_peak_memory_stats(int) override {}
  void empty_cache() override {}
  std::vector<karyon::DeviceInfo> devices() const override {
    return {{.device = karyon::Device::cuda(), .name = "fake", .memory = 1}};
  }
  void fill_last(float value) { std::fill_n(static_cast<float*>(last_), last_bytes_ / sizeof value, value); }

 private:
  karyon::MemoryStats stats_;
  void* last_ = nullptr;
  std::size_t last_bytes_ = 0;
};

FakeBackend& fake() {
  static FakeBackend backend;
  return backend;
}

// Of tensors it knows no more than that the last one is meant.
void fill(karyon::Tensor&, double value) { fake().fill_last(static_cast<float>(value)); }

}  // namespace

extern "C" {

karyon::Backend* karyon_cuda_open(const char* abi, const karyon::cuda_plugin::Settings&, char* why,
                                  std::size_t size) {
  const char* wish = std::getenv("FAKE_CUDA");
  if (!wish || std::string_view(wish) != "refuse") return &fake();
  std::snprintf(why, size, "no GPU today, for %zu bytes of %s", size, *abi ? "an ABI" : "nothing");
  return nullptr;
}

auto karyon_cuda_kernel(const char* name) -> void (*)() {
  return std::string_view(name) == "fill" ? reinterpret_cast<void (*)()>(fill) : nullptr;
}
}
