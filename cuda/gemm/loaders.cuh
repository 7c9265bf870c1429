// The loaders of the matrix product of gemm.cu, which fill slices.
//
// A loader is made once per thread and fills the slice at k0 on each call. A convolution is a product whose A
// is gathered, never written down ("implicit GEMM"): taps outside of the image are chunks of zeros. Chunks of
// a slice are dealt to threads by line, so that neighbouring lanes read neighbouring chunks. `vector` says
// that every chunk is whole and aligned; otherwise elements are copied one by one.
#pragma once
#include <cstdint>

#include <karyon/cuda/gemm/gemm.h>
#include <karyon/cuda/gemm/slice.cuh>

namespace karyon::cuda {

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

}  // namespace karyon::cuda
