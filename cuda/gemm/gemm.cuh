// The pieces of the matrix product of gemm.cu: slices of shared memory, loaders that fill them, arithmetic
// that reads them.
//
// Slices keep the order of global memory (nothing is transposed on the way in), in chunks of 16 bytes that
// are swizzled within 128, so that neither the copies nor the reads of any arithmetic (fma, mma on bf16 or
// TF32) meet twice in a bank.
#pragma once
#include <cstdint>

#include <karyon/core/dtype.h>
#include <karyon/cuda/gemm/gemm.h>
#include <karyon/cuda/scalar.cuh>

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

// ---- loaders ----
//
// A loader is made once per thread and fills the slice at k0 on each call. A convolution is a product whose A
// is gathered, never written down ("implicit GEMM"): taps outside of the image are chunks of zeros. Chunks of
// a slice are dealt to threads by line, so that neighbouring lanes read neighbouring chunks. `vector` says
// that every chunk is whole and aligned; otherwise elements are copied one by one.

template <class T>
struct PixelOf {
  const T* image;
  int row, column;
  __device__ PixelOf(const Patches& p, const T* data, int number) {
    int rest;
    image = data + p.out_image.divide(number, rest) * p.image;
    int x;
    const int y = p.out_w.divide(rest, x);
    row = y * p.stride_h + p.base_h;
    column = x * p.stride_w + p.base_w;
  }
};

struct Tap {
  int row, column, channel;
  __device__ Tap(const Patches& p, int number) {
    int x;
    const int tap = p.depth.divide(number, channel), y = p.taps_w.divide(tap, x);
    row = y * p.step_h;
    column = x * p.step_w;
  }
};

/// Where a pixel and a tap meet, or nullptr outside of the image.
template <class T>
__device__ inline const T* meet(const Patches& p, const T* image, int row, int column, int channel) {
  const bool inside = static_cast<unsigned>(row) < static_cast<unsigned>(p.h) &&
                      static_cast<unsigned>(column) < static_cast<unsigned>(p.w);
  return inside ? image + ((row * p.w + column) * p.pixel + channel) : nullptr;
}

template <class T>
__device__ inline void copy_chunk(T* to, const T* from, const T* somewhere) {
  copy_async<chunk_bytes>(to, from ? from : somewhere, from != nullptr);
}

/// Lines of a slice are pixels, k runs over taps and channels: forward and backward-data convolution, and the
/// rows of a plain matrix.
template <class T, int rows, int threads>
class PatchLoader {
 public:
  using Params = Patches;
  static constexpr Order order = Order::k_inner;
  using SliceType = Slice<T, order, rows>;

  __device__ PatchLoader(const Patches& p, std::int64_t offset, int first, int end, int k_end)
      : p_(p), data_(static_cast<const T*>(p.data) + offset), k_end_(k_end) {
#pragma unroll
    for (int i = 0; i < passes; ++i) {
      const int number = first + line(i);
      const PixelOf<T> pixel(p, data_, min(number, end - 1));
      image_[i] = pixel.image;
      row_[i] = number < end ? pixel.row : outside;
      column_[i] = pixel.column;
    }
  }

  __device__ void load(int k0, T* slice) const {
    const int chunk = static_cast<int>(threadIdx.x) % 4;
    if (p_.vector) {
      const int within = chunk * chunk_elements<T>, k = k0 + within;
      const Tap tap(p_, k);
#pragma unroll
      for (int i = 0; i < passes; ++i) {
        const T* from = k < k_end_
                            ? meet(p_, image_[i], row_[i] + tap.row, column_[i] + tap.column, tap.channel)
                            : nullptr;
        copy_chunk(slice + SliceType::at(line(i), within), from, data_);
      }
    } else {
#pragma unroll 1
      for (int e = 0; e < chunk_elements<T>; ++e) {
        const int within = e * 4 + chunk, k = k0 + within;
        const Tap tap(p_, k);
#pragma unroll
        for (int i = 0; i < passes; ++i) {
          const T* from = k < k_end_
                              ? meet(p_, image_[i], row_[i] + tap.row, column_[i] + tap.column, tap.channel)
                              : nullptr;
          copy_element(slice + SliceType::at(line(i), within), from ? from : data_, from != nullptr);
        }
      }
    }
  }

 private:
  static constexpr int passes = rows * 4 / threads, outside = -(1 << 30);
  __device__ static int line(int pass) { return static_cast<int>(threadIdx.x) / 4 + pass * (threads / 4); }

  const Patches& p_;
  const T* data_;
  const T* image_[passes];
  int row_[passes], column_[passes], k_end_;
};

/// Lines are rows of a matrix: the filters of a forward convolution.
template <class T, int rows, int threads>
class RowLoader {
 public:
  using Params = Rows;
  static constexpr Order order = Order::k_inner;
  using SliceType = Slice<T, order, rows>;

  __device__ RowLoader(const Rows& p, std::int64_t offset, int first, int end, int k_end)
      : p_(p), data_(static_cast<const T*>(p.data) + offset), first_(first), end_(end), k_end_(k_end) {}

  __device__ void load(int k0, T* slice) const {
    const int chunk = static_cast<int>(threadIdx.x) % 4;
#pragma unroll
    for (int i = 0; i < passes; ++i) {
      const int line = static_cast<int>(threadIdx.x) / 4 + i * (threads / 4), row = first_ + line;
      const T* from = data_ + min(row, end_ - 1) * p_.stride;
      if (p_.vector) {
        const int within = chunk * chunk_elements<T>, k = k0 + within;
        copy_chunk(slice + SliceType::at(line, within), row < end_ && k < k_end_ ? from + k : nullptr, data_);
      } else {
#pragma unroll 1
        for (int e = 0; e < chunk_elements<T>; ++e) {
          const int within = e * 4 + chunk, k = k0 + within;
          const bool valid = row < end_ && k < k_end_;
          copy_element(slice + SliceType::at(line, within), valid ? from + k : data_, valid);
        }
      }
    }
  }

 private:
  static constexpr int passes = rows * 4 / threads;
  const Rows& p_;
  const T* data_;
  int first_, end_, k_end_;
};

/// Lines are values of k; what is contiguous is the other index: filters of backward-data, the output's
/// gradient of backward-weight, plain matrices.
template <class T, int rows, int threads>
class TapRowLoader {
 public:
  using Params = TapRows;
  static constexpr Order order = Order::k_outer;
  using SliceType = Slice<T, order, rows>;

  __device__ TapRowLoader(const TapRows& p, std::int64_t offset, int first, int end, int k_end)
      : p_(p), data_(static_cast<const T*>(p.data) + offset), first_(first), end_(end), k_end_(k_end) {}

  __device__ void load(int k0, T* slice) const {
    constexpr int chunks = SliceType::line_chunks, passes = SliceType::lines * chunks / threads;
    const int chunk = static_cast<int>(threadIdx.x) % chunks;
#pragma unroll
    for (int i = 0; i < passes; ++i) {
      const int line = static_cast<int>(threadIdx.x) / chunks + i * (threads / chunks), k = k0 + line;
      int channel, x;
      const int tap = p_.depth.divide(k, channel), y = p_.taps_w.divide(tap, x);
      const T* from = data_ + channel * p_.stride + (p_.first + y * p_.step_h + x * p_.step_w + first_);
      if (p_.vector) {
        const int within = chunk * chunk_elements<T>;
        copy_chunk(slice + SliceType::at(line, within),
                   k < k_end_ && first_ + within < end_ ? from + within : nullptr, data_);
      } else {
#pragma unroll 1
        for (int e = 0; e < chunk_elements<T>; ++e) {
          const int within = e * chunks + chunk;
          const bool valid = k < k_end_ && first_ + within < end_;
          copy_element(slice + SliceType::at(line, within), valid ? from + within : data_, valid);
        }
      }
    }
  }

 private:
  const TapRows& p_;
  const T* data_;
  int first_, end_, k_end_;
};

/// Lines are pixels and k counts them; the columns are taps and channels: the input of backward-weight.
template <class T, int rows, int threads>
class PatchColumnLoader {
 public:
  using Params = Patches;
  static constexpr Order order = Order::k_outer;
  using SliceType = Slice<T, order, rows>;

  __device__ PatchColumnLoader(const Patches& p, std::int64_t offset, int first, int end, int k_end)
      : p_(p), data_(static_cast<const T*>(p.data) + offset), first_(first), end_(end), k_end_(k_end) {}

  __device__ void load(int k0, T* slice) const {
    constexpr int chunks = SliceType::line_chunks, passes = SliceType::lines * chunks / threads;
    const int chunk = static_cast<int>(threadIdx.x) % chunks;
    const Tap tap(p_, first_ + chunk * chunk_elements<T>);
#pragma unroll
    for (int i = 0; i < passes; ++i) {
      const int line = static_cast<int>(threadIdx.x) / chunks + i * (threads / chunks), k = k0 + line;
      const PixelOf<T> pixel(p_, data_, min(k, k_end_ - 1));
      auto find = [&](int within, const Tap& t) -> const T* {
        return k < k_end_ && first_ + within < end_
                   ? meet(p_, pixel.image, pixel.row + t.row, pixel.column + t.column, t.channel)
                   : nullptr;
      };
      if (p_.vector) {
        const int within = chunk * chunk_elements<T>;
        copy_chunk(slice + SliceType::at(line, within), find(within, tap), data_);
      } else {
#pragma unroll 1
        for (int e = 0; e < chunk_elements<T>; ++e) {
          const int within = e * chunks + chunk;
          const T* from = find(within, Tap(p_, first_ + within));
          copy_element(slice + SliceType::at(line, within), from ? from : data_, from != nullptr);
        }
      }
    }
  }

 private:
  const Patches& p_;
  const T* data_;
  int first_, end_, k_end_;
};

// ---- arithmetic ----
//
// One object per thread holds its part of a warp's tile of C: sum[i][j] belongs to row(i), column(j) of the
// tile. Columns come in runs of `run` neighbours.

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
