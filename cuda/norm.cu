// Batch and group normalization.
//
// Batch norm is group norm of one image with a group per channel, so both share their kernels, which walk
// [images, rows, channels] as columns.cuh says. Statistics read x once: a thread takes four rows into
// registers, and their mean and squared deviations join what it has by the formula of Chan, Golub and LeVeque
// (1979), relative to the first value it saw; threads and chunks join in double, in a fixed order. Then one
// pass normalizes. Backward is one pass for the two sums and one for dx.
#include <cmath>

#include <karyon/core/kernels/norm.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/columns.cuh>
#include <karyon/cuda/norm.cuh>

namespace karyon::cuda {
namespace {

// ---- mean and variance ----

/// n values: their mean and the sum of their squared deviations from it.
struct Moments {
  float n = 0, mean = 0, m2 = 0;

  __device__ void join(float count, float b_mean, float b_m2) {
    const float total = n + count, delta = b_mean - mean, share = count / total;
    mean = fmaf(delta, share, mean);
    m2 += fmaf(delta * delta, n * share, b_m2);
    n = total;
  }
};

/// partial [images, chunks, 2, columns] = mean and m2 of every column of every chunk.
template <int V, class T>
__global__ void __launch_bounds__(column_threads)
    chunk_moments(const __grid_constant__ ColumnGrid g, const T* x, double* partial) {
  constexpr int together = 4;
  const ColumnPlace<V> place(g);
  float origin[V] = {};
  Moments moments[V];
  if (place.inside && place.begin < place.end) {
    const T* from = x + place.first;
    load_vector<T, V>(from + std::int64_t{place.begin} * g.columns, origin);
    int row = place.begin;
    for (; row + (together - 1) * place.step < place.end; row += together * place.step) {
      float v[together][V];
#pragma unroll
      for (int r = 0; r < together; ++r)
        load_vector<T, V>(from + std::int64_t{row + r * place.step} * g.columns, v[r]);
#pragma unroll
      for (int i = 0; i < V; ++i) {
#pragma unroll
        for (int r = 0; r < together; ++r) v[r][i] -= origin[i];
        const float mean = ((v[0][i] + v[1][i]) + (v[2][i] + v[3][i])) / together;
        float m2 = 0;
#pragma unroll
        for (int r = 0; r < together; ++r) m2 = fmaf(v[r][i] - mean, v[r][i] - mean, m2);
        moments[i].join(together, mean, m2);
      }
    }
    for (; row < place.end; row += place.step) {
      float v[V];
      load_vector<T, V>(from + std::int64_t{row} * g.columns, v);
#pragma unroll
      for (int i = 0; i < V; ++i) moments[i].join(1, v[i] - origin[i], 0);
    }
  }
  // Joined without divisions: the mean of all, then the deviations of the parts from it.
  double sums[V + 1];
  sums[V] = moments[0].n;
#pragma unroll
  for (int i = 0; i < V; ++i)
    sums[i] = moments[i].n * (static_cast<double>(origin[i]) + static_cast<double>(moments[i].mean));
  sum_over_rows(sums);
  double means[V], m2s[V];
#pragma unroll
  for (int i = 0; i < V; ++i) {
    means[i] = sums[i] / sums[V];
    const double off = static_cast<double>(origin[i]) + static_cast<double>(moments[i].mean) - means[i];
    m2s[i] = moments[i].m2 + moments[i].n * off * off;
  }
  sum_over_rows(m2s);
  if (!place.inside || threadIdx.y != 0) return;
  double* out = partial + std::int64_t{blockIdx.x} * 2 * g.columns + place.column;
#pragma unroll
  for (int i = 0; i < V; ++i) out[i] = means[i], out[g.columns + i] = m2s[i];
}

struct Running {
  float *mean, *var;
  double momentum;
};

/// One warp joins the chunks and channels of one group of one image. mean, rstd [images, groups].
__global__ void __launch_bounds__(column_threads)
    join_moments(const double* partial, const __grid_constant__ ColumnGrid g, int groups, double eps,
                 Running running, float* mean, float* rstd) {
  const std::int64_t group = (std::int64_t{blockIdx.x} * column_threads + threadIdx.x) / warp_size;
  if (group >= g.images * groups) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_size, width = g.columns / groups;
  const std::int64_t image = group / groups, first = group % groups * width;
  // Calls f(values in it, its mean, its m2) for the parts of this lane.
  auto parts = [&](auto f) {
    for (std::int64_t i = lane; i < std::int64_t{g.chunks} * width; i += warp_size) {
      const std::int64_t chunk = i / width, channel = first + i % width;
      const double* from = partial + (image * g.chunks + chunk) * 2 * g.columns + channel;
      f(static_cast<double>(min(std::int64_t{g.chunk_rows}, g.rows - chunk * g.chunk_rows)), from[0],
        from[g.columns]);
    }
  };
  const double n = static_cast<double>(g.rows) * width;
  double sum = 0, m2 = 0;
  parts([&](double count, double part_mean, double) { sum += count * part_mean; });
  const double centre = warp_reduce(sum, Plus{}) / n;
  parts([&](double count, double part_mean, double part_m2) {
    m2 += part_m2 + count * (part_mean - centre) * (part_mean - centre);
  });
  m2 = warp_reduce(m2, Plus{});
  if (lane != 0) return;
  mean[group] = static_cast<float>(centre);
  rstd[group] = static_cast<float>(1 / sqrt(m2 / n + eps));
  if (running.mean) {
    const double keep = 1 - running.momentum;
    running.mean[group] = static_cast<float>(keep * running.mean[group] + running.momentum * centre);
    running.var[group] = static_cast<float>(keep * running.var[group] + running.momentum * (m2 / (n - 1)));
  }
}

void statistics(const Tensor& x, std::int64_t images, std::int64_t groups, double eps, const Running& running,
                Tensor& mean, Tensor& rstd, const char* op) {
  const std::int64_t c = x.size(-1);
  const ColumnGrid g(images, x.numel() / images / c, c, whole_vectors(x), 32);
  Workspace partial(column_sums_bytes(g));
  dispatch_stored(x, op, [&]<class T>() {
    const T* from = x.data<T>();
    if (g.vector == 4) {
      launch(chunk_moments<4, T>, g.grid(), g.block(), 0, g, from, partial.data<double>());
    } else {
      launch(chunk_moments<1, T>, g.grid(), g.block(), 0, g, from, partial.data<double>());
    }
  });
  launch(join_moments, grid_for(images * groups * warp_size, column_threads), column_threads, 0,
         partial.data<double>(), g, static_cast<int>(groups), eps, running, mean.data<float>(),
         rstd.data<float>());
}

// ---- normalization ----

/// What belongs to a channel: mean, rstd [images, groups], weight and bias [columns] or nullptr.
struct ChannelParams {
  const float *mean, *rstd, *weight, *bias;
  int groups, width;  ///< of a group
  bool by_channel;  ///< a group is a channel of the only image, and vectors of 4 of mean and rstd are aligned
  bool vectors;     ///< vectors of 4 of weight and bias are aligned
};

/// y = scale x + shift.
template <int V>
struct Channels {
  float mean[V], scale[V], shift[V];

  __device__ Channels(const ChannelParams& p, std::int64_t image, int column) {
    float rstd[V], weight[V], bias[V] = {};
#pragma unroll
    for (int i = 0; i < V; ++i) weight[i] = 1;
    if (p.by_channel) {
      load_vector<float, V>(p.mean + column, mean);
      load_vector<float, V>(p.rstd + column, rstd);
    } else {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        const std::int64_t group = image * p.groups + (column + i) / p.width;
        mean[i] = p.mean[group];
        rstd[i] = p.rstd[group];
      }
    }
    if (p.vectors) {
      if (p.weight) load_vector<float, V>(p.weight + column, weight);
      if (p.bias) load_vector<float, V>(p.bias + column, bias);
    } else {
#pragma unroll
      for (int i = 0; i < V; ++i) {
        if (p.weight) weight[i] = p.weight[column + i];
        if (p.bias) bias[i] = p.bias[column + i];
      }
    }
#pragma unroll
    for (int i = 0; i < V; ++i) {
      scale[i] = weight[i] * rstd[i];
      shift[i] = bias[i] - mean[i] * scale[i];
    }
  }
};

template <int V, bool relu, class T>
__global__ void __launch_bounds__(column_threads)
    normalize(const __grid_constant__ ColumnGrid g, const __grid_constant__ ChannelParams p, const T* x,
              T* y) {
  const ColumnPlace<V> place(g);
  if (!place.inside) return;
  const Channels<V> c(p, place.image, place.column);
#pragma unroll 4
  for (int row = place.begin; row < place.end; row += place.step) {
    const std::int64_t at = place.first + std::int64_t{row} * g.columns;
    float v[V];
    load_vector<T, V>(x + at, v);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      v[i] = fmaf(c.scale[i], v[i], c.shift[i]);
      if (relu) v[i] = v[i] < 0 ? 0.0f : v[i];  // NaN stays
    }
    store_vector<T, V>(y + at, v);
  }
}

template <class T>
void launch_normalize(const ColumnGrid& g, const ChannelParams& p, const Tensor& x, bool relu, Tensor& y) {
  const auto run = g.vector == 4 ? (relu ? normalize<4, true, T> : normalize<4, false, T>)
                                 : (relu ? normalize<1, true, T> : normalize<1, false, T>);
  launch(run, g.grid(), g.block(), 0, g, p, x.data<T>(), y.data<T>());
}

// ---- backward ----

/// dy where relu let it through: the same test on the same bits as forward's.
template <bool relu>
__device__ inline float through(float dy, float x, float scale, float shift) {
  return relu && fmaf(scale, x, shift) <= 0 ? 0.0f : dy;
}

template <class T>
struct GradientParams {
  ChannelParams channels;
  const T *dy, *x;
};

/// Sums of dy and dy (x - mean).
template <bool relu, class T>
struct GradientSums {
  template <int V>
  class Of {
   public:
    using Params = GradientParams<T>;
    __device__ Of(const Params& p, std::int64_t image, int column) : p_(p), c_(p.channels, image, column) {}
    __device__ void operator()(std::int64_t at, std::int64_t, float (&d)[V], float (&product)[V]) const {
      float x[V];
      load_vector<T, V>(p_.dy + at, d);
      load_vector<T, V>(p_.x + at, x);
#pragma unroll
      for (int i = 0; i < V; ++i) {
        d[i] = through<relu>(d[i], x[i], c_.scale[i], c_.shift[i]);
        product[i] = d[i] * (x[i] - c_.mean[i]);
      }
    }

   private:
    const Params& p_;
    Channels<V> c_;
  };
};

/// dx = scale dy + slope (x - mean) + offset, where mean and rstd depend on x; slope, offset [images,
/// groups]. One warp sums the chunks and channels of one group of one image, weighted by the channels'
/// weights.
__global__ void __launch_bounds__(column_threads)
    gradient_coefficients(const double* sums, const __grid_constant__ ColumnGrid g,
                          const __grid_constant__ ChannelParams p, float* slope, float* offset) {
  const std::int64_t group = (std::int64_t{blockIdx.x} * column_threads + threadIdx.x) / warp_size;
  if (group >= g.images * p.groups) return;
  const int lane = static_cast<int>(threadIdx.x) % warp_size;
  const std::int64_t image = group / p.groups, first = group % p.groups * p.width;
  double sum = 0, sum_x = 0;
  for (std::int64_t i = lane; i < std::int64_t{g.chunks} * p.width; i += warp_size) {
    const std::int64_t chunk = i / p.width, channel = first + i % p.width;
    const double* from = sums + (image * g.chunks + chunk) * 2 * g.columns + channel;
    const double weight = p.weight ? p.weight[channel] : 1.0;
    sum += weight * from[0];
    sum_x += weight * from[g.columns];
  }
  sum = warp_reduce(sum, Plus{});
  sum_x = warp_reduce(sum_x, Plus{});
  if (lane != 0) return;
  const double r = p.rstd[group], n = static_cast<double>(g.rows) * p.width;
  slope[group] = static_cast<float>(-r * r * r * sum_x / n);
  offset[group] = static_cast<float>(-r * sum / n);
}

/// dweight and dbias [columns] from the sums of all images.
__global__ void __launch_bounds__(column_threads)
    parameter_gradients(const double* sums, const __grid_constant__ ColumnGrid g,
                        const __grid_constant__ ChannelParams p, float* dweight, float* dbias) {
  const int column = static_cast<int>(blockIdx.x) * column_threads + static_cast<int>(threadIdx.x);
  if (column >= g.columns) return;
  double weight = 0, bias = 0;
  for (std::int64_t image = 0; image < g.images; ++image) {
    double sum = 0, sum_x = 0;
    const double* from = sums + image * g.chunks * 2 * g.columns + column;
#pragma unroll 4
    for (int chunk = 0; chunk < g.chunks; ++chunk) {
      sum += from[std::int64_t{chunk} * 2 * g.columns];
      sum_x += from[(std::int64_t{chunk} * 2 + 1) * g.columns];
    }
    weight += sum_x * p.rstd[image * p.groups + column / p.width];
    bias += sum;
  }
  if (dweight) dweight[column] = static_cast<float>(weight);
  if (dbias) dbias[column] = static_cast<float>(bias);
}

/// slope may be nullptr: then mean and rstd do not depend on x.
template <int V, bool relu, class T>
__global__ void __launch_bounds__(column_threads)
    normalize_backward(const __grid_constant__ ColumnGrid g, const __grid_constant__ GradientParams<T> p,
                       const float* slope, const float* offset, T* dx) {
  const ColumnPlace<V> place(g);
  if (!place.inside) return;
  const Channels<V> c(p.channels, place.image, place.column);
  // dx = scale dy + (slope x + rest).
  float slopes[V] = {}, rest[V] = {};
  if (slope) {
#pragma unroll
    for (int i = 0; i < V; ++i) {
      const std::int64_t group = place.image * p.channels.groups + (place.column + i) / p.channels.width;
      slopes[i] = slope[group];
      rest[i] = offset[group];
    }
  }
#pragma unroll 2
  for (int row = place.begin; row < place.end; row += place.step) {
    const std::int64_t at = place.first + std::int64_t{row} * g.columns;
    float d[V], x[V];
    load_vector<T, V>(p.dy + at, d);
    load_vector<T, V>(p.x + at, x);
#pragma unroll
    for (int i = 0; i < V; ++i) {
      d[i] = through<relu>(d[i], x[i], c.scale[i], c.shift[i]);
      d[i] = fmaf(c.scale[i], d[i], fmaf(slopes[i], x[i] - c.mean[i], rest[i]));
    }
    store_vector<T, V>(dx + at, d);
  }
}

template <bool relu, class T>
void backward(const Tensor& dy, const Tensor& x, std::int64_t images, const ChannelParams& channels,
              bool from_batch, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  const std::int64_t c = x.size(-1);
  const ColumnGrid g(images, x.numel() / images / c, c, whole_vectors(dy, x, dx), 32);
  const GradientParams<T> p{channels, dy.data<T>(), x.data<T>()};
  const bool parameters = dweight.defined() || dbias.defined(),
             sums_needed = parameters || (from_batch && dx.defined());
  Workspace sums(sums_needed ? column_sums_bytes(g) : 0);
  const std::int64_t groups = images * channels.groups;
  Workspace coefficients(from_batch ? static_cast<std::size_t>(2 * groups) * sizeof(float) : 0);
  float *slope = coefficients.data<float>(), *offset = slope ? slope + groups : nullptr;
  if (sums_needed) launch_column_sums<GradientSums<relu, T>::template Of>(g, p, sums.data<double>());
  if (parameters)
    launch(parameter_gradients, grid_for(c, column_threads), column_threads, 0, sums.data<double>(), g,
           channels, optional(dweight), optional(dbias));
  if (!dx.defined()) return;
  if (from_batch)
    launch(gradient_coefficients, grid_for(groups * warp_size, column_threads), column_threads, 0,
           sums.data<double>(), g, channels, slope, offset);
  const auto run = g.vector == 4 ? normalize_backward<4, relu, T> : normalize_backward<1, relu, T>;
  launch(run, g.grid(), g.block(), 0, g, p, slope, offset, dx.data<T>());
}

// ---- batch norm ----

void batch_norm_statistics(const Tensor& x, double momentum, double eps, Tensor& running_mean,
                           Tensor& running_var, Tensor& mean, Tensor& rstd) {
  if (x.numel() == 0) return;
  statistics(x, 1, x.size(-1), eps, {optional(running_mean), optional(running_var), momentum}, mean, rstd,
             "batch_norm_statistics");
}

__global__ void __launch_bounds__(column_threads)
    use_running(const float* running_mean, const float* running_var, double eps, std::int64_t n, float* mean,
                float* rstd) {
  const std::int64_t i = std::int64_t{blockIdx.x} * column_threads + threadIdx.x;
  if (i >= n) return;
  mean[i] = running_mean[i];
  rstd[i] = static_cast<float>(1 / sqrt(static_cast<double>(running_var[i]) + eps));
}

void batch_norm_running(const Tensor& running_mean, const Tensor& running_var, double eps, Tensor& mean,
                        Tensor& rstd) {
  launch(use_running, grid_for(mean.numel(), column_threads), column_threads, 0, running_mean.data<float>(),
         running_var.data<float>(), eps, mean.numel(), mean.data<float>(), rstd.data<float>());
}

ChannelParams channel_params(const Tensor& weight, const Tensor& bias, const Tensor& mean, const Tensor& rstd,
                             std::int64_t images, std::int64_t columns, std::int64_t groups) {
  return {.mean = mean.data<float>(),
          .rstd = rstd.data<float>(),
          .weight = optional(weight),
          .bias = optional(bias),
          .groups = static_cast<int>(groups),
          .width = static_cast<int>(columns / groups),
          .by_channel = images == 1 && groups == columns && whole_vectors(mean, rstd),
          .vectors = whole_vectors(weight, bias)};
}

void batch_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                const Tensor& rstd, bool relu, Tensor& y) {
  if (x.numel() == 0) return;
  const std::int64_t c = x.size(-1);
  const ColumnGrid g(1, x.numel() / c, c, whole_vectors(x, y), 16);
  dispatch_stored(x, "batch_norm", [&]<class T>() {
    launch_normalize<T>(g, channel_params(weight, bias, mean, rstd, 1, c, c), x, relu, y);
  });
}

void batch_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                         const Tensor& mean, const Tensor& rstd, bool relu, bool from_batch, Tensor& dx,
                         Tensor& dweight, Tensor& dbias) {
  if (x.numel() == 0) {
    zero(dweight);
    zero(dbias);
    return;
  }
  const std::int64_t c = x.size(-1);
  dispatch_stored(x, "batch_norm_backward", [&]<class T>() {
    (relu ? backward<true, T> : backward<false, T>)(dy, x, 1,
                                                    channel_params(weight, bias, mean, rstd, 1, c, c),
                                                    from_batch, dx, dweight, dbias);
  });
}

// ---- group norm ----

void group_norm(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                Tensor& mean, Tensor& rstd) {
  if (x.numel() == 0) return;
  const std::int64_t images = x.size(0), c = x.size(-1), groups = mean.size(1);
  statistics(x, images, groups, eps, {nullptr, nullptr, 0}, mean, rstd, "group_norm");
  const ColumnGrid g(images, x.numel() / images / c, c, whole_vectors(x, y), 16);
  dispatch_stored(x, "group_norm", [&]<class T>() {
    launch_normalize<T>(g, channel_params(weight, bias, mean, rstd, images, c, groups), x, false, y);
  });
}

void group_norm_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                         const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias) {
  if (x.numel() == 0) {
    zero(dweight);
    zero(dbias);
    return;
  }
  dispatch_stored(x, "group_norm_backward", [&]<class T>() {
    backward<false, T>(dy, x, x.size(0),
                       channel_params(weight, {}, mean, rstd, x.size(0), x.size(-1), mean.size(1)), true, dx,
                       dweight, dbias);
  });
}

}  // namespace

void register_norm_kernels(KernelTable& table) {
  table.add<decltype(kernels::batch_norm_statistics), batch_norm_statistics>("batch_norm_statistics");
  table.add<decltype(kernels::batch_norm_running), batch_norm_running>("batch_norm_running");
  table.add<decltype(kernels::batch_norm), batch_norm>("batch_norm");
  table.add<decltype(kernels::batch_norm_backward), batch_norm_backward>("batch_norm_backward");
  table.add<decltype(kernels::group_norm), group_norm>("group_norm");
  table.add<decltype(kernels::group_norm_backward), group_norm_backward>("group_norm_backward");
}

}  // namespace karyon::cuda
