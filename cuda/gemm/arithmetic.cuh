// The arithmetic of the matrix product of gemm.cu, which reads slices.
//
// One object per thread holds its part of a warp's tile of C: sum[i][j] belongs to row(i), column(j) of the
// tile. Columns come in runs of `run` neighbours.
#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>
#include <karyon/cuda/gemm/slice.cuh>
#include <karyon/cuda/scalar.cuh>

namespace karyon::cuda {

/// f32 by fused multiply-add: lanes of a warp stand 4 by 8, each has 8 rows and a quarter (an eighth) of the
/// columns.
template <class TileType, Order order_a, Order order_b>
class Fma {
 public:
  using Element = float;
  static constexpr int threads = 384;
  static constexpr int height = TileType::warp_rows / 4, width = TileType::warp_columns / 8;
  static constexpr int run = order_b == Order::k_outer ? 4 : 1;
  float sum[height][width] = {};

  __device__ Fma(int row, int column) : row_(row), column_(column) {}

  __device__ static int row(int i) { return place<order_a, 4>(lane() / 8, i); }
  __device__ static int column(int j) { return place<order_b, 8>(lane() % 8, j); }

  __device__ void step(const float* a, const float* b) {
#pragma unroll 1  // unrolled, the compiler fetches it all beforehand, into more registers than there are
    for (int k = 0; k < slice_k<float>; k += depth) {
      float x[height][depth], y[width][depth];
      fetch<order_a, TileType::rows, 4>(a, row_, lane() / 8, k, x);
      fetch<order_b, TileType::columns, 8>(b, column_, lane() % 8, k, y);
#pragma unroll
      for (int q = 0; q < depth; ++q)
#pragma unroll
        for (int i = 0; i < height; ++i)
#pragma unroll
          for (int j = 0; j < width; ++j) sum[i][j] = fmaf(x[i][q], y[j][q], sum[i][j]);
    }
  }

 private:
  static constexpr int depth = 2;  // values of k at a time

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }

  // The i-th row that lane `t` of `lanes` has: neighbours where a float4 holds rows, else `lanes` apart.
  template <Order order, int lanes>
  __device__ static int place(int t, int i) {
    return order == Order::k_inner ? t + lanes * i : (i / 4 * lanes + t) * 4 + i % 4;
  }

  // Rows first + place(t, .), `depth` values of k each.
  template <Order order, int rows, int lanes, int count>
  __device__ static void fetch(const float* slice, int first, int t, int k, float (&out)[count][depth]) {
    using S = Slice<float, order, rows>;
    if constexpr (order == Order::k_inner) {
#pragma unroll
      for (int i = 0; i < count; ++i)
        load_vector<float, depth>(slice + S::at(first + place<order, lanes>(t, i), k), out[i]);
    } else {
#pragma unroll
      for (int q = 0; q < depth; ++q)
#pragma unroll
        for (int i = 0; i < count; i += 4) {
          float v[4];
          load_vector<float, 4>(slice + S::at(k + q, first + place<order, lanes>(t, i)), v);
#pragma unroll
          for (int r = 0; r < 4; ++r) out[i + r][q] = v[r];
        }
    }
  }

  int row_, column_;
};

/// Four 8 x 8 matrices of 16-bit elements, one per register; each lane gives the address of a line of 8.
template <bool transposed>
__device__ inline void load_matrices(unsigned (&out)[4], const void* line) {
  const auto address = static_cast<unsigned>(__cvta_generic_to_shared(line));
  if constexpr (transposed) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  } else {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0, %1, %2, %3}, [%4];"
                 : "=r"(out[0]), "=r"(out[1]), "=r"(out[2]), "=r"(out[3])
                 : "r"(address)
                 : "memory");
  }
}

// What tensor-core arithmetic shares: a lane's place in the 16 x 8 blocks of C.
template <class TileType>
class MmaTile {
 public:
  static constexpr int height = TileType::warp_rows / 8, width = TileType::warp_columns / 4, run = 2;
  float sum[height][width] = {};

  __device__ static int lane() { return static_cast<int>(threadIdx.x) % 32; }
  __device__ static int row(int i) { return lane() / 4 + 8 * i; }
  __device__ static int column(int j) { return lane() % 4 * 2 + j / 2 * 8 + j % 2; }
};

/// bf16 on tensor cores, sums in f32. Nothing before sm_80 has it.
template <class TileType, Order order_a, Order order_b>
class Bf16Mma : public MmaTile<TileType> {
 public:
  using Element = BFloat16;
  static constexpr int threads = 512;
  using MmaTile<TileType>::sum, MmaTile<TileType>::lane;

  __device__ Bf16Mma(int row, int column) : row_(row), column_(column) {}

  __device__ void step(const BFloat16* a, const BFloat16* b) {
    using A = Slice<BFloat16, order_a, TileType::rows>;
    using B = Slice<BFloat16, order_b, TileType::columns>;
    // Lines 0..7 of the four matrices: for A rows 0, 8 (k 0), then rows 0, 8 (k 8); for B k 0, 8 (columns 0),
    // then k 0, 8 (columns 8).
    const int line = lane() % 8, second = lane() / 8 % 2 * 8, third = lane() / 16 * 8;
#pragma unroll
    for (int k = 0; k < slice_k<BFloat16>; k += 16) {
      unsigned x[blocks_m][4], y[blocks_n / 2][4];
#pragma unroll
      for (int i = 0; i < blocks_m; ++i) {
        const int row = row_ + 16 * i;
        if constexpr (order_a == Order::k_inner) {
          load_matrices<false>(x[i], a + A::at(row + line + second, k + third));
        } else {
          load_matrices<true>(x[i], a + A::at(k + line + third, row + second));
        }
      }
#pragma unroll
      for (int j = 0; j < blocks_n / 2; ++j) {
        const int column = column_ + 16 * j;
        if constexpr (order_b == Order::k_inner) {
          load_matrices<false>(y[j], b + B::at(column + line + third, k + second));
        } else {
          load_matrices<true>(y[j], b + B::at(k + line + second, column + third));
        }
      }
#pragma unroll
      for (int i = 0; i < blocks_m; ++i)
#pragma unroll
        for (int j = 0; j < blocks_n; ++j) multiply(i, j, x[i], y[j / 2][j % 2 * 2], y[j / 2][j % 2 * 2 + 1]);
    }
  }

 private:
  static constexpr int blocks_m = TileType::warp_rows / 16, blocks_n = TileType::warp_columns / 8;

  __device__ void multiply(int i, int j, const unsigned (&a)[4], unsigned b0, unsigned b1) {
#if __CUDA_ARCH__ >= 800
    float &c0 = sum[2 * i][2 * j], &c1 = sum[2 * i][2 * j + 1];
    float &c2 = sum[2 * i + 1][2 * j], &c3 = sum[2 * i + 1][2 * j + 1];
    asm volatile(
        "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));
#else
    __trap();  // the host refuses before it comes to this
#endif
  }

  int row_, column_;
};

/// f32 rounded to TF32 (10 bits of fraction) on tensor cores, sums in f32.
template <class TileType, Order order_a, Order order_b>
class Tf32Mma : public MmaTile<TileType> {
 public:
  using Element = float;
  static constexpr int threads = 384;
  using MmaTile<TileType>::sum, MmaTile<TileType>::lane;

  __device__ Tf32Mma(int row, int column) : row_(row), column_(column) {}

  __device__ void step(const float* a, const float* b) {
    const int outer = lane() / 4, inner = lane() % 4;
#pragma unroll 1
    for (int k = 0; k < slice_k<float>; k += 8) {
      unsigned x[blocks_m][4], y[blocks_n][2];
#pragma unroll
      for (int i = 0; i < blocks_m; ++i)
#pragma unroll
        for (int q = 0; q < 4; ++q)
          x[i][q] =
              fetch<order_a, TileType::rows>(a, row_ + 16 * i + outer + q % 2 * 8, k + inner + q / 2 * 4);
#pragma unroll
      for (int j = 0; j < blocks_n; ++j)
#pragma unroll
        for (int q = 0; q < 2; ++q)
          y[j][q] = fetch<order_b, TileType::columns>(b, column_ + 8 * j + outer, k + inner + q * 4);
#pragma unroll
      for (int i = 0; i < blocks_m; ++i)
#pragma unroll
        for (int j = 0; j < blocks_n; ++j) multiply(i, j, x[i], y[j]);
    }
  }

 private:
  static constexpr int blocks_m = TileType::warp_rows / 16, blocks_n = TileType::warp_columns / 8;

  template <Order order, int rows>
  __device__ static unsigned fetch(const float* slice, int row, int k) {
    using S = Slice<float, order, rows>;
    const float v = slice[order == Order::k_inner ? S::at(row, k) : S::at(k, row)];
#if __CUDA_ARCH__ >= 800
    unsigned rounded;
    asm("cvt.rna.tf32.f32 %0, %1;" : "=r"(rounded) : "f"(v));
    return rounded;
#else
    return __float_as_uint(v);
#endif
  }

  __device__ void multiply(int i, int j, const unsigned (&a)[4], const unsigned (&b)[2]) {
#if __CUDA_ARCH__ >= 800
    float &c0 = sum[2 * i][2 * j], &c1 = sum[2 * i][2 * j + 1];
    float &c2 = sum[2 * i + 1][2 * j], &c3 = sum[2 * i + 1][2 * j + 1];
    asm volatile(
        "mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3)
        : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
#else
    __trap();
#endif
  }

  int row_, column_;
};

}  // namespace karyon::cuda
