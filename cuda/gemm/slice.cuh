// Slices of A and B in shared memory: what a tile of gemm.cu multiplies at a time, and the copies that fill
// them.
//
// Slices keep the order of global memory (nothing is transposed on the way in), in chunks of 16 bytes that
// are swizzled within 128, so that neither the copies nor the reads of any arithmetic (fma, mma on bf16 or
// TF32) meet twice in a bank.
#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>

namespace karyon::cuda {

/// Which index is contiguous in memory, and so in a slice: k, or the row of A (the column of B).
enum class Order { k_inner, k_outer };

/// 16 bytes: what one lane moves at a time.
constexpr int chunk_bytes = 16;
template <class T>
constexpr int chunk_elements = chunk_bytes / static_cast<int>(sizeof(T));
/// Elements of k in one slice: 64 bytes.
template <class T>
constexpr int slice_k = 4 * chunk_elements<T>;

template <int m, int n, int warp_m, int warp_n>
struct Tile {
  static constexpr int rows = m, columns = n, warp_rows = warp_m, warp_columns = warp_n;
  static constexpr int warps = m / warp_m * (n / warp_n), threads = 32 * warps;
};
using LargeTile = Tile<128, 128, 32, 64>;
using MediumTile = Tile<64, 64, 32, 32>;
using NarrowTile = Tile<128, 32, 32, 32>;
using ShortTile = Tile<32, 128, 32, 32>;

/// Fills 16 bytes (`bytes` = 16) or 4 of shared memory from global memory, or with zeros if not `valid`.
template <int bytes>
__device__ inline void copy_async(void* to, const void* from, bool valid) {
#if __CUDA_ARCH__ >= 800
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(to));
  if constexpr (bytes == 16) {
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(address), "l"(from),
                 "r"(valid ? 16 : 0)
                 : "memory");
  } else {
    asm volatile("cp.async.ca.shared.global [%0], [%1], 4, %2;" ::"r"(address), "l"(from), "r"(valid ? 4 : 0)
                 : "memory");
  }
#else
  if constexpr (bytes == 16) {
    *static_cast<uint4*>(to) = valid ? *static_cast<const uint4*>(from) : uint4{0, 0, 0, 0};
  } else {
    *static_cast<unsigned*>(to) = valid ? *static_cast<const unsigned*>(from) : 0u;
  }
#endif
}
__device__ inline void commit_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.commit_group;" ::: "memory");
#endif
}
/// Until all but the last `pending` commits of this thread have arrived.
template <int pending>
__device__ inline void wait_copies() {
#if __CUDA_ARCH__ >= 800
  asm volatile("cp.async.wait_group %0;" ::"n"(pending) : "memory");
#endif
}

template <class T>
__device__ inline void copy_element(T* to, const T* from, bool valid) {
  if constexpr (sizeof(T) == 4) {
    copy_async<4>(to, from, valid);
  } else {
    *to = valid ? *from : T{};
  }
}

/// Where a slice of `rows` rows keeps its elements. Chunks are permuted within 128 bytes: see the file's
/// head.
template <class T, Order order, int rows>
struct Slice {
  static constexpr int bytes = rows * 4 * chunk_bytes;
  /// Chunks per line: a line is one row (k_inner) or one k (k_outer).
  static constexpr int line_chunks = order == Order::k_inner ? 4 : rows / chunk_elements<T>;
  static constexpr int lines = rows * 4 / line_chunks;

  __device__ static int swizzle(int line) {
    if constexpr (line_chunks == 4) return line >> 1 & 3;
    // Reads of bf16 take 8 lines of one chunk; those of TF32 4 lines of two chunks.
    return sizeof(T) == 2 ? line & 7 : (line & 3) << 1;
  }
  /// The offset of element `within` of a line; `within` counts k (k_inner) or rows (k_outer).
  __device__ static int at(int line, int within) {
    constexpr int e = chunk_elements<T>;
    return (line * line_chunks + ((within / e) ^ swizzle(line))) * e + within % e;
  }
};

}  // namespace karyon::cuda
