#pragma once
#include <cstdint>
#include <type_traits>

#include <karyon/core/tensor.h>
#include <karyon/cuda/context.h>
#include <karyon/cuda/error.h>

// Tools to write and launch kernels.
namespace karyon::cuda {

inline constexpr int warp_size = 32;

template <class T>
__host__ __device__ constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

/// Launches on the calling thread's stream; an empty grid is no work. Throws Error if the launch is refused.
template <class... Params, class... Args>
void launch(void (*kernel)(Params...), dim3 grid, dim3 block, std::size_t shared_bytes, Args&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  constexpr std::size_t without_asking = 48 << 10;
  if (shared_bytes > without_asking)
    KARYON_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                           static_cast<int>(shared_bytes)));
  kernel<<<grid, block, shared_bytes, context().stream>>>(static_cast<Params>(args)...);
  KARYON_CUDA_CHECK(cudaGetLastError());
}

/// Blocks for n items at per_block each; 0 for none.
inline unsigned grid_for(std::int64_t n, std::int64_t per_block) {
  const std::int64_t blocks = ceil_div(n, per_block);
  check(blocks <= 0x7fffffff, "cuda: ", n, " items are more than one launch takes");
  return static_cast<unsigned>(blocks);
}

/// Throws Error unless x is f32, the one type that `op` computes in here.
inline void check_f32(const char* op, const Tensor& x) {
  check(x.dtype() == f32, op, ": expects f32 on cuda, got ", x.dtype());
}

/// f.template operator()<T>() with an unsigned type as wide as the dtype: values that only move need no
/// other.
template <class F>
void dispatch_width(DType dtype, F f) {
  switch (element_size(dtype)) {
    case 1: return f.template operator()<std::uint8_t>();
    case 2: return f.template operator()<std::uint16_t>();
    case 4: return f.template operator()<std::uint32_t>();
    default: return f.template operator()<std::uint64_t>();
  }
}

/// N values that are read or written at once; N * sizeof(T) is 16 or less.
template <class T, int N>
struct alignas(sizeof(T) * N) Vec {
  T values[N];
  __device__ constexpr T& operator[](int i) { return values[i]; }
  __device__ constexpr const T& operator[](int i) const { return values[i]; }
};
template <int N, class T>
__device__ Vec<T, N> load(const T* from) {
  return *reinterpret_cast<const Vec<T, N>*>(from);
}
template <int N, class T>
__device__ void store(T* to, const Vec<T, N>& value) {
  *reinterpret_cast<Vec<T, N>*>(to) = value;
}

/// True if all the pointers lie on a multiple of `bytes`.
template <class... P>
bool aligned(std::size_t bytes, const P*... pointers) {
  return (... && (reinterpret_cast<std::uintptr_t>(pointers) % bytes == 0));
}

// ---- reductions, in a fixed order: the same bits every time ----

struct Plus {
  template <class T>
  __device__ T operator()(T a, T b) const {
    return a + b;
  }
};

/// All lanes of a full warp get op over the values of all. Halves are combined in the same order in every
/// lane.
template <class T, class Op>
__device__ T warp_reduce(T value, Op op) {
#pragma unroll
  for (int step = warp_size / 2; step > 0; step /= 2) value = op(value, __shfl_xor_sync(~0u, value, step));
  return value;
}

/// Thread 0 gets op over the values of all threads of a one-dimensional block; the result of the others is
/// unspecified. Threads is a multiple of 32 and at most 1024. It may be called again at once.
template <int Threads, class T, class Op>
__device__ T block_reduce(T value, Op op) {
  static_assert(Threads % warp_size == 0 && Threads <= 1024);
  constexpr int warps = Threads / warp_size;
  value = warp_reduce(value, op);
  if constexpr (warps > 1) {
    __shared__ T parts[warps];
    const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
    if (lane == 0) parts[warp] = value;
    __syncthreads();
    value = parts[0];
#pragma unroll
    for (int w = 1; w < warps; ++w) value = op(value, parts[w]);
    __syncthreads();
  }
  return value;
}

}  // namespace karyon::cuda
