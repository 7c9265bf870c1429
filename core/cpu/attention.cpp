// Attention in tiles of scores, which stay in the caches (Dao et al., "FlashAttention", 2022). Forward keeps
// a running maximum and sum of each row's exponentials. Backward computes the weights again from their
// logarithm. A tile's products are those of simd/product.h; keys and values are transposed once for them.
#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include <karyon/core/cpu/simd/product.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/attention.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/parallel.h>
#include <karyon/core/random.h>

namespace karyon {
namespace {

using cpu::multiply;
using cpu::Product;

constexpr std::int64_t max_rows = 64, max_columns = 128;  // queries and keys of a tile
constexpr std::int64_t lanes = 16;                        // what loops over a row run in multiples of

template <class T>
constexpr T infinity = std::numeric_limits<T>::infinity();

// Sizes and what the kernels read. The rows of a tile are `width` elements apart; those beyond its keys have
// the score -infinity and the weight 0.
template <class T>
struct Problem {
  const kernels::Attention& attention;
  std::int64_t n, queries, keys, size, value_size;  // N, L, S, E, Ev
  const T *q, *k, *v;
  const Tensor& mask;
  std::int64_t width = std::clamp(cpu::round_up(keys, lanes), lanes, max_columns);
  std::int64_t row_tiles = cpu::ceil_div(queries, max_rows), column_tiles = cpu::ceil_div(keys, width);

  Problem(const kernels::Attention& a, const Tensor& query, const Tensor& key, const Tensor& value,
          const Tensor& m)
      : attention(a),
        n(query.size(0)),
        queries(query.size(1)),
        keys(key.size(1)),
        size(query.size(2)),
        value_size(value.size(2)),
        q(query.data<T>()),
        k(key.data<T>()),
        v(value.data<T>()),
        mask(m) {}
};

struct Tile {
  std::int64_t batch, row, rows, column, columns;
};

template <class T>
Tile tile_of(const Problem<T>& p, std::int64_t batch, std::int64_t i, std::int64_t j) {
  const std::int64_t row = i * max_rows, column = j * p.width;
  return {batch, row, std::min(max_rows, p.queries - row), column, std::min(p.width, p.keys - column)};
}
// Whether no query of the tile sees any of its keys.
template <class T>
bool hidden(const Problem<T>& p, const Tile& t) {
  return p.attention.causal && t.column > t.row + t.rows - 1;
}

// x [N, keys, size] as [N, tiles, size, width], with zeros behind the last key.
template <class T>
Tensor transposed(const Problem<T>& p, const T* x, std::int64_t size) {
  Tensor packed = empty({p.n, p.column_tiles, size, p.width}, {.dtype = dtype_of<T>});
  T* out = packed.data<T>();
  parallel_for(p.n * p.column_tiles, 1, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t u = begin; u < end; ++u) {
      const Tile t = tile_of(p, u / p.column_tiles, 0, u % p.column_tiles);
      const T* from = x + (t.batch * p.keys + t.column) * size;
      T* to = out + u * size * p.width;
      for (std::int64_t e = 0; e < size; ++e) {
        for (std::int64_t j = 0; j < t.columns; ++j) to[e * p.width + j] = from[j * size + e];
        std::fill(to + e * p.width + t.columns, to + (e + 1) * p.width, T(0));
      }
    }
  });
  return packed;
}

// The products of a row with the keys become its scores.
template <class T>
void mask_row(const Problem<T>& p, const Tile& t, std::int64_t r, T* s) {
  const T scale = static_cast<T>(p.attention.scale);
  const std::int64_t i = t.row + r;
  std::int64_t seen = t.columns;
  if (p.attention.causal) seen = std::clamp<std::int64_t>(i + 1 - t.column, 0, seen);
  cpu::vectorized([=, n = p.width] {
    for (std::int64_t j = 0; j < n; ++j) s[j] *= scale;
  });
  if (p.mask.defined()) {
    const kernels::MaskLayout& m = p.attention.mask;
    const std::int64_t at = m.offset(t.batch) + i * m.row + t.column * m.column;
    if (p.mask.dtype() == boolean) {
      const bool* from = p.mask.template data<bool>() + at;
      for (std::int64_t j = 0; j < seen; ++j)
        if (!from[j * m.column]) s[j] = -infinity<T>;
    } else {
      const T* from = p.mask.template data<T>() + at;
      for (std::int64_t j = 0; j < seen; ++j) s[j] += from[j * m.column];
    }
  }
  std::fill(s + seen, s + p.width, -infinity<T>);
}

// The tile's scores, from the transposed keys.
template <class T>
void scores(const Problem<T>& p, const Tile& t, const T* packed_keys, T* s) {
  const T* keys = packed_keys + (t.batch * p.column_tiles + t.column / p.width) * p.size * p.width;
  multiply(Product<T>{.m = t.rows,
                      .n = p.width,
                      .depth = p.size,
                      .a = {p.q + (t.batch * p.queries + t.row) * p.size, p.size},
                      .b = keys,
                      .b_row = p.width,
                      .c = s,
                      .c_row = p.width});
  for (std::int64_t r = 0; r < t.rows; ++r) mask_row(p, t, r, s + r * p.width);
}

// factors[j] = what dropout multiplies weight j of row i with; j from the tile's first key on.
template <class T>
void dropout_row(const Problem<T>& p, const Tile& t, std::int64_t r, T* factors) {
  const kernels::Attention& a = p.attention;
  const auto least = static_cast<std::uint32_t>(std::ceil(a.dropout * 0x1p24));
  const T scale = a.dropout < 1 ? static_cast<T>(1 / (1 - a.dropout)) : T(0);
  const std::int64_t row = t.batch * p.queries + t.row + r;
  const std::int64_t first = row * cpu::ceil_div(p.keys, 4) + t.column / 4;
  for (std::int64_t j = 0; j < t.columns; j += 4) {
    const auto words = philox(a.seed, a.first + static_cast<std::uint64_t>(first + j / 4));
    for (std::int64_t w = 0; w < 4; ++w)
      factors[j + w] = words[static_cast<std::size_t>(w)] >> 8 >= least ? scale : T(0);
  }
}

// The largest of n elements; NaN is passed over. n is a multiple of `lanes`.
template <class T>
T largest(const T* x, std::int64_t n) {
  std::array<T, lanes> top;
  top.fill(-infinity<T>);
  for (std::int64_t j = 0; j < n; j += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) {
      T& best = top[static_cast<std::size_t>(l)];
      best = x[j + l] > best ? x[j + l] : best;
    }
  for (std::size_t half = lanes / 2; half > 0; half /= 2)
    for (std::size_t l = 0; l < half; ++l) top[l] = top[l + half] > top[l] ? top[l + half] : top[l];
  return top[0];
}
// x[j] = e^(x[j] - shift); returns their sum.
template <class T>
T exponentials(T* x, std::int64_t n, T shift) {
  std::array<T, lanes> sums{};
  for (std::int64_t j = 0; j < n; j += lanes)
    for (std::int64_t l = 0; l < lanes; ++l) {
      x[j + l] = functors::exponential(x[j + l] - shift);
      sums[static_cast<std::size_t>(l)] += x[j + l];
    }
  for (std::size_t half = lanes / 2; half > 0; half /= 2)
    for (std::size_t l = 0; l < half; ++l) sums[l] += sums[l + half];
  return sums[0];
}

// A row of running softmax: its largest score and the sum of e^(score - largest).
template <class T>
struct Running {
  T top = -infinity<T>, sum = 0;
};

// Scores become e^(score - largest so far), and y is brought to the new largest.
template <class T>
void soften_row(T* s, std::int64_t width, Running<T>& run, T* y, std::int64_t size) {
  cpu::vectorized([=, &run] {
    const T before = run.top, now = std::max(before, largest(s, width));
    const T shift = now == -infinity<T> ? T(0) : now;  // nothing is seen yet
    const T factor = functors::exponential(before - shift);
    run.top = now;
    run.sum = run.sum * factor + exponentials(s, width, shift);
    if (factor != 1)
      for (std::int64_t e = 0; e < size; ++e) y[e] *= factor;
  });
}

template <class T>
void forward_rows(const Problem<T>& p, std::int64_t batch, std::int64_t i, const T* packed_keys, T* s, T* y,
                  T* lse) {
  const Tile rows = tile_of(p, batch, i, 0);
  y += (batch * p.queries + rows.row) * p.value_size;
  lse += batch * p.queries + rows.row;
  std::fill(y, y + rows.rows * p.value_size, T(0));
  std::array<Running<T>, max_rows> running{};
  std::array<T, max_columns> factors{};
  for (std::int64_t j = 0; j < p.column_tiles; ++j) {
    const Tile t = tile_of(p, batch, i, j);
    if (hidden(p, t)) break;
    scores(p, t, packed_keys, s);
    for (std::int64_t r = 0; r < t.rows; ++r) {
      T* row = s + r * p.width;
      soften_row(row, p.width, running[static_cast<std::size_t>(r)], y + r * p.value_size, p.value_size);
      if (p.attention.dropout == 0) continue;
      dropout_row(p, t, r, factors.data());
      for (std::int64_t c = 0; c < t.columns; ++c) row[c] *= factors[static_cast<std::size_t>(c)];
    }
    multiply(Product<T>{.m = t.rows,
                        .n = p.value_size,
                        .depth = t.columns,
                        .a = {s, p.width},
                        .b = p.v + (batch * p.keys + t.column) * p.value_size,
                        .b_row = p.value_size,
                        .c = y,
                        .c_row = p.value_size,
                        .add = true});
  }
  for (std::int64_t r = 0; r < rows.rows; ++r) {
    const auto [top, sum] = running[static_cast<std::size_t>(r)];
    lse[r] = sum == 0 ? infinity<T> : top + std::log(sum);
    const T share = sum == 0 ? T(0) : 1 / sum;
    for (std::int64_t e = 0; e < p.value_size; ++e) y[r * p.value_size + e] *= share;
  }
}

void attention_cpu(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask,
                   const kernels::Attention& attention, Tensor& y, Tensor& lse) {
  dispatch_floating(q.dtype(), "attention", [&]<class T>() {
    const Problem<T> p(attention, q, k, v, mask);
    const Tensor keys = transposed(p, p.k, p.size);
    T *out = y.data<T>(), *out_lse = lse.data<T>();
    parallel_for(p.n * p.row_tiles, 1, [&](std::int64_t begin, std::int64_t end) {
      T* s = static_cast<T*>(static_cast<void*>(cpu::scratch(2 * max_rows * max_columns, 0)));
      for (std::int64_t u = begin; u < end; ++u)
        forward_rows(p, u / p.row_tiles, u % p.row_tiles, keys.data<T>(), s, out, out_lse);
    });
  });
}

// ---- backward ----

template <class T>
struct Gradients {
  const T *dy, *lse, *packed_keys, *packed_values;
  const T* dots;  // [N, L]: dy y, summed over a row
  T *dk, *dv, *dmask;
};

// With the weights w and their factors f of dropout: w becomes w f, the weights as they met the values, and
// g = dy v^T becomes the gradient of the scores.
template <class T>
void score_gradients(const Problem<T>& p, const Gradients<T>& x, const Tile& t, T* w, T* g) {
  std::array<T, max_columns> factors;
  factors.fill(1);
  for (std::int64_t r = 0; r < t.rows; ++r, w += p.width, g += p.width) {
    const std::int64_t row = t.batch * p.queries + t.row + r;
    if (p.attention.dropout > 0) dropout_row(p, t, r, factors.data());
    cpu::vectorized([=, n = p.width, dot = x.dots[row], lse = x.lse[row], f = factors.data()] {
      for (std::int64_t j = 0; j < n; ++j) {
        const T weight = functors::exponential(w[j] - lse);
        g[j] = weight * (g[j] * f[j] - dot);
        w[j] = weight * f[j];
      }
    });
    if (x.dmask) std::copy(g, g + t.columns, x.dmask + row * p.keys + t.column);
    const T scale = static_cast<T>(p.attention.scale);
    cpu::vectorized([=, n = p.width] {
      for (std::int64_t j = 0; j < n; ++j) g[j] *= scale;
    });
  }
}

// c [columns of the tile, n] += w^T b.
template <class T>
void add_transposed(const Problem<T>& p, const Tile& t, const T* w, const T* b, T* c, std::int64_t n) {
  multiply(Product<T>{.m = t.columns,
                      .n = n,
                      .depth = t.rows,
                      .a = {w, 1, p.width},
                      .b = b + (t.batch * p.queries + t.row) * n,
                      .b_row = n,
                      .c = c + (t.batch * p.keys + t.column) * n,
                      .c_row = n,
                      .add = true});
}

// What one tile adds to the gradients; dq is that of its group of keys.
template <class T>
void backward_tile(const Problem<T>& p, const Gradients<T>& x, const Tile& t, T* dq, T* w, T* g) {
  scores(p, t, x.packed_keys, w);
  const std::int64_t tile = t.batch * p.column_tiles + t.column / p.width;
  multiply(Product<T>{.m = t.rows,
                      .n = p.width,
                      .depth = p.value_size,
                      .a = {x.dy + (t.batch * p.queries + t.row) * p.value_size, p.value_size},
                      .b = x.packed_values + tile * p.value_size * p.width,
                      .b_row = p.width,
                      .c = g,
                      .c_row = p.width});
  score_gradients(p, x, t, w, g);
  if (x.dv) add_transposed(p, t, w, x.dy, x.dv, p.value_size);
  if (x.dk) add_transposed(p, t, g, p.q, x.dk, p.size);
  if (!dq) return;
  multiply(Product<T>{.m = t.rows,
                      .n = p.size,
                      .depth = t.columns,
                      .a = {g, p.width},
                      .b = p.k + (t.batch * p.keys + t.column) * p.size,
                      .b_row = p.size,
                      .c = dq + (t.batch * p.queries + t.row) * p.size,
                      .c_row = p.size,
                      .add = true});
}

// dy y, summed over each row.
template <class T>
Tensor row_dots(const Tensor& dy, const Tensor& y) {
  const std::int64_t rows = y.size(0) * y.size(1), n = y.size(2);
  Tensor dots = empty({rows}, {.dtype = y.dtype()});
  const T *a = dy.data<T>(), *b = y.data<T>();
  T* out = dots.data<T>();
  parallel_for(rows, 256, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) {
      double sum = 0;
      for (std::int64_t e = 0; e < n; ++e) sum += static_cast<double>(a[i * n + e] * b[i * n + e]);
      out[i] = static_cast<T>(sum);
    }
  });
  return dots;
}

// The keys of each n are cut into groups, so that a few heads are work for all threads, too. Each group adds
// up a gradient of the queries of its own; these are added in order.
constexpr std::int64_t enough_units = 16;

template <class T>
void backward_typed(const Problem<T>& p, Gradients<T> x, std::int64_t groups, Tensor& partial) {
  T* const partials = partial.defined() ? partial.data<T>() : nullptr;
  parallel_for(p.n * groups, 1, [&](std::int64_t begin, std::int64_t end) {
    T* w = static_cast<T*>(static_cast<void*>(cpu::scratch(2 * max_rows * max_columns, 0)));
    T* g = static_cast<T*>(static_cast<void*>(cpu::scratch(2 * max_rows * max_columns, 1)));
    for (std::int64_t u = begin; u < end; ++u) {
      const std::int64_t batch = u / groups, group = u % groups;
      T* dq = partials ? partials + group * p.n * p.queries * p.size : nullptr;
      for (std::int64_t j = group * p.column_tiles / groups; j < (group + 1) * p.column_tiles / groups; ++j)
        for (std::int64_t i = 0; i < p.row_tiles; ++i)
          if (const Tile t = tile_of(p, batch, i, j); !hidden(p, t)) backward_tile(p, x, t, dq, w, g);
    }
  });
}

void attention_backward_cpu(const Tensor& dy, const Tensor& q, const Tensor& k, const Tensor& v,
                            const Tensor& mask, const Tensor& y, const Tensor& lse,
                            const kernels::Attention& attention, Tensor& dq, Tensor& dk, Tensor& dv,
                            Tensor& dmask) {
  for (Tensor* gradient : {&dq, &dk, &dv, &dmask})
    if (gradient->defined()) gradient->zero_();
  if (q.size(0) * q.size(1) * k.size(1) == 0) return;
  dispatch_floating(q.dtype(), "attention_backward", [&]<class T>() {
    const Problem<T> p(attention, q, k, v, mask);
    const Tensor keys = transposed(p, p.k, p.size), values = transposed(p, p.v, p.value_size);
    const Tensor dots = row_dots<T>(dy, y);
    const auto data = [](Tensor& gradient) { return gradient.defined() ? gradient.data<T>() : nullptr; };
    const std::int64_t groups = std::min(p.column_tiles, cpu::ceil_div(enough_units, p.n));
    Tensor partial = dq;
    if (dq.defined() && groups > 1) partial = zeros({groups, p.n, p.queries, p.size}, {.dtype = q.dtype()});
    backward_typed(p,
                   Gradients<T>{.dy = dy.data<T>(),
                                .lse = lse.data<T>(),
                                .packed_keys = keys.data<T>(),
                                .packed_values = values.data<T>(),
                                .dots = dots.data<T>(),
                                .dk = data(dk),
                                .dv = data(dv),
                                .dmask = data(dmask)},
                   groups, partial);
    if (!dq.defined() || groups == 1) return;
    for (std::int64_t group = 0; group < groups; ++group)
      dq.add_(view(partial, dq.shape(), group * dq.numel()));
  });
}

}  // namespace

constinit decltype(kernels::attention) kernels::attention{"attention", cpu::widened<attention_cpu>};
constinit decltype(kernels::attention_backward) kernels::attention_backward{
    "attention_backward", cpu::widened<attention_backward_cpu>};

}  // namespace karyon
