// Elements at indices along a dimension: a thread moves one.
#include <karyon/core/kernels/pick.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/launch.cuh>

namespace karyon::cuda {
namespace {

constexpr int pick_threads = 256;

// Between the places of the indices and the elements of [outer, n, inner] that they name.
template <bool forward, class T>
__global__ void __launch_bounds__(pick_threads)
    move_kernel(std::int64_t count, std::int64_t n, std::int64_t k, std::int64_t inner,
                const std::int64_t* index, const T* from, T* to) {
  const std::int64_t i = std::int64_t{blockIdx.x} * pick_threads + threadIdx.x;
  if (i >= count) return;
  const std::int64_t named = (i / (k * inner) * n + index[i]) * inner + i % inner;
  if constexpr (forward) {
    to[i] = from[named];
  } else {
    to[named] = from[i];
  }
}
template <bool forward>
void move(const Tensor& whole, const Tensor& index, const Tensor& from, Tensor& to) {
  dispatch_width(from.dtype(), [&]<class T>() {
    launch(move_kernel<forward, T>, grid_for(index.numel(), pick_threads), pick_threads, 0, index.numel(),
           whole.size(1), index.size(1), index.size(2), index.data<std::int64_t>(),
           static_cast<const T*>(from.data_ptr()), static_cast<T*>(to.data_ptr()));
  });
}
void pick(const Tensor& x, const Tensor& index, Tensor& y) { move<true>(x, index, x, y); }
void put(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const std::size_t bytes = static_cast<std::size_t>(dx.numel()) * element_size(dx.dtype());
  if (bytes == 0) return;
  KARYON_CUDA_CHECK(cudaMemsetAsync(dx.data_ptr(), 0, bytes, context().stream));
  move<false>(dx, index, dy, dx);
}

}  // namespace

void register_pick_kernels(KernelTable& table) {
  table.add<decltype(kernels::pick), pick>("pick");
  table.add<decltype(kernels::put), put>("put");
}

}  // namespace karyon::cuda
