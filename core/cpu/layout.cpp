#include <algorithm>
#include <cstring>
#include <utility>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/cpu/width.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

using kernels::Axis;

constexpr std::int64_t chunk_bytes = 1 << 17;

// Items of `bytes` each per chunk.
std::int64_t grain(std::int64_t bytes) {
  return std::max<std::int64_t>(1, chunk_bytes / std::max<std::int64_t>(1, bytes));
}
const char* bytes_of(const Tensor& x) { return static_cast<const char*>(x.data_ptr()); }
char* bytes_of(Tensor& x) { return static_cast<char*>(x.data_ptr()); }

// Runs of one element: a call of memcpy for each would take many times as long.
template <class T>
void copy_elements(const T* from, T* to, kernels::CopyRuns runs) {
  if (runs.rows == 1) {  // one loop
    std::swap(runs.outer, runs.rows);
    runs.from.row_stride = runs.from.outer_stride;
    runs.to.row_stride = runs.to.outer_stride;
  }
  parallel_for(runs.outer * runs.rows, grain(sizeof(T)), [&](std::int64_t b, std::int64_t e) {
    while (b < e) {
      const std::int64_t o = b / runs.rows, r = b - o * runs.rows, count = std::min(e - b, runs.rows - r);
      const T* p = from + o * runs.from.outer_stride + r * runs.from.row_stride;
      T* q = to + o * runs.to.outer_stride + r * runs.to.row_stride;
      for (std::int64_t i = 0; i < count; ++i) q[i * runs.to.row_stride] = p[i * runs.from.row_stride];
      b += count;
    }
  });
}

void copy_runs_cpu(const Tensor& x, Tensor& y, const kernels::CopyRuns& runs) {
  const auto size = static_cast<std::int64_t>(element_size(x.dtype()));
  if (runs.outer * runs.rows * runs.length == 0) return;
  const char* from = bytes_of(x) + runs.from.offset * size;
  char* to = bytes_of(y) + runs.to.offset * size;
  if (runs.length == 1 && (size == 2 || size == 4)) {
    if (size == 2)
      return copy_elements(reinterpret_cast<const std::uint16_t*>(from), reinterpret_cast<std::uint16_t*>(to),
                           runs);
    return copy_elements(reinterpret_cast<const std::uint32_t*>(from), reinterpret_cast<std::uint32_t*>(to),
                         runs);
  }
  const std::int64_t length = runs.length * size;
  // One long run is cut into pieces, so that it too is copied by all threads.
  const std::int64_t pieces = cpu::ceil_div(length, chunk_bytes);
  const std::int64_t piece = cpu::ceil_div(length, pieces);
  parallel_for(runs.outer * runs.rows * pieces, grain(piece), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t run = i / pieces, start = (i - run * pieces) * piece;
      const std::int64_t o = run / runs.rows, r = run - o * runs.rows;
      if (start >= length) continue;
      std::memcpy(to + (o * runs.to.outer_stride + r * runs.to.row_stride) * size + start,
                  from + (o * runs.from.outer_stride + r * runs.from.row_stride) * size + start,
                  static_cast<std::size_t>(std::min(piece, length - start)));
    }
  });
}

// A place among the indices of the axes, which moves on along the last axis.
class Walk {
 public:
  Walk(const std::vector<Axis>& axes, std::int64_t i, std::int64_t from, std::int64_t to)
      : axes_(axes), from_(from), to_(to) {
    for (std::size_t d = axes.size(); d-- > 0;) {
      index_[d] = i % axes[d].size;
      i /= axes[d].size;
      from_ += index_[d] * axes[d].from_stride;
      to_ += index_[d] * axes[d].to_stride;
    }
  }
  std::int64_t from() const { return from_; }
  std::int64_t to() const { return to_; }
  // Elements from here to the end of the last axis.
  std::int64_t left() const { return axes_.back().size - index_[axes_.size() - 1]; }
  // Goes `steps` on, left() at most.
  void advance(std::int64_t steps) {
    for (std::size_t d = axes_.size(); d-- > 0; steps = 1) {
      const auto& [size, from_stride, to_stride] = axes_[d];
      from_ += steps * from_stride;
      to_ += steps * to_stride;
      if ((index_[d] += steps) < size) return;
      index_[d] = 0;
      from_ -= size * from_stride;
      to_ -= size * to_stride;
    }
  }

 private:
  const std::vector<Axis>& axes_;
  std::int64_t from_, to_;
  std::array<std::int64_t, kernels::max_axes> index_{};
};

template <class T>
void copy_run(const T* x, T* y, const Axis& run) {
  if (run.from_stride == 1 && run.to_stride == 1) {
    std::memcpy(y, x, static_cast<std::size_t>(run.size) * sizeof(T));
  } else if (run.from_stride == 0 && run.to_stride == 1) {
    std::fill(y, y + run.size, *x);
  } else {
    for (std::int64_t k = 0; k < run.size; ++k) y[k * run.to_stride] = x[k * run.from_stride];
  }
}

template <class T>
void copy_axes(const T* x, T* y, std::int64_t from, std::int64_t to, const std::vector<Axis>& axes) {
  std::int64_t n = 1;
  for (const Axis& axis : axes) n *= axis.size;
  parallel_for(n, grain(sizeof(T)), [&](std::int64_t b, std::int64_t e) {
    Walk walk(axes, b, from, to);
    while (b < e) {
      const std::int64_t run = std::min(e - b, walk.left());
      copy_run(x + walk.from(), y + walk.to(), {run, axes.back().from_stride, axes.back().to_stride});
      walk.advance(run);
      b += run;
    }
  });
}

void copy_strided_cpu(const Tensor& x, Tensor& y, std::int64_t from, std::int64_t to,
                      const std::vector<Axis>& axes) {
  cpu::dispatch_width(x.dtype(), [&]<class T>() {
    copy_axes(static_cast<const T*>(x.data_ptr()), static_cast<T*>(y.data_ptr()), from, to, axes);
  });
}

// The dimensions of a permuted copy in the output's order, neighbours that stay neighbours merged.
std::vector<Axis> merged_axes(const Shape& from, const Shape& to, const std::vector<int>& order) {
  std::array<std::int64_t, Shape::max_dims> strides{};
  std::int64_t stride = 1;
  for (int d = from.dims() - 1; d >= 0; --d) {
    strides[static_cast<std::size_t>(d)] = stride;
    stride *= from[d];
  }
  std::vector<Axis> axes;
  for (int d = 0; d < to.dims(); ++d) {
    const Axis next{to[d], strides[static_cast<std::size_t>(order[static_cast<std::size_t>(d)])], 0};
    if (next.size == 1) continue;
    if (!axes.empty() && axes.back().from_stride == next.size * next.from_stride) {
      axes.back() = {axes.back().size * next.size, next.from_stride, 0};
    } else {
      axes.push_back(next);
    }
  }
  if (axes.empty()) axes.push_back({1, 1, 1});
  stride = 1;
  for (std::size_t d = axes.size(); d-- > 0;) {
    axes[d].to_stride = stride;
    stride *= axes[d].size;
  }
  return axes;
}

// Offsets of the i-th combination of indices of `axes`.
std::pair<std::int64_t, std::int64_t> locate(const std::vector<Axis>& axes, std::int64_t i) {
  std::int64_t from = 0, to = 0;
  for (std::size_t d = axes.size(); d-- > 0;) {
    const std::int64_t k = i % axes[d].size;
    i /= axes[d].size;
    from += k * axes[d].from_stride;
    to += k * axes[d].to_stride;
  }
  return {from, to};
}

template <class T>
void permute_typed(const T* x, T* y, std::vector<Axis> axes, std::int64_t numel) {
  const Axis last = axes.back();
  if (last.from_stride == 1) return copy_axes(x, y, 0, 0, axes);
  axes.pop_back();
  // Tiles span the axis that is contiguous in x and the one that is contiguous in y. Each cache line of
  // either is used whole while it is in the cache.
  constexpr std::int64_t tile = 32;
  auto contiguous =
      std::find_if(axes.begin(), axes.end(), [](const Axis& axis) { return axis.from_stride == 1; });
  const Axis near = *contiguous;
  axes.erase(contiguous);
  const std::int64_t near_tiles = cpu::ceil_div(near.size, tile), last_tiles = cpu::ceil_div(last.size, tile);
  parallel_for(
      numel / (near.size * last.size) * near_tiles * last_tiles, 16, [&](std::int64_t b, std::int64_t e) {
        for (std::int64_t i = b; i < e; ++i) {
          const std::int64_t i0 = i / last_tiles % near_tiles * tile, j0 = i % last_tiles * tile;
          const auto [from, to] = locate(axes, i / last_tiles / near_tiles);
          const std::int64_t i1 = std::min(i0 + tile, near.size), j1 = std::min(j0 + tile, last.size);
          for (std::int64_t k = i0; k < i1; ++k)
            for (std::int64_t j = j0; j < j1; ++j)
              y[to + k * near.to_stride + j] = x[from + k + j * last.from_stride];
        }
      });
}

void permute_cpu(const Tensor& x, Tensor& y, const std::vector<int>& order) {
  if (x.numel() == 0) return;
  cpu::dispatch_width(x.dtype(), [&]<class T>() {
    permute_typed(static_cast<const T*>(x.data_ptr()), static_cast<T*>(y.data_ptr()),
                  merged_axes(x.shape(), y.shape(), order), x.numel());
  });
}

std::int64_t reflect(std::int64_t i, std::int64_t n) { return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i; }

void pad_reflect_cpu(const Tensor& x, Tensor& y, const Pad2d& border) {
  if (y.numel() == 0) return;
  const Shape in = x.shape(), out = y.shape();
  const std::int64_t pixel = in[3] * static_cast<std::int64_t>(element_size(x.dtype()));
  const std::int64_t in_row = in[2] * pixel, out_row = out[2] * pixel;
  const char* from = bytes_of(x);
  char* to = bytes_of(y);
  parallel_for(out[0] * out[1], grain(out_row), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / out[1], row = reflect(i - image * out[1] - border.top, in[1]);
      const char* src = from + (image * in[1] + row) * in_row;
      char* dst = to + i * out_row;
      auto copy_pixel = [&](std::int64_t ox) {
        std::memcpy(dst + ox * pixel, src + reflect(ox - border.left, in[2]) * pixel,
                    static_cast<std::size_t>(pixel));
      };
      for (std::int64_t ox = 0; ox < border.left; ++ox) copy_pixel(ox);
      std::memcpy(dst + border.left * pixel, src, static_cast<std::size_t>(in_row));
      for (std::int64_t ox = border.left + in[2]; ox < out[2]; ++ox) copy_pixel(ox);
    }
  });
}

// Each input row gathers from the (at most three) output rows that show it.
template <class T>
void pad_reflect_backward_typed(const Tensor& dy, Tensor& dx, const Pad2d& border) {
  const Shape in = dx.shape(), out = dy.shape();
  const std::int64_t c = in[3], in_row = in[2] * c, out_row = out[2] * c;
  const T* from = dy.data<T>();
  T* to = dx.data<T>();
  parallel_for(in[0] * in[1], grain(in_row * std::int64_t{sizeof(T)}), [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / in[1], iy = i - image * in[1];
      T* dst = to + i * in_row;
      std::fill(dst, dst + in_row, T(0));
      auto add_row = [&](std::int64_t oy) {
        const T* src = from + (image * out[1] + oy) * out_row;
        const T* middle = src + border.left * c;
        for (std::int64_t k = 0; k < in_row; ++k) dst[k] += middle[k];
        auto add_pixel = [&](std::int64_t ox) {
          const std::int64_t ix = reflect(ox - border.left, in[2]);
          for (std::int64_t k = 0; k < c; ++k) dst[ix * c + k] += src[ox * c + k];
        };
        for (std::int64_t ox = 0; ox < border.left; ++ox) add_pixel(ox);
        for (std::int64_t ox = border.left + in[2]; ox < out[2]; ++ox) add_pixel(ox);
      };
      const std::int64_t below = 2 * (in[1] - 1) - iy;
      add_row(border.top + iy);
      if (iy >= 1 && iy <= border.top) add_row(border.top - iy);
      if (below >= in[1] && below < in[1] + border.bottom) add_row(border.top + below);
    }
  });
}

void pad_reflect_backward_cpu(const Tensor& dy, Tensor& dx, const Pad2d& border) {
  if (dx.numel() == 0) return;
  dispatch_floating(dy.dtype(), "pad", [&]<class T>() { pad_reflect_backward_typed<T>(dy, dx, border); });
}

}  // namespace

constinit decltype(kernels::copy_runs) kernels::copy_runs{"copy_runs", copy_runs_cpu};
constinit decltype(kernels::copy_strided) kernels::copy_strided{"copy_strided", copy_strided_cpu};
constinit decltype(kernels::permute) kernels::permute{"permute", permute_cpu};
constinit decltype(kernels::pad_reflect) kernels::pad_reflect{"pad_reflect", pad_reflect_cpu};
constinit decltype(kernels::pad_reflect_backward) kernels::pad_reflect_backward{
    "pad_reflect_backward", cpu::widened<pad_reflect_backward_cpu>};

}  // namespace karyon
