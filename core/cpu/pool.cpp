// Rows of output pixels are shared out among threads. Backward gathers: each row of dx is written by
// one chunk, which visits the output rows whose windows reach it, in order.
#include <algorithm>
#include <limits>
#include <memory>
#include <type_traits>
#include <vector>

#include <karyon/core/cpu/lazy_pixels.h>
#include <karyon/core/cpu/pool_rows.h>
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

using kernels::PoolWindow;

// Rows of `elements` each per chunk.
std::int64_t grain(std::int64_t elements) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, elements));
}

// An index as wide as T: a mask from comparing one can then select the other directly.
template <class T>
using Wide = std::conditional_t<sizeof(T) == 4, std::int32_t, std::int64_t>;

struct Range {
  std::int64_t begin, end;
};

// The positions k of a window at `start` whose element at start + k * dilation is inside [0, size).
Range inside(std::int64_t start, std::int64_t kernel, std::int64_t dilation, std::int64_t size) {
  return {start < 0 ? cpu::ceil_div(-start, dilation) : 0,
          start < size ? std::min(kernel, (size - 1 - start) / dilation + 1) : 0};
}
// The same for the windows of all columns: a kernel may be far larger than the image.
std::vector<Range> columns_inside(const PoolWindow& w, std::int64_t outputs, std::int64_t size) {
  std::vector<Range> columns;
  for (std::int64_t o = 0; o < outputs; ++o)
    columns.push_back(inside(o * w.stride.w - w.padding.w, w.kernel.w, w.dilation.w, size));
  return columns;
}

// The outputs o with o * stride - padding <= i <= o * stride - padding + reach.
Range outputs_over(std::int64_t i, std::int64_t reach, std::int64_t stride, std::int64_t padding,
                   std::int64_t outputs) {
  const std::int64_t first = i + padding - reach;
  return {first <= 0 ? 0 : cpu::ceil_div(first, stride), std::min(outputs, (i + padding) / stride + 1)};
}

template <class T, class I>
void max_tap(const T* __restrict x, std::int64_t c, I here, T* __restrict best, I* __restrict index) {
  for (std::int64_t k = 0; k < c; ++k) {
    const bool wins = (x[k] > best[k]) | (x[k] != x[k]);
    best[k] = wins ? x[k] : best[k];
    index[k] = wins ? here : index[k];
  }
}

// One output row of a 2 x 2 window with stride 2 and no padding; x0 and x1 are its two input rows.
template <class T>
void max_row_2x2(const T* __restrict x0, const T* __restrict x1, std::int64_t outputs, std::int64_t c,
                 T* __restrict y, std::uint8_t* __restrict index) {
  for (std::int64_t ox = 0; ox < outputs; ++ox) {
    const T *a = x0 + 2 * ox * c, *b = a + c, *d = x1 + 2 * ox * c, *e = d + c;
    for (std::int64_t k = 0; k < c; ++k) {
      T best = a[k];
      Wide<T> won = 0;
      const bool second = (b[k] > best) | (b[k] != b[k]);
      best = second ? b[k] : best;
      won = second ? 1 : won;
      const bool third = (d[k] > best) | (d[k] != d[k]);
      best = third ? d[k] : best;
      won = third ? 2 : won;
      const bool fourth = (e[k] > best) | (e[k] != e[k]);
      best = fourth ? e[k] : best;
      won = fourth ? 3 : won;
      y[ox * c + k] = best;
      index[ox * c + k] = static_cast<std::uint8_t>(won);
    }
  }
}

template <class T>
void max_pool_2x2(const Tensor& x, Tensor& y, Tensor& index) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const cpu::LazyPixels<T> from(x);  // a batch norm may be lazy: its rows are computed two at a time
  T* to = y.data<T>();
  std::uint8_t* won = index.defined() ? index.data<std::uint8_t>() : nullptr;
  parallel_for(out[0] * out[1], grain(in_row * 2), [&](std::int64_t b, std::int64_t e) {
    std::vector<std::uint8_t> unasked(won ? 0 : static_cast<std::size_t>(out_row));
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / out[1], oy = i - image * out[1];
      T* dst = to + i * out_row;
      std::uint8_t* tap = won ? won + i * out_row : unasked.data();
      T* rows = from.in_memory() ? nullptr : reinterpret_cast<T*>(cpu::scratch(2 * in_row, 0));
      const T* top = from.read((image * in[1] + 2 * oy) * in[2], 2 * in[2], rows);
      if constexpr (std::is_same_v<T, BFloat16>) {
        cpu::max_pool_row(top, top + in_row, out[2], c, dst, tap);
      } else {
        max_row_2x2(top, top + in_row, out[2], c, dst, tap);
      }
    }
  });
}

template <class T, class I>
void max_pool_typed(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& w) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const T* from = x.data<T>();
  T* to = y.data<T>();
  I* won = index.defined() ? index.data<I>() : nullptr;
  const std::vector<Range> columns = columns_inside(w, out[2], in[2]);
  const std::int64_t rows_apart = std::min(w.stride.h, in[1]);
  parallel_for(out[0] * out[1], grain(in_row * rows_apart), [&](std::int64_t b, std::int64_t e) {
    std::vector<I> unasked(won ? 0 : static_cast<std::size_t>(out_row));
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / out[1], oy = i - image * out[1];
      const std::int64_t top = oy * w.stride.h - w.padding.h;
      const Range rows = inside(top, w.kernel.h, w.dilation.h, in[1]);
      const T* src = from + image * in[1] * in_row;
      T* dst = to + i * out_row;
      I* tap = won ? won + i * out_row : unasked.data();
      for (std::int64_t ox = 0; ox < out[2]; ++ox, dst += c, tap += c) {
        bool any = false;
        std::fill(tap, tap + c, I(0));
        const Range across = columns[static_cast<std::size_t>(ox)];
        for (std::int64_t ky = rows.begin; ky < rows.end; ++ky) {
          const T* row = src + (top + ky * w.dilation.h) * in_row;
          for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
            const T* pixel = row + (ox * w.stride.w - w.padding.w + kx * w.dilation.w) * c;
            const I number = static_cast<I>(ky * w.kernel.w + kx);
            if (any) {
              max_tap(pixel, c, number, dst, tap);
            } else {
              std::copy(pixel, pixel + c, dst);
              std::fill(tap, tap + c, number);
              any = true;
            }
          }
        }
        // A dilated window can straddle the whole image.
        if (!any) std::fill(dst, dst + c, -std::numeric_limits<T>::infinity());
      }
    }
  });
}

void max_pool2d_cpu(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& window) {
  if (window.halves())
    return cpu::dispatch_mapped(x.dtype(), "max_pool2d", [&]<class T>() { max_pool_2x2<T>(x, y, index); });
  dispatch_floating(x.dtype(), "max_pool2d", [&]<class T>() {
    const bool bytes = window.kernel.h * window.kernel.w <= 256;
    (bytes ? max_pool_typed<T, std::uint8_t> : max_pool_typed<T, std::int64_t>)(x, y, index, window);
  });
}

// dx of one pixel and one tap: dy where this tap won.
template <class T, class I>
void add_where(const T* __restrict dy, const I* __restrict index, std::int64_t tap, std::int64_t c,
               T* __restrict dx) {
  using Number = std::conditional_t<(sizeof(I) > sizeof(T)), I, Wide<T>>;
  const Number here = static_cast<Number>(tap);
  for (std::int64_t k = 0; k < c; ++k) {
    const T d = dy[k];
    dx[k] += static_cast<Number>(index[k]) == here ? d : T(0);
  }
}

// One of the two rows of dx under a row of 2 x 2 windows, written once or added to.
template <bool add, class T>
void max_row_2x2_backward(const T* __restrict dy, const std::uint8_t* __restrict index, std::int64_t outputs,
                          std::int64_t c, T* __restrict dx, int row) {
  const int left = 2 * row, right = left + 1;
  for (std::int64_t ox = 0; ox < outputs; ++ox, dy += c, index += c, dx += 2 * c) {
    T* __restrict second = dx + c;
    for (std::int64_t k = 0; k < c; ++k) {
      const T d = dy[k];
      const Wide<T> won = index[k];
      const T one = won == left ? d : T(0), other = won == right ? d : T(0);
      dx[k] = add ? dx[k] + one : one;
      second[k] = add ? second[k] + other : other;
    }
  }
}

template <class T>
void max_pool_2x2_backward(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const T* from = dy.data<T>();
  const std::uint8_t* won = index.data<std::uint8_t>();
  T* to = dx.data<T>();
  parallel_for(in[0] * in[1], grain(in_row), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / in[1], iy = i - image * in[1];
      T* dst = to + i * in_row;
      if (iy / 2 == out[1]) {  // the last of an odd number of rows
        std::fill(dst, dst + in_row, T());
        continue;
      }
      const std::int64_t row = (image * out[1] + iy / 2) * out_row;
      if constexpr (std::is_same_v<T, BFloat16>) {
        cpu::max_pool_row_backward(from + row, won + row, out[2], c, static_cast<int>(iy % 2) * 2, dst);
      } else {
        max_row_2x2_backward<false>(from + row, won + row, out[2], c, dst, static_cast<int>(iy % 2));
      }
      std::fill(dst + 2 * out_row, dst + in_row, T());
    }
  });
}

template <class T>
void add_max_pool_2x2_backward(const Tensor& dy, const Tensor& index, Tensor& dx) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const T* from = dy.data<T>();
  const std::uint8_t* won = index.data<std::uint8_t>();
  T* to = dx.data<T>();
  parallel_for(in[0] * out[1], grain(2 * in_row), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      T* dst = to + (i / out[1] * in[1] + i % out[1] * 2) * in_row;
      for (int row = 0; row < 2; ++row) {
        T* to_row = dst + row * in_row;
        if constexpr (std::is_same_v<T, BFloat16>) {
          cpu::add_max_pool_row_backward(from + i * out_row, won + i * out_row, out[2], c, 2 * row, to_row);
        } else {
          max_row_2x2_backward<true>(from + i * out_row, won + i * out_row, out[2], c, to_row, row);
        }
      }
    }
  });
}

template <class T, class I>
void max_pool_backward_typed(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& w) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3], in_row = in[2] * c;
  const T* from = dy.data<T>();
  const I* won = index.data<I>();
  T* to = dx.data<T>();
  const std::vector<Range> columns = columns_inside(w, out[2], in[2]);
  parallel_for(in[0] * in[1], grain(in_row), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / in[1], iy = i - image * in[1];
      T* dst = to + i * in_row;
      std::fill(dst, dst + in_row, T(0));
      const Range rows = outputs_over(iy, w.dilation.h * (w.kernel.h - 1), w.stride.h, w.padding.h, out[1]);
      for (std::int64_t oy = rows.begin; oy < rows.end; ++oy) {
        const std::int64_t down = iy - (oy * w.stride.h - w.padding.h);
        if (down % w.dilation.h != 0) continue;
        for (std::int64_t ox = 0; ox < out[2]; ++ox) {
          const std::int64_t at = ((image * out[1] + oy) * out[2] + ox) * c;
          const Range across = columns[static_cast<std::size_t>(ox)];
          for (std::int64_t kx = across.begin; kx < across.end; ++kx) {
            const std::int64_t ix = ox * w.stride.w - w.padding.w + kx * w.dilation.w;
            add_where(from + at, won + at, down / w.dilation.h * w.kernel.w + kx, c, dst + ix * c);
          }
        }
      }
    }
  });
}

void max_pool2d_backward_cpu(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& window) {
  if (window.halves())
    return cpu::dispatch_mapped(dy.dtype(), "max_pool2d",
                                [&]<class T>() { max_pool_2x2_backward<T>(dy, index, dx); });
  dispatch_floating(dy.dtype(), "max_pool2d", [&]<class T>() {
    const bool bytes = index.dtype() == u8;
    (bytes ? max_pool_backward_typed<T, std::uint8_t> : max_pool_backward_typed<T, std::int64_t>)(dy, index,
                                                                                                  dx, window);
  });
}

// Windows of 2 x 2 have their own bf16 kernels.
void max_pool2d_any(const Tensor& x, Tensor& y, Tensor& index, const PoolWindow& window) {
  (window.halves() ? max_pool2d_cpu : cpu::widened<max_pool2d_cpu>)(x, y, index, window);
}
void max_pool2d_backward_any(const Tensor& dy, const Tensor& index, Tensor& dx, const PoolWindow& window) {
  (window.halves() ? max_pool2d_backward_cpu : cpu::widened<max_pool2d_backward_cpu>)(dy, index, dx, window);
}

void add_max_pool2d_backward_cpu(const Tensor& dy, const Tensor& index, Tensor& dx) {
  cpu::dispatch_mapped(dy.dtype(), "max_pool2d",
                       [&]<class T>() { add_max_pool_2x2_backward<T>(dy, index, dx); });
}

// The inputs each output averages along one dimension.
using Windows = std::vector<Range>;

Windows fixed_windows(std::int64_t size, std::int64_t outputs, std::int64_t kernel, std::int64_t stride,
                      std::int64_t padding) {
  Windows windows;
  for (std::int64_t o = 0; o < outputs; ++o) {
    const std::int64_t start = o * stride - padding;
    windows.push_back({std::max<std::int64_t>(start, 0), std::min(start + kernel, size)});
  }
  return windows;
}

Windows adaptive_windows(std::int64_t size, std::int64_t outputs) {
  Windows windows;
  for (std::int64_t o = 0; o < outputs; ++o)
    windows.push_back({o * size / outputs, cpu::ceil_div((o + 1) * size, outputs)});
  return windows;
}

// divisor: that of every window; 0 stands for the number of pixels that the window covers.
template <class T>
void average(const Tensor& x, Tensor& y, const Windows& rows, const Windows& columns, std::int64_t divisor) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t c = in[3];
  const T* from = x.data<T>();
  T* to = y.data<T>();
  const std::int64_t work = in[1] * in[2] * c / out[1];
  parallel_for(out[0] * out[1], grain(work), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / out[1];
      const Range vertical = rows[static_cast<std::size_t>(i - image * out[1])];
      for (std::int64_t ox = 0; ox < out[2]; ++ox) {
        const Range across = columns[static_cast<std::size_t>(ox)];
        T* __restrict dst = to + (i * out[2] + ox) * c;
        std::fill(dst, dst + c, T(0));
        for (std::int64_t iy = vertical.begin; iy < vertical.end; ++iy)
          for (std::int64_t ix = across.begin; ix < across.end; ++ix) {
            const T* __restrict src = from + ((image * in[1] + iy) * in[2] + ix) * c;
            for (std::int64_t k = 0; k < c; ++k) dst[k] += src[k];
          }
        const std::int64_t covered = (vertical.end - vertical.begin) * (across.end - across.begin);
        const T share = T(1) / static_cast<T>(divisor ? divisor : covered);
        for (std::int64_t k = 0; k < c; ++k) dst[k] *= share;
      }
    }
  });
}

template <class T>
void average_backward(const Tensor& dy, Tensor& dx, const Windows& rows, const Windows& columns,
                      std::int64_t divisor) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3];
  const T* from = dy.data<T>();
  T* to = dx.data<T>();
  parallel_for(in[0] * in[1], grain(in[2] * c), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / in[1], iy = i - image * in[1];
      T* dst_row = to + i * in[2] * c;
      std::fill(dst_row, dst_row + in[2] * c, T(0));
      // Windows start and end in order, so those over this row are neighbours.
      auto oy = std::partition_point(rows.begin(), rows.end(), [&](Range r) { return r.end <= iy; });
      for (; oy != rows.end() && oy->begin <= iy; ++oy) {
        const T* src = from + (image * out[1] + (oy - rows.begin())) * out[2] * c;
        for (const Range across : columns) {
          const std::int64_t covered = (oy->end - oy->begin) * (across.end - across.begin);
          const T share = T(1) / static_cast<T>(divisor ? divisor : covered);
          for (std::int64_t ix = across.begin; ix < across.end; ++ix) {
            T* __restrict dst = dst_row + ix * c;
            for (std::int64_t k = 0; k < c; ++k) dst[k] += share * src[k];
          }
          src += c;
        }
      }
    }
  });
}

Windows row_windows(const Shape& in, const Shape& out, const PoolWindow& w) {
  return fixed_windows(in[1], out[1], w.kernel.h, w.stride.h, w.padding.h);
}
Windows column_windows(const Shape& in, const Shape& out, const PoolWindow& w) {
  return fixed_windows(in[2], out[2], w.kernel.w, w.stride.w, w.padding.w);
}
std::int64_t divisor_of(const PoolWindow& w) { return w.count_include_pad ? w.kernel.h * w.kernel.w : 0; }

void avg_pool2d_cpu(const Tensor& x, Tensor& y, const PoolWindow& w) {
  const Shape in = x.shape(), out = y.shape();
  dispatch_floating(x.dtype(), "avg_pool2d", [&]<class T>() {
    average<T>(x, y, row_windows(in, out, w), column_windows(in, out, w), divisor_of(w));
  });
}
void avg_pool2d_backward_cpu(const Tensor& dy, Tensor& dx, const PoolWindow& w) {
  const Shape in = dx.shape(), out = dy.shape();
  dispatch_floating(dy.dtype(), "avg_pool2d", [&]<class T>() {
    average_backward<T>(dy, dx, row_windows(in, out, w), column_windows(in, out, w), divisor_of(w));
  });
}
void adaptive_avg_pool2d_cpu(const Tensor& x, Tensor& y) {
  const Shape in = x.shape(), out = y.shape();
  dispatch_floating(x.dtype(), "adaptive_avg_pool2d", [&]<class T>() {
    average<T>(x, y, adaptive_windows(in[1], out[1]), adaptive_windows(in[2], out[2]), 0);
  });
}
void adaptive_avg_pool2d_backward_cpu(const Tensor& dy, Tensor& dx) {
  const Shape in = dx.shape(), out = dy.shape();
  dispatch_floating(dy.dtype(), "adaptive_avg_pool2d", [&]<class T>() {
    average_backward<T>(dy, dx, adaptive_windows(in[1], out[1]), adaptive_windows(in[2], out[2]), 0);
  });
}

}  // namespace

constinit decltype(kernels::max_pool2d) kernels::max_pool2d{"max_pool2d", max_pool2d_any};
constinit decltype(kernels::max_pool2d_backward) kernels::max_pool2d_backward{"max_pool2d_backward",
                                                                              max_pool2d_backward_any};
constinit decltype(kernels::add_max_pool2d_backward) kernels::add_max_pool2d_backward{
    "add_max_pool2d_backward", add_max_pool2d_backward_cpu};
constinit decltype(kernels::avg_pool2d) kernels::avg_pool2d{"avg_pool2d", cpu::widened<avg_pool2d_cpu>};
constinit decltype(kernels::avg_pool2d_backward) kernels::avg_pool2d_backward{
    "avg_pool2d_backward", cpu::widened<avg_pool2d_backward_cpu>};
constinit decltype(kernels::adaptive_avg_pool2d) kernels::adaptive_avg_pool2d{
    "adaptive_avg_pool2d", cpu::widened<adaptive_avg_pool2d_cpu>};
constinit decltype(kernels::adaptive_avg_pool2d_backward) kernels::adaptive_avg_pool2d_backward{
    "adaptive_avg_pool2d_backward", cpu::widened<adaptive_avg_pool2d_backward_cpu>};

}  // namespace karyon
