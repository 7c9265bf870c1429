// Batch and group normalization of [images, rows, C] (batch norm: one image).
//
// Every pass walks rows with the channels innermost, beside arrays of one value per channel. Few channels are
// repeated until an array fills whole vectors ("lanes"). A small block of rows is summed per lane in T. A
// chunk of blocks is summed per channel in double. Chunks are joined in order.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <optional>
#include <type_traits>
#include <vector>

#include <karyon/core/cpu/moments.h>
#include <karyon/core/cpu/norm_rows.h>
#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/parallel.h>
#include <karyon/core/storage.h>

namespace karyon {
namespace {

constexpr std::int64_t chunk_elements = 65536, block_elements = 4096, least_lanes = 32;

using cpu::Computed;
using cpu::dispatch_mapped;
using Doubles = std::vector<double>;

struct Layout {
  std::int64_t images, rows, c;

  std::int64_t repeats() const { return c >= least_lanes ? 1 : cpu::ceil_div(least_lanes, c); }
  std::int64_t lanes() const { return repeats() * c; }
  std::int64_t chunk_rows() const { return std::max<std::int64_t>(64, chunk_elements / lanes()) * repeats(); }
  std::int64_t block_rows() const { return std::max<std::int64_t>(8, block_elements / lanes()) * repeats(); }
  std::int64_t chunks() const { return cpu::ceil_div(rows, chunk_rows()); }  // chunks of one image
};

// Calls fn(image, chunk, begin, end) for the row ranges of every chunk, in parallel.
template <class F>
void for_chunks(const Layout& l, F fn) {
  const std::int64_t chunks = l.chunks();
  parallel_for(l.images * chunks, 1, [&](std::int64_t b, std::int64_t e) {
    for (std::int64_t i = b; i < e; ++i) {
      const std::int64_t image = i / chunks, chunk = i % chunks;
      fn(image, chunk, chunk * l.chunk_rows(), std::min(l.rows, (chunk + 1) * l.chunk_rows()));
    }
  });
}

// One value per lane from one per channel.
template <class T>
std::vector<T> spread(const Layout& l, const T* values) {
  std::vector<T> out(static_cast<std::size_t>(l.lanes()));
  for (std::int64_t r = 0; r < l.repeats(); ++r) std::copy(values, values + l.c, out.begin() + r * l.c);
  return out;
}

// Whether norm_rows.h has kernels for S. S is the type in memory; all else has type T = Computed<S>.
template <class S>
constexpr bool has_rows = std::is_same_v<Computed<S>, float>;

// The number of groups of rows from `begin` on that norm_rows.h can do: they fill the lanes with whole
// vectors.
template <class S>
std::int64_t vector_groups(const Layout& l, std::int64_t begin, std::int64_t end) {
  if (!has_rows<S> || l.lanes() % cpu::simd_lanes() != 0) return 0;
  return (end - begin) * l.c / l.lanes();
}

// Whether non-temporal stores pay: y is large, and its rows are aligned to 64 bytes.
template <class S>
bool streams(const Layout& l, const S* to) {
  constexpr std::int64_t size = sizeof(S);
  return l.images * l.rows * l.c >= cpu::nontemporal_floats &&
         reinterpret_cast<std::uintptr_t>(to) % 64 == 0 && l.lanes() * size % 64 == 0;
}

// Calls fn(offset, width) for the groups of rows that fill the lanes, then for the last rows. It skips the
// first `done` groups.
template <class F>
void for_lanes(const Layout& l, std::int64_t begin, std::int64_t end, std::int64_t done, F fn) {
  const std::int64_t lanes = l.lanes(), stop = end * l.c;
  std::int64_t at = begin * l.c + done * lanes;
  for (; at + lanes <= stop; at += lanes) fn(at, lanes);
  if (at < stop) fn(at, stop - at);
}

// Channel sums from lane sums.
template <class T>
void fold(const Layout& l, const T* lanes, double* sums) {
  std::fill(sums, sums + l.c, 0.0);
  for (std::int64_t r = 0; r < l.repeats(); ++r)
    for (std::int64_t k = 0; k < l.c; ++k) sums[k] += static_cast<double>(lanes[r * l.c + k]);
}

// sums[lane] = the sum of x, or of (x - centre)^2 if centre is given; four groups of rows at a time.
template <class S, class T>
void sum_lanes(const Layout& l, std::int64_t begin, std::int64_t end, const S* x, const T* centre,
               T* __restrict sums) {
  auto f = [x, centre](std::int64_t i, std::int64_t k) {
    const T value = static_cast<T>(x[i]);
    return centre ? (value - centre[k]) * (value - centre[k]) : value;
  };
  const std::int64_t lanes = l.lanes(), stop = end * l.c;
  std::fill(sums, sums + lanes, T(0));
  std::int64_t at = begin * l.c;
  if constexpr (has_rows<S>) {
    const std::int64_t groups = vector_groups<S>(l, begin, end);
    if (groups > 0) cpu::norm_sums(dtype_of<S>, x + at, groups, lanes, centre, sums);
    at += groups * lanes;
  }
  for (; at + 4 * lanes <= stop; at += 4 * lanes)
    for (std::int64_t k = 0; k < lanes; ++k)
      sums[k] +=
          (f(at + k, k) + f(at + lanes + k, k)) + (f(at + 2 * lanes + k, k) + f(at + 3 * lanes + k, k));
  for (; at < stop; at += lanes) {
    const std::int64_t width = std::min(lanes, stop - at);
    for (std::int64_t k = 0; k < width; ++k) sums[k] += f(at + k, k);
  }
}

// Means and sums of squared deviations [images, C]: two passes over each block while it is in cache,
// blocks and chunks joined.
struct Moments {
  Doubles mean, m2;
};

// The moments of all rows, if the convolution that wrote x cached them.
template <class T>
std::optional<Moments> known_moments(const Tensor& x) {
  const Storage& storage = *x.impl()->storage;
  const auto known = storage.cache<cpu::ChannelMoments>();
  if (!known || static_cast<std::size_t>(x.numel()) * sizeof(T) != storage.bytes()) return std::nullopt;
  const auto c = static_cast<std::size_t>(x.size(-1));
  if (known->mean.size() != c || known->count * static_cast<double>(c) != static_cast<double>(x.numel()))
    return std::nullopt;
  return Moments{known->mean, known->m2};
}

template <class S>
Moments moments(const S* x, const Layout& l) {
  using T = Computed<S>;
  const std::int64_t c = l.c, chunks = l.chunks();
  Doubles partial(static_cast<std::size_t>(l.images * chunks * 2 * c));
  for_chunks(l, [&](std::int64_t image, std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double* mean = partial.data() + (image * chunks + chunk) * 2 * c;
    double* m2 = mean + c;
    Doubles block_mean(static_cast<std::size_t>(c)), block_m2(static_cast<std::size_t>(c));
    std::vector<T> sums(static_cast<std::size_t>(l.lanes())), centre(static_cast<std::size_t>(c));
    const S* __restrict from = x + image * l.rows * c;
    for (std::int64_t b = begin; b < end; b += l.block_rows()) {
      const std::int64_t e = std::min(end, b + l.block_rows());
      const auto n = static_cast<double>(e - b);
      sum_lanes(l, b, e, from, static_cast<const T*>(nullptr), sums.data());
      fold(l, sums.data(), block_mean.data());
      for (std::int64_t k = 0; k < c; ++k)
        centre[static_cast<std::size_t>(k)] = static_cast<T>(block_mean[static_cast<std::size_t>(k)] /= n);
      const std::vector<T> centres = spread(l, centre.data());
      const T* __restrict mid = centres.data();
      sum_lanes(l, b, e, from, mid, sums.data());
      fold(l, sums.data(), block_m2.data());
      cpu::join_moments(static_cast<double>(b - begin), n, c, mean, m2, block_mean.data(), block_m2.data());
    }
  });
  Moments out{Doubles(static_cast<std::size_t>(l.images * c)),
              Doubles(static_cast<std::size_t>(l.images * c))};
  for (std::int64_t i = 0; i < l.images; ++i)
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) {
      const double* mean = partial.data() + (i * chunks + chunk) * 2 * c;
      const std::int64_t before = chunk * l.chunk_rows(), n = std::min(l.chunk_rows(), l.rows - before);
      cpu::join_moments(static_cast<double>(before), static_cast<double>(n), c, out.mean.data() + i * c,
                        out.m2.data() + i * c, mean, mean + c);
    }
  return out;
}

// y = scale x + shift, or max(that, 0); scale, shift [images, C].
template <bool relu, class S, class T = Computed<S>>
void affine(const S* x, const Layout& l, const std::vector<T>& scale, const std::vector<T>& shift, S* y) {
  for_chunks(l, [&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
    const std::vector<T> scales = spread(l, scale.data() + image * l.c),
                         shifts = spread(l, shift.data() + image * l.c);
    const S* __restrict from = x + image * l.rows * l.c;
    S* __restrict to = y + image * l.rows * l.c;
    const T* __restrict s = scales.data(), * __restrict t = shifts.data();
    const std::int64_t done = vector_groups<S>(l, begin, end);
    if constexpr (has_rows<S>) {
      S* out = to + begin * l.c;
      if (done > 0)
        cpu::norm_affine(dtype_of<S>, from + begin * l.c, done, l.lanes(), s, t,
                         relu ? 0.0f : -std::numeric_limits<float>::infinity(), streams(l, out), out);
    }
    for_lanes(l, begin, end, done, [&](std::int64_t at, std::int64_t width) {
      for (std::int64_t k = 0; k < width; ++k) {
        const T v = s[k] * static_cast<T>(from[at + k]) + t[k];
        to[at + k] = static_cast<S>(relu && v < T(0) ? T(0) : v);
      }
    });
  });
}

// What backward needs of forward. With relu, elements whose scale x + shift was 0 or less have no gradient.
template <class T>
struct Forward {
  std::vector<T> mean, scale, shift;  // [images, C]
};

// a[lane] += d and b[lane] += d (x - m) over `groups` groups of rows that are `stride` apart. d is dy where
// relu let it through, else 0. It is a separate function so that the compiler trusts __restrict.
template <bool relu, int groups, class S, class T = Computed<S>>
void add_products(const S* __restrict dy, const S* __restrict x, std::int64_t stride, std::int64_t width,
                  const T* __restrict m, const T* __restrict s, const T* __restrict t, T* __restrict a,
                  T* __restrict b) {
  for (std::int64_t k = 0; k < width; ++k) {
    T sum = 0, product = 0;
    for (int r = 0; r < groups; ++r) {
      const T v = static_cast<T>(x[r * stride + k]), all = static_cast<T>(dy[r * stride + k]);
      const T d = relu && s[k] * v + t[k] <= T(0) ? T(0) : all;
      sum += d;
      product += d * (v - m[k]);
    }
    a[k] += sum;
    b[k] += product;
  }
}

// Sums of dy and dy (x - mean) [images, C].
struct Sums {
  Doubles dy, dy_x;
};

template <bool relu, class S, class T = Computed<S>>
Sums gradient_sums(const S* dy, const S* x, const Layout& l, const Forward<T>& f) {
  const std::int64_t c = l.c, chunks = l.chunks();
  Doubles partial(static_cast<std::size_t>(l.images * chunks * 2 * c));
  for_chunks(l, [&](std::int64_t image, std::int64_t chunk, std::int64_t begin, std::int64_t end) {
    double* sum_dy = partial.data() + (image * chunks + chunk) * 2 * c;
    double* sum_dy_x = sum_dy + c;
    Doubles block(static_cast<std::size_t>(c));
    std::vector<T> sums(static_cast<std::size_t>(2 * l.lanes()));
    const std::vector<T> means = spread(l, f.mean.data() + image * c),
                         scales = spread(l, f.scale.data() + image * c),
                         shifts = spread(l, f.shift.data() + image * c);
    const S* __restrict g = dy + image * l.rows * c, * __restrict from = x + image * l.rows * c;
    const T* __restrict m = means.data(), * __restrict s = scales.data(), * __restrict t = shifts.data();
    T* __restrict a = sums.data(), * __restrict b = a + l.lanes();
    for (std::int64_t first = begin; first < end; first += l.block_rows()) {
      std::fill(sums.begin(), sums.end(), T(0));
      const std::int64_t lanes = l.lanes(), last = std::min(end, first + l.block_rows()), stop = last * c;
      std::int64_t at = first * c;
      if constexpr (has_rows<S>) {
        const std::int64_t groups = vector_groups<S>(l, first, last);
        if (groups > 0)
          cpu::norm_gradient_sums(dtype_of<S>, g + at, from + at, groups, lanes,
                                  {.mean = m, .scale = s, .shift = t, .relu = relu}, a, b);
        at += groups * lanes;
      }
      for (; at + 4 * lanes <= stop; at += 4 * lanes)
        add_products<relu, 4>(g + at, from + at, lanes, lanes, m, s, t, a, b);
      for (; at < stop; at += lanes)
        add_products<relu, 1>(g + at, from + at, 0, std::min(lanes, stop - at), m, s, t, a, b);
      fold(l, a, block.data());
      for (std::int64_t k = 0; k < c; ++k) sum_dy[k] += block[static_cast<std::size_t>(k)];
      fold(l, b, block.data());
      for (std::int64_t k = 0; k < c; ++k) sum_dy_x[k] += block[static_cast<std::size_t>(k)];
    }
  });
  const auto n = static_cast<std::size_t>(l.images * c);
  Sums out{Doubles(n), Doubles(n)};
  for (std::int64_t i = 0; i < l.images; ++i)
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk)
      for (std::int64_t k = 0; k < c; ++k) {
        const double* sum = partial.data() + (i * chunks + chunk) * 2 * c + k;
        out.dy[static_cast<std::size_t>(i * c + k)] += sum[0];
        out.dy_x[static_cast<std::size_t>(i * c + k)] += sum[c];
      }
  return out;
}

// dx = scale dy + slope (x - mean) + offset; slope, offset [images, C].
template <bool relu, class S, class T = Computed<S>>
void gradient(const S* dy, const S* x, const Layout& l, const Forward<T>& f, const std::vector<T>& slope,
              const std::vector<T>& offset, S* dx) {
  for_chunks(l, [&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
    const std::int64_t first = image * l.c;
    const std::vector<T> means = spread(l, f.mean.data() + first), scales = spread(l, f.scale.data() + first),
                         shifts = spread(l, f.shift.data() + first), slopes = spread(l, slope.data() + first),
                         offsets = spread(l, offset.data() + first);
    const S* __restrict g = dy + image * l.rows * l.c, * __restrict from = x + image * l.rows * l.c;
    S* __restrict to = dx + image * l.rows * l.c;
    const T *__restrict m = means.data(), *__restrict s = scales.data(), *__restrict t = shifts.data(),
            *__restrict u = slopes.data(), *__restrict o = offsets.data();
    const std::int64_t done = vector_groups<S>(l, begin, end);
    if constexpr (has_rows<S>) {
      S* out = to + begin * l.c;
      if (done > 0)
        cpu::norm_gradient(dtype_of<S>, g + begin * l.c, from + begin * l.c, done, l.lanes(),
                           {.mean = m, .scale = s, .shift = t, .relu = relu}, u, o, streams(l, out), out);
    }
    for_lanes(l, begin, end, done, [&](std::int64_t at, std::int64_t width) {
      for (std::int64_t k = 0; k < width; ++k) {
        const T v = static_cast<T>(from[at + k]), all = static_cast<T>(g[at + k]);
        const T d = relu && s[k] * v + t[k] <= T(0) ? T(0) : all;
        to[at + k] = static_cast<S>(s[k] * d + (u[k] * (v - m[k]) + o[k]));
      }
    });
  });
}

template <class T>
const T* optional(const Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}
template <class T>
T* optional(Tensor& x) {
  return x.defined() ? x.data<T>() : nullptr;
}

// Mean and rstd [images, groups] spread to channels and joined with weight and bias.
template <class T>
Forward<T> make_forward(const Layout& l, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                        const Tensor& rstd) {
  const auto n = static_cast<std::size_t>(l.images * l.c);
  Forward<T> f{std::vector<T>(n), std::vector<T>(n), std::vector<T>(n)};
  const T *w = optional<T>(weight), *b = optional<T>(bias), *m = mean.data<T>(), *r = rstd.data<T>();
  const std::int64_t groups = mean.numel() / std::max<std::int64_t>(1, l.images), width = l.c / groups;
  for (std::int64_t i = 0; i < l.images; ++i)
    for (std::int64_t k = 0; k < l.c; ++k) {
      const std::int64_t group = i * groups + k / width;
      const auto at = static_cast<std::size_t>(i * l.c + k);
      f.mean[at] = m[group];
      f.scale[at] = (w ? w[k] : T(1)) * r[group];
      f.shift[at] = (b ? b[k] : T(0)) - m[group] * f.scale[at];
    }
  return f;
}

Layout batch_layout(const Tensor& x) { return {1, x.numel() / x.size(-1), x.size(-1)}; }
Layout image_layout(const Tensor& x) { return {x.size(0), x.numel() / x.size(0) / x.size(-1), x.size(-1)}; }

void batch_norm_statistics_cpu(const Tensor& x, double momentum, double eps, Tensor& running_mean,
                               Tensor& running_var, Tensor& mean, Tensor& rstd) {
  if (x.numel() == 0) return;
  dispatch_mapped(x.dtype(), "batch_norm", [&]<class S>() {
    using T = Computed<S>;
    const Layout l = batch_layout(x);
    const std::optional<Moments> known = known_moments<S>(x);
    const Moments m = known ? *known : moments(x.data<S>(), l);
    const auto n = static_cast<double>(l.rows);
    T *rm = optional<T>(running_mean), *rv = optional<T>(running_var);
    for (std::int64_t k = 0; k < l.c; ++k) {
      const double centre = m.mean[static_cast<std::size_t>(k)], m2 = m.m2[static_cast<std::size_t>(k)];
      mean.data<T>()[k] = static_cast<T>(centre);
      rstd.data<T>()[k] = static_cast<T>(1 / std::sqrt(m2 / n + eps));
      if (!rm) continue;
      rm[k] = static_cast<T>((1 - momentum) * static_cast<double>(rm[k]) + momentum * centre);
      rv[k] = static_cast<T>((1 - momentum) * static_cast<double>(rv[k]) + momentum * (m2 / (n - 1)));
    }
  });
}

void batch_norm_running_cpu(const Tensor& running_mean, const Tensor& running_var, double eps, Tensor& mean,
                            Tensor& rstd) {
  dispatch_floating(mean.dtype(), "batch_norm", [&]<class T>() {
    const std::int64_t channels = mean.numel();
    const T* const var = running_var.data<T>();
    T* const out = rstd.data<T>();
    std::copy_n(running_mean.data<T>(), channels, mean.data<T>());
    for (std::int64_t k = 0; k < channels; ++k)
      out[k] = static_cast<T>(1 / std::sqrt(static_cast<double>(var[k]) + eps));
  });
}

void batch_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                    const Tensor& rstd, bool relu, Tensor& y) {
  if (x.numel() == 0) return;
  dispatch_mapped(x.dtype(), "batch_norm", [&]<class S>() {
    using T = Computed<S>;
    const Layout l = batch_layout(x);
    const Forward<T> f = make_forward<T>(l, weight, bias, mean, rstd);
    (relu ? affine<true, S> : affine<false, S>)(x.data<S>(), l, f.scale, f.shift, y.data<S>());
  });
}

template <bool relu, class S, class T = Computed<S>>
void batch_norm_backward_typed(const Tensor& dy, const Tensor& x, const Forward<T>& f, const Tensor& rstd,
                               bool from_batch, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  const Layout l = batch_layout(x);
  const auto c = static_cast<std::size_t>(l.c);
  std::vector<T> slope(c), offset(c);
  if (from_batch || dweight.defined() || dbias.defined()) {
    const Sums sums = gradient_sums<relu>(dy.data<S>(), x.data<S>(), l, f);
    const auto n = static_cast<double>(l.rows);
    const T* const factors = rstd.data<T>();
    T* const weights = dweight.defined() ? dweight.data<T>() : nullptr;
    T* const biases = dbias.defined() ? dbias.data<T>() : nullptr;
    for (std::size_t k = 0; k < c; ++k) {
      const double r = static_cast<double>(factors[k]), scale = static_cast<double>(f.scale[k]);
      if (weights) weights[k] = static_cast<T>(sums.dy_x[k] * r);
      if (biases) biases[k] = static_cast<T>(sums.dy[k]);
      if (!from_batch) continue;
      slope[k] = static_cast<T>(-scale * r * r * sums.dy_x[k] / n);
      offset[k] = static_cast<T>(-scale * sums.dy[k] / n);
    }
  }
  if (dx.defined()) gradient<relu>(dy.data<S>(), x.data<S>(), l, f, slope, offset, dx.data<S>());
}

void batch_norm_backward_cpu(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                             const Tensor& mean, const Tensor& rstd, bool relu, bool from_batch, Tensor& dx,
                             Tensor& dweight, Tensor& dbias) {
  if (x.numel() == 0) {
    for (Tensor* grad : {&dweight, &dbias})
      if (grad->defined()) grad->zero_();
    return;
  }
  dispatch_mapped(x.dtype(), "batch_norm", [&]<class S>() {
    using T = Computed<S>;
    const Forward<T> f = make_forward<T>(batch_layout(x), weight, bias, mean, rstd);
    (relu ? batch_norm_backward_typed<true, S>
          : batch_norm_backward_typed<false, S>)(dy, x, f, rstd, from_batch, dx, dweight, dbias);
  });
}

void group_norm_cpu(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                    Tensor& mean, Tensor& rstd) {
  if (x.numel() == 0) return;
  dispatch_mapped(x.dtype(), "group_norm", [&]<class S>() {
    using T = Computed<S>;
    const Layout l = image_layout(x);
    const Moments m = moments(x.data<S>(), l);
    const std::int64_t groups = mean.size(1), width = l.c / groups;
    const auto rows = static_cast<double>(l.rows);
    for (std::int64_t g = 0; g < l.images * groups; ++g) {
      double centre = 0, m2 = 0;
      for (std::int64_t k = 0; k < width; ++k)
        cpu::join_moments(rows * static_cast<double>(k), rows, 1, &centre, &m2, m.mean.data() + g * width + k,
                          m.m2.data() + g * width + k);
      mean.data<T>()[g] = static_cast<T>(centre);
      rstd.data<T>()[g] = static_cast<T>(1 / std::sqrt(m2 / (rows * static_cast<double>(width)) + eps));
    }
    const Forward<T> f = make_forward<T>(l, weight, bias, mean, rstd);
    affine<false>(x.data<S>(), l, f.scale, f.shift, y.data<S>());
  });
}

void group_norm_backward_cpu(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                             const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  if (dweight.defined()) dweight.zero_();
  if (dbias.defined()) dbias.zero_();
  if (x.numel() == 0) return;
  dispatch_mapped(x.dtype(), "group_norm", [&]<class S>() {
    using T = Computed<S>;
    const Layout l = image_layout(x);
    const Forward<T> f = make_forward<T>(l, weight, Tensor(), mean, rstd);
    const Sums sums = gradient_sums<false>(dy.data<S>(), x.data<S>(), l, f);
    const std::int64_t groups = mean.size(1), width = l.c / groups;
    const T* w = optional<T>(weight);
    Doubles grad_weight(static_cast<std::size_t>(l.c)), grad_bias(static_cast<std::size_t>(l.c));
    std::vector<T> slope(f.mean.size()), offset(f.mean.size());
    const double n = static_cast<double>(l.rows) * static_cast<double>(width);
    for (std::int64_t g = 0; g < l.images * groups; ++g) {
      const double r = static_cast<double>(rstd.data<T>()[g]);
      double sum = 0, sum_x = 0;  // sums of weight dy and weight dy (x - mean) over the group
      for (std::int64_t k = 0; k < width; ++k) {
        const auto at = static_cast<std::size_t>(g * width + k), channel = at % static_cast<std::size_t>(l.c);
        const double factor = w ? static_cast<double>(w[channel]) : 1.0;
        sum += factor * sums.dy[at];
        sum_x += factor * sums.dy_x[at];
        grad_weight[channel] += sums.dy_x[at] * r;
        grad_bias[channel] += sums.dy[at];
      }
      for (std::int64_t k = 0; k < width; ++k) {
        const auto at = static_cast<std::size_t>(g * width + k);
        slope[at] = static_cast<T>(-r * r * r * sum_x / n);
        offset[at] = static_cast<T>(-r * sum / n);
      }
    }
    for (std::size_t k = 0; k < grad_bias.size(); ++k) {
      if (dweight.defined()) dweight.data<T>()[k] = static_cast<T>(grad_weight[k]);
      if (dbias.defined()) dbias.data<T>()[k] = static_cast<T>(grad_bias[k]);
    }
    if (dx.defined()) gradient<false>(dy.data<S>(), x.data<S>(), l, f, slope, offset, dx.data<S>());
  });
}

}  // namespace

constinit decltype(kernels::batch_norm_statistics) kernels::batch_norm_statistics{"batch_norm_statistics",
                                                                                  batch_norm_statistics_cpu};
constinit decltype(kernels::batch_norm_running) kernels::batch_norm_running{"batch_norm_running",
                                                                            batch_norm_running_cpu};
constinit decltype(kernels::batch_norm) kernels::batch_norm{"batch_norm", batch_norm_cpu};
constinit decltype(kernels::batch_norm_backward) kernels::batch_norm_backward{"batch_norm_backward",
                                                                              batch_norm_backward_cpu};
constinit decltype(kernels::group_norm) kernels::group_norm{"group_norm", group_norm_cpu};
constinit decltype(kernels::group_norm_backward) kernels::group_norm_backward{"group_norm_backward",
                                                                              group_norm_backward_cpu};

}  // namespace karyon
