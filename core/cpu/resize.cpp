// Resampling is separable: each output row (column) mixes two input rows (columns). Backward gathers, so
// that each row of dx is written by one chunk.
#include <algorithm>
#include <cmath>
#include <vector>

#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/resize.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

// An output takes (1 - share) of input `low` and share of input `high`.
struct Tap {
  std::int64_t low, high;
  double share;
};

std::vector<Tap> make_taps(std::int64_t in, std::int64_t out, const InterpolateOptions& options) {
  std::vector<Tap> taps;
  for (std::int64_t o = 0; o < out; ++o) {
    if (options.mode == InterpolateMode::nearest) {
      // PyTorch rounds in float, and rounding decides between neighbours.
      const float scale = static_cast<float>(in) / static_cast<float>(out);
      const auto at = static_cast<std::int64_t>(std::floor(static_cast<float>(o) * scale));
      const std::int64_t i = std::min(at, in - 1);
      taps.push_back({i, i, 0});
      continue;
    }
    double at = 0;
    if (!options.align_corners) {
      const double scale = static_cast<double>(in) / static_cast<double>(out);
      at = std::max(0.0, scale * (static_cast<double>(o) + 0.5) - 0.5);
    } else if (out > 1) {
      at = static_cast<double>(o) * static_cast<double>(in - 1) / static_cast<double>(out - 1);
    }
    const std::int64_t low = std::min(static_cast<std::int64_t>(at), in - 1);
    taps.push_back({low, std::min(low + 1, in - 1), std::min(1.0, at - static_cast<double>(low))});
  }
  return taps;
}

std::int64_t grain(std::int64_t elements) {
  return std::max<std::int64_t>(1, 32768 / std::max<std::int64_t>(1, elements));
}

template <class T>
void interpolate_typed(const Tensor& x, Tensor& y, const InterpolateOptions& options) {
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const std::vector<Tap> rows = make_taps(in[1], out[1], options),
                         columns = make_taps(in[2], out[2], options);
  const T* from = x.data<T>();
  T* to = y.data<T>();
  parallel_for(out[0] * out[1], grain(out_row), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / out[1];
      const Tap row = rows[static_cast<std::size_t>(i - image * out[1])];
      const T* low = from + (image * in[1] + row.low) * in_row;
      const T* high = from + (image * in[1] + row.high) * in_row;
      T* __restrict dst = to + i * out_row;
      if (options.mode == InterpolateMode::nearest) {
        for (const Tap& column : columns) {
          std::copy(low + column.low * c, low + (column.low + 1) * c, dst);
          dst += c;
        }
        continue;
      }
      const T v = static_cast<T>(row.share);
      for (const Tap& column : columns) {
        const T u = static_cast<T>(column.share);
        const T *p = low + column.low * c, *q = low + column.high * c, *r = high + column.low * c,
                *s = high + column.high * c;
        for (std::int64_t k = 0; k < c; ++k)
          dst[k] = (1 - v) * ((1 - u) * p[k] + u * q[k]) + v * ((1 - u) * r[k] + u * s[k]);
        dst += c;
      }
    }
  });
}

// dx of one row from the row of dy that its outputs' rows were summed to.
template <class T>
void spread_row(const T* dy, const std::vector<Tap>& columns, std::int64_t c, bool nearest, T* dx) {
  for (const Tap& column : columns) {
    const T u = static_cast<T>(column.share);
    T* __restrict low = dx + column.low * c;
    for (std::int64_t k = 0; k < c; ++k) low[k] += (1 - u) * dy[k];
    T* __restrict high = dx + column.high * c;
    for (std::int64_t k = 0; !nearest && k < c; ++k) high[k] += u * dy[k];
    dy += c;
  }
}

template <class T>
void add_scaled(T factor, const T* __restrict x, std::int64_t n, T* __restrict y) {
  for (std::int64_t k = 0; k < n; ++k) y[k] += factor * x[k];
}

template <class T>
void interpolate_backward_typed(const Tensor& dy, Tensor& dx, const InterpolateOptions& options) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const std::vector<Tap> rows = make_taps(in[1], out[1], options),
                         columns = make_taps(in[2], out[2], options);
  const bool nearest = options.mode == InterpolateMode::nearest;
  const T* from = dy.data<T>();
  T* to = dx.data<T>();
  parallel_for(in[0] * in[1], grain(in_row), [&](std::int64_t b, std::int64_t e) {
    std::vector<T> sum(static_cast<std::size_t>(out_row));
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / in[1], iy = i - image * in[1];
      std::fill(sum.begin(), sum.end(), T(0));
      // Taps are in order, so the output rows that used this one are neighbours.
      auto row = std::partition_point(rows.begin(), rows.end(), [&](const Tap& t) { return t.high < iy; });
      for (; row != rows.end() && row->low <= iy; ++row) {
        const double share = (row->low == iy ? 1 - row->share : 0) + (row->high == iy ? row->share : 0);
        add_scaled(static_cast<T>(share), from + (image * out[1] + (row - rows.begin())) * out_row, out_row,
                   sum.data());
      }
      T* dst = to + i * in_row;
      std::fill(dst, dst + in_row, T(0));
      spread_row(sum.data(), columns, c, nearest, dst);
    }
  });
}

void interpolate_cpu(const Tensor& x, Tensor& y, const InterpolateOptions& options) {
  dispatch_floating(x.dtype(), "interpolate", [&]<class T>() { interpolate_typed<T>(x, y, options); });
}
void interpolate_backward_cpu(const Tensor& dy, Tensor& dx, const InterpolateOptions& options) {
  dispatch_floating(dy.dtype(), "interpolate",
                    [&]<class T>() { interpolate_backward_typed<T>(dy, dx, options); });
}

}  // namespace

constinit decltype(kernels::interpolate) kernels::interpolate{"interpolate", cpu::widened<interpolate_cpu>};
constinit decltype(kernels::interpolate_backward) kernels::interpolate_backward{
    "interpolate_backward", cpu::widened<interpolate_backward_cpu>};

}  // namespace karyon
