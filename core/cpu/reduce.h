#pragma once
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/parallel.h>

#include <algorithm>
#include <bit>
#include <limits>
#include <vector>

// Reductions of [outer, n, inner] over n. The one idea: whatever the shape, the inner loop runs along
// contiguous elements into an array of accumulators. Where `inner` is short, several rows together make one
// long row, folded at the end. Work is cut by shape alone, so the bits do not depend on the number of
// threads.
namespace karyon::cpu {

inline constexpr std::int64_t reduce_grain = 32768;
inline constexpr std::int64_t tile = 512;       // accumulators
inline constexpr std::int64_t short_row = 64;   // below this, rows are joined
inline constexpr std::int64_t max_chunks = 64;  // that one long reduction is cut into

// ---- what is reduced: elements are read as Value, and reduced in Acc ----

template <class T>
struct Sum {
  using Value = T;
  using Acc = double;
  static constexpr Acc start = 0;
  static Acc add(Acc acc, T x) { return acc + static_cast<Acc>(x); }
  static Acc combine(Acc a, Acc b) { return a + b; }
};
template <>
struct Sum<std::int64_t> {
  using Value = std::int64_t;
  using Acc = std::uint64_t;  // wraps
  static constexpr Acc start = 0;
  static Acc add(Acc acc, std::int64_t x) { return acc + static_cast<Acc>(x); }
  static Acc combine(Acc a, Acc b) { return a + b; }
};

template <class T>
struct Product {
  using Value = T;
  using Acc = typename Sum<T>::Acc;
  static constexpr Acc start = 1;
  static Acc add(Acc acc, T x) { return acc * static_cast<Acc>(x); }
  static Acc combine(Acc a, Acc b) { return a * b; }
};

template <class T>
struct Max {
  using Value = T;
  using Acc = T;
  static constexpr Acc start = std::numeric_limits<T>::has_infinity ? -std::numeric_limits<T>::infinity()
                                                                    : std::numeric_limits<T>::lowest();
  static Acc add(Acc acc, T x) { return x > acc || x != x ? x : acc; }
  static Acc combine(Acc a, Acc b) { return add(a, b); }
};
template <class T>
struct Min {
  using Value = T;
  using Acc = T;
  static constexpr Acc start = std::numeric_limits<T>::has_infinity ? std::numeric_limits<T>::infinity()
                                                                    : std::numeric_limits<T>::max();
  static Acc add(Acc acc, T x) { return x < acc || x != x ? x : acc; }
  static Acc combine(Acc a, Acc b) { return add(a, b); }
};

// ---- how an element is read, given its column ----

/// f(x).
template <class F>
struct Each {
  F f;
  template <class T>
  auto operator()(T x, std::int64_t) const {
    return f(x);
  }
  Each at(std::int64_t) const { return *this; }
  Each repeated(std::int64_t, std::int64_t, double*) const { return *this; }
};
template <class F>
Each(F) -> Each<F>;
template <class Value>
struct Cast {
  template <class T>
  Value operator()(T x) const {
    return static_cast<Value>(x);
  }
};

/// f(x, its column's number).
template <class F>
struct Beside {
  F f;
  const double* numbers;
  template <class T>
  auto operator()(T x, std::int64_t j) const {
    return f(x, numbers[j]);
  }
  Beside at(std::int64_t column) const { return {f, numbers + column}; }
  /// For `wide` columns, of which `width` repeat; `room` is for their numbers.
  Beside repeated(std::int64_t width, std::int64_t wide, double* room) const {
    for (std::int64_t j = 0; j < wide; ++j) room[j] = numbers[j % width];
    return {f, room};
  }
};

template <class F>
Beside(F, const double*) -> Beside<F>;

// ---- the loops ----

/// acc[0, width) over `rows` rows that lie `stride` apart.
template <class Op, class T, class Read>
void reduce_rows(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width,
                 typename Op::Acc* acc, const Read& read) {
  for (std::int64_t r = 0; r < rows; ++r, x += stride)
    for (std::int64_t j = 0; j < width; ++j)
      acc[j] = Op::add(acc[j], static_cast<typename Op::Value>(read(x[j], j)));
}

/// The same, starting acc; acc has room for `tile`.
template <class Op, class T, class Read = Each<Cast<typename Op::Value>>>
void reduce_columns(const T* x, std::int64_t rows, std::int64_t stride, std::int64_t width,
                    typename Op::Acc* acc, const Read& read = {}) {
  if (width == 1 && rows < short_row / 2) {
    auto only = Op::start;
    for (std::int64_t r = 0; r < rows; ++r)
      only = Op::add(only, static_cast<typename Op::Value>(read(x[r * stride], 0)));
    *acc = only;
    return;
  }
  const bool join = width == stride && width < short_row && rows > 0;
  const auto joined = join ? static_cast<std::int64_t>(std::bit_floor(
                                 static_cast<std::uint64_t>(std::min(short_row / width, rows))))
                           : 1;
  const std::int64_t wide = joined * width, times = rows / joined;
  double room[short_row];
  std::fill(acc, acc + wide, Op::start);
  reduce_rows<Op>(x, times, joined * stride, wide, acc, join ? read.repeated(width, wide, room) : read);
  // Adds halves until one row remains; `joined` is a power of two.
  for (std::int64_t half = wide / 2; half >= width; half /= 2)
    for (std::int64_t j = 0; j < half; ++j) acc[j] = Op::combine(acc[j], acc[j + half]);
  reduce_rows<Op>(x + times * joined * stride, rows - times * joined, stride, width, acc, read);
}

/// All elements of a contiguous run.
template <class Op, class T>
typename Op::Acc reduce_run(const T* x, std::int64_t n) {
  typename Op::Acc acc[short_row];
  reduce_columns<Op>(x, n, 1, 1, acc);
  return acc[0];
}

/// y [outer, inner] = finish(reduction of x [outer, n, inner]). Columns are counted over outer and inner.
template <class Op, class In, class Out, class Finish, class Read = Each<Cast<typename Op::Value>>>
void reduce(const Tensor& x, Tensor& y, Finish finish, Read read = {}) {
  using Acc = typename Op::Acc;
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  if (outer == 0 || inner == 0) return;
  const Stored<In>* in = Input<In>{x}.data();
  Out* out = y.data<Out>();
  const std::int64_t tiles = ceil_div(inner, tile), units = outer * tiles;
  const std::int64_t width = std::min(inner, tile);

  // Few long reductions are also cut along n; their parts are joined in order.
  const std::int64_t wanted =
      units >= max_chunks ? 1 : std::clamp<std::int64_t>(n * width / reduce_grain, 1, max_chunks);
  const std::int64_t rows = std::max<std::int64_t>(ceil_div(n, wanted), 1);
  const std::int64_t chunks = std::max<std::int64_t>(ceil_div(n, rows), 1);
  std::vector<Acc> parts(static_cast<std::size_t>(chunks > 1 ? units * chunks * width : 0));

  parallel_for(units * chunks, std::max<std::int64_t>(reduce_grain / (rows * width), 1),
               [&](std::int64_t b, std::int64_t e) {
                 Acc acc[tile];
                 for (std::int64_t i = b; i < e; ++i) {
                   const std::int64_t unit = i / chunks, chunk = i % chunks;
                   const std::int64_t o = unit / tiles, column = unit % tiles * tile, row = chunk * rows;
                   const std::int64_t w = std::min(tile, inner - column);
                   const Stored<In>* from = in + (o * n + row) * inner + column;
                   const std::int64_t count = std::min(rows, n - row);
                   vectorized([=, into = &acc[0], beside = read.at(o * inner + column)] {
                     reduce_columns<Op>(from, count, inner, w, into, beside);
                   });
                   if (chunks > 1) {
                     std::copy(acc, acc + w, parts.data() + i * width);
                   } else {
                     for (std::int64_t j = 0; j < w; ++j) out[o * inner + column + j] = finish(acc[j]);
                   }
                 }
               });
  if (chunks == 1) return;
  for (std::int64_t unit = 0; unit < units; ++unit) {
    const std::int64_t o = unit / tiles, column = unit % tiles * tile, w = std::min(tile, inner - column);
    Acc* acc = parts.data() + unit * chunks * width;
    for (std::int64_t c = 1; c < chunks; ++c)
      for (std::int64_t j = 0; j < w; ++j) acc[j] = Op::combine(acc[j], acc[c * width + j]);
    for (std::int64_t j = 0; j < w; ++j) out[o * inner + column + j] = finish(acc[j]);
  }
}

/// Calls body(first element, width) for every tile of columns of x [outer, n, inner].
template <class F>
void for_tiles(const Tensor& x, F&& body) {
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  const std::int64_t tiles = ceil_div(inner, tile);
  const std::int64_t cost = std::max<std::int64_t>(n * std::min(inner, tile), 1);
  parallel_for(outer * tiles, std::max<std::int64_t>(reduce_grain / cost, 1),
               [&](std::int64_t b, std::int64_t e) {
                 for (std::int64_t i = b; i < e; ++i) {
                   const std::int64_t column = i % tiles * tile;
                   body(i / tiles * n * inner + column, std::min(tile, inner - column));
                 }
               });
}

}  // namespace karyon::cpu
