#pragma once
#include <algorithm>
#include <array>
#include <utility>

#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/parallel.h>
#include <karyon/core/tensor.h>

// y[i] = f(a[i], b[i], ...) with broadcasting. The one idea: the loop over elements always has unit stride.
// An input of y's shape is read in place. A broadcast input is expanded, a block at a time, into a buffer
// that stays in the first-level cache. So every formula is compiled as a single plain loop, which vectorizes.
namespace karyon::cpu {

inline constexpr std::int64_t map_grain = 32768;
inline constexpr std::int64_t map_block = 512;

/// How an input maps to the output's dimensions. Adjacent ones are merged if the input is broadcast along
/// both or along neither.
struct Layout {
  int dims = 0;
  std::array<std::int64_t, Shape::max_dims> sizes{}, strides{};  // stride 0: broadcast

  Layout(const Shape& in, const Shape& out) {
    std::int64_t stride = 1;
    for (int d = out.dims() - 1; d >= 0; --d) {  // innermost first
      const int e = d - (out.dims() - in.dims());
      const bool along = e < 0 || in[e] != out[d];
      if (out[d] == 1) continue;
      const auto last = static_cast<std::size_t>(dims) - 1;
      if (dims > 0 && (strides[last] == 0) == along) {
        sizes[last] *= out[d];
      } else {
        sizes[static_cast<std::size_t>(dims)] = out[d];
        strides[static_cast<std::size_t>(dims++)] = along ? 0 : stride;
      }
      if (!along) stride *= out[d];
    }
  }

  bool dense() const { return dims == 0 || (dims == 1 && strides[0] == 1); }
  /// The input is one run of this many elements, repeated; 0 if it is not.
  std::int64_t period() const {
    if (dims == 1 && strides[0] == 0) return 1;
    return dims == 2 && strides[0] == 1 ? sizes[0] : 0;
  }
  /// Where the given row of the innermost dimension begins.
  std::int64_t row_offset(std::int64_t row) const {
    std::int64_t offset = 0;
    for (std::size_t d = 1; d < static_cast<std::size_t>(dims); ++d) {
      offset += row % sizes[d] * strides[d];
      row /= sizes[d];
    }
    return offset;
  }
};

/// A bool is read as the byte that holds it: GCC 12 does not vectorize loops that read bool.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

/// bf16 is only stored: formulas are computed in f32 and rounded once.
template <class T>
using Computed = std::conditional_t<std::is_same_v<T, BFloat16>, float, T>;

/// Calls f.template operator()<T>() with what map() takes for a floating dtype: float, double or BFloat16.
template <class F>
void dispatch_mapped(DType dtype, const char* op, F f) {
  if (dtype == bf16) return f.template operator()<BFloat16>();
  dispatch_floating(dtype, op, f);
}

/// An input and its element type.
template <class T>
struct Input {
  const Tensor& x;
  const Stored<T>* data() const { return reinterpret_cast<const Stored<T>*>(x.data<T>()); }
};

/// Hands out blocks of one input as contiguous memory.
template <class T>
class Source {
 public:
  Source(const T* in, const Layout& layout, std::int64_t step) : in_(in), layout_(layout) {
    const std::int64_t period = layout.period();
    repeats_ = period > 0 && step <= map_block && step % period == 0;
    if (!repeats_) return;
    std::copy(in, in + period, buffer_);
    for (std::int64_t i = period; i < step; ++i) buffer_[i] = buffer_[i - period];
  }

  /// Elements [begin, begin + count) of the input under the output's indices.
  const T* at(std::int64_t begin, std::int64_t count) {
    if (layout_.dense()) return in_ + begin;
    if (repeats_) return buffer_;
    const std::int64_t size = layout_.sizes[0];
    std::int64_t row = begin / size, column = begin % size;
    if (layout_.strides[0] == 1 && column + count <= size) return in_ + layout_.row_offset(row) + column;
    for (std::int64_t done = 0; done < count; ++row, column = 0) {
      const std::int64_t n = std::min(size - column, count - done);
      const T* from = in_ + layout_.row_offset(row);
      if (layout_.strides[0] == 1) {
        std::copy(from + column, from + column + n, buffer_ + done);
      } else {
        std::fill(buffer_ + done, buffer_ + done + n, *from);
      }
      done += n;
    }
    return buffer_;
  }

 private:
  const T* in_;
  const Layout& layout_;
  bool repeats_;
  T buffer_[map_block];
};

template <class Out, class F, class... In>
void map_run(const F& f, std::int64_t n, Out* y, const In*... x) {
  vectorized([=] {
    for (std::int64_t i = 0; i < n; ++i) y[i] = static_cast<Out>(f(static_cast<Computed<In>>(x[i])...));
  });
}

/// y[i] = f(inputs[i]...), each input as Computed and broadcast to y's shape.
template <class Out, class F, class... In>
void map(const F& f, Tensor& y, Input<In>... inputs) {
  Out* out = y.data<Out>();
  if ((... && (inputs.x.shape() == y.shape()))) {
    parallel_for(y.numel(), map_grain,
                 [&](std::int64_t b, std::int64_t e) { map_run(f, e - b, out + b, (inputs.data() + b)...); });
    return;
  }
  // Blocks start at multiples of a repeated input's period, so one expansion is used for all of them.
  const std::array layouts{Layout(inputs.x.shape(), y.shape())...};
  std::int64_t step = map_block;
  for (const Layout& layout : layouts)
    if (const std::int64_t p = layout.period(); p > 1 && p <= map_block) step = map_block / p * p;
  auto blocks = [&]<std::size_t... I>(std::index_sequence<I...>, std::int64_t b, std::int64_t e) {
    [&](Source<Stored<In>>... source) {
      for (std::int64_t i = b; i < e; i += step) {
        const std::int64_t n = std::min(step, e - i);
        map_run(f, n, out + i, source.at(i, n)...);
      }
    }(Source<Stored<In>>(inputs.data(), layouts[I], step)...);
  };
  parallel_for(y.numel(), map_grain / step * step,
               [&](std::int64_t b, std::int64_t e) { blocks(std::index_sequence_for<In...>{}, b, e); });
}

}  // namespace karyon::cpu
