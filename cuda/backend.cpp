// The CUDA backend: memory, copies and the table of kernels, behind the two functions that core looks up.
#include <algorithm>
#include <cstring>
#include <string>

#include <karyon/core/cuda_plugin.h>
#include <karyon/cuda/allocator.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/conv/conv_cudnn.h>
#include <karyon/cuda/error.h>

namespace karyon::cuda {
namespace {

std::string version(int number) {
  return std::to_string(number / 1000) + "." + std::to_string(number % 1000 / 10);
}

// Throws Error if there is nothing to run on.
int device_count() {
  int count = 0, driver = 0;
  const cudaError_t status = cudaGetDeviceCount(&count);
  if (status == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess)
    check(false, "no CUDA device: the driver is for CUDA ", version(driver),
          ", this build needs one for CUDA ", version(CUDART_VERSION));
  check(status == cudaSuccess, "no CUDA device: ", cudaGetErrorString(status));
  check(count > 0, "no CUDA device");
  return count;
}

bool is_pinned(const void* data) {
  cudaPointerAttributes attributes{};
  KARYON_CUDA_CHECK(cudaPointerGetAttributes(&attributes, data));
  return attributes.type == cudaMemoryTypeHost || attributes.type == cudaMemoryTypeManaged;
}

class CudaBackend : public Backend {
 public:
  void* allocate(std::size_t bytes, int index) override {
    check(index == 0, "device cuda: tensors live on index 0, got ", index);
    return allocator().allocate(bytes);
  }
  void deallocate(void* data, std::size_t, int) noexcept override { allocator().deallocate(data); }

  // CUDA is done with pageable memory of the host when the call returns: what it reads is staged, what it writes
  // has arrived. With pinned memory it is not.
  void copy(void* dst, const void* src, std::size_t bytes) override {
    if (bytes == 0) return;
    const cudaStream_t stream = context().stream;
    KARYON_CUDA_CHECK(cudaMemcpyAsync(dst, src, bytes, cudaMemcpyDefault, stream));
    if (is_pinned(dst) || is_pinned(src)) KARYON_CUDA_CHECK(cudaStreamSynchronize(stream));
  }

  void synchronize(int) override {
    context();  // sets the current device of a new thread
    KARYON_CUDA_CHECK(cudaDeviceSynchronize());
  }

  MemoryStats memory_stats(int) const override { return allocator().stats(); }
  void reset_peak_memory_stats(int) override { allocator().reset_peak(); }
  void empty_cache() override { allocator().empty_cache(); }

  std::vector<DeviceInfo> devices() const override {
    std::vector<DeviceInfo> out;
    for (int i = 0; i < device_count(); ++i) {
      cudaDeviceProp properties{};
      KARYON_CUDA_CHECK(cudaGetDeviceProperties(&properties, i));
      out.push_back({.device = Device::cuda(i),
                     .name = std::string(properties.name) + ", compute capability " +
                             std::to_string(properties.major) + "." + std::to_string(properties.minor) +
                             ", " + cudnn_summary(),
                     .memory = properties.totalGlobalMem});
    }
    return out;
  }
};

KernelTable make_table() {
  KernelTable table;
  register_activation_kernels(table);
  register_attention_kernels(table);
  register_conv_kernels(table);
  register_copy_kernels(table);
  register_dropout_kernels(table);
  register_elementwise_kernels(table);
  register_function_kernels(table);
  register_grid_sample_kernels(table);
  register_index_kernels(table);
  register_layer_norm_kernels(table);
  register_layout_kernels(table);
  register_loss_kernels(table);
  register_loss_class_kernels(table);
  register_loss_pair_kernels(table);
  register_loss_region_kernels(table);
  register_matmul_kernels(table);
  register_mix_kernels(table);
  register_norm_kernels(table);
  register_optim_kernels(table);
  register_pick_kernels(table);
  register_pool_kernels(table);
  register_reduce_kernels(table);
  register_resize_kernels(table);
  register_rnn_kernels(table);
  register_scan_kernels(table);
  register_sort_kernels(table);
  register_statistics_kernels(table);
  return table;
}

const std::atomic<bool>* tf32 = nullptr;

void allow_tf32(const std::atomic<bool>& setting) { tf32 = &setting; }

Backend* open() {
  device_count();
  check_code();
  return new CudaBackend;  // outlives every tensor
}

}  // namespace

bool tf32_allowed() { return tf32 && *tf32; }

}  // namespace karyon::cuda

#define KARYON_EXPORT extern "C" __attribute__((visibility("default")))

KARYON_EXPORT karyon::Backend* karyon_cuda_open(const char* abi,
                                                const karyon::cuda_plugin::Settings& settings, char* why,
                                                std::size_t size) {
  try {
    karyon::check(std::strcmp(abi, KARYON_CUDA_ABI) == 0,
                  "libkaryon_cuda.so is of another build: ", KARYON_CUDA_ABI, ", not ", abi);
    karyon::cuda::allow_tf32(settings.tf32);
    return karyon::cuda::open();
  } catch (const std::exception& e) {
    const std::string_view text = e.what();
    const std::size_t length = std::min(text.size(), size - 1);
    std::copy_n(text.begin(), length, why);
    why[length] = '\0';
    return nullptr;
  }
}

KARYON_EXPORT auto karyon_cuda_kernel(const char* name) -> void (*)() {
  static const karyon::cuda::KernelTable table = karyon::cuda::make_table();
  return table.find(name);
}
