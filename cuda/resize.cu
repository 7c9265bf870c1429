// Resampling, nearest and bilinear. It is separable. Two small tables, computed once, say which inputs an
// output row (column) mixes and which outputs use an input row (column). Then a thread writes one pixel and a
// vector of channels. Backward gathers, so nothing is added to memory and the order of every sum is fixed.
#include <karyon/core/kernels/resize.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/workspace.h>
#include <karyon/cuda/images.cuh>

namespace karyon::cuda {
namespace {

/// An output takes (1 - share) of input `low` and share of the next one.
struct alignas(8) Tap {
  int low;
  float share;
};
/// The outputs that use an input: [begin, end).
struct alignas(8) Users {
  int begin, end;
};

/// How outputs map to inputs along one dimension.
struct Mapping {
  int in, out;
  bool nearest, align_corners;
  float scale;         ///< nearest: PyTorch's rounding, which is that of floats, decides between neighbours
  double step, first;  ///< bilinear: output o looks at first + step o

  Mapping(std::int64_t inputs, std::int64_t outputs, const InterpolateOptions& options)
      : in(static_cast<int>(inputs)),
        out(static_cast<int>(outputs)),
        nearest(options.mode == InterpolateMode::nearest),
        align_corners(options.align_corners),
        scale(static_cast<float>(inputs) / static_cast<float>(outputs)),
        step(static_cast<double>(inputs) / static_cast<double>(outputs)),
        first(0.5 * step - 0.5) {
    check(std::max(inputs, outputs) < std::int64_t{1} << 30, "interpolate: sizes of ", inputs, " and ",
          outputs, " are more than the cuda kernel takes");
    if (!align_corners) return;
    first = 0;
    step = out > 1 ? static_cast<double>(in - 1) / static_cast<double>(out - 1) : 0;
  }

  __device__ Tap tap(int output) const {
    if (nearest) {
      const int at = min(static_cast<int>(floorf(static_cast<float>(output) * scale)), in - 1);
      return {at, 0};
    }
    const double at = max(0.0, first + step * output);
    const int low = min(static_cast<int>(at), in - 1);
    return {low, static_cast<float>(min(1.0, at - low))};
  }

  /// Taps are in order: the first output whose tap ends at `input` or later, or starts after it.
  __device__ int first_output(int input, bool after) const {
    int begin = 0, end = out;
    while (begin < end) {
      const int middle = (begin + end) / 2;
      const Tap t = tap(middle);
      if (after ? t.low > input : t.low + (nearest ? 0 : 1) >= input) {
        end = middle;
      } else {
        begin = middle + 1;
      }
    }
    return begin;
  }
};

/// One table after the other: rows, then columns.
__global__ void __launch_bounds__(image_threads) make_taps(Mapping rows, Mapping columns, Tap* taps) {
  const int i = static_cast<int>(blockIdx.x) * image_threads + static_cast<int>(threadIdx.x);
  if (i < rows.out + columns.out) taps[i] = i < rows.out ? rows.tap(i) : columns.tap(i - rows.out);
}
__global__ void __launch_bounds__(image_threads) make_users(Mapping rows, Mapping columns, Users* users) {
  const int i = static_cast<int>(blockIdx.x) * image_threads + static_cast<int>(threadIdx.x);
  if (i >= rows.in + columns.in) return;
  users[i] = i < rows.in
                 ? Users{rows.first_output(i, false), rows.first_output(i, true)}
                 : Users{columns.first_output(i - rows.in, false), columns.first_output(i - rows.in, true)};
}

template <class T, int V>
__global__ void __launch_bounds__(image_threads)
    resample(const __grid_constant__ ImageGrid g, ImageSize in, const Tap* rows, const Tap* columns,
             bool nearest, const T* x, T* y) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  const Tap row = rows[place.y], column = columns[place.x];
  float a[V];
  load_vector<T, V>(x + in.at(place, row.low, column.low), a);
  if (!nearest) {
    const int high = min(row.low + 1, in.height - 1), right = min(column.low + 1, in.width - 1);
    float b[V], c[V], d[V];
    load_vector<T, V>(x + in.at(place, row.low, right), b);
    load_vector<T, V>(x + in.at(place, high, column.low), c);
    load_vector<T, V>(x + in.at(place, high, right), d);
    const float v = row.share, u = column.share;
#pragma unroll
    for (int i = 0; i < V; ++i)
      a[i] = (1 - v) * ((1 - u) * a[i] + u * b[i]) + v * ((1 - u) * c[i] + u * d[i]);
  }
  store_vector<T, V>(y + place.at(), a);
}

// How much of an output goes to `input` of `inputs`; the last one is its own neighbour.
__device__ inline float share_of(const Tap& tap, int input, int inputs) {
  return (tap.low == input ? 1 - tap.share : 0.0f) +
         (min(tap.low + 1, inputs - 1) == input ? tap.share : 0.0f);
}

template <class T, int V>
__global__ void __launch_bounds__(image_threads)
    resample_backward(const __grid_constant__ ImageGrid g, ImageSize out, const Tap* rows, const Tap* columns,
                      const Users* row_users, const Users* column_users, const T* dy, T* dx) {
  const ImagePlace<V> place(g);
  if (!place.inside) return;
  const Users down = row_users[place.y], across = column_users[place.x];
  float sum[V] = {};
  for (int oy = down.begin; oy < down.end; ++oy) {
    const float v = share_of(rows[oy], place.y, g.height.value);
    for (int ox = across.begin; ox < across.end; ++ox) {
      const float share = v * share_of(columns[ox], place.x, g.width.value);
      float d[V];
      load_vector<T, V>(dy + out.at(place, oy, ox), d);
#pragma unroll
      for (int i = 0; i < V; ++i) sum[i] = fmaf(share, d[i], sum[i]);
    }
  }
  store_vector<T, V>(dx + place.at(), sum);
}

/// The tables of one call.
class Tables {
 public:
  Tables(const Shape& in, const Shape& out, const InterpolateOptions& options, bool backward)
      : rows_(in[1], out[1], options),
        columns_(in[2], out[2], options),
        taps_(static_cast<std::size_t>(rows_.out + columns_.out) * sizeof(Tap)),
        users_(backward ? static_cast<std::size_t>(rows_.in + columns_.in) * sizeof(Users) : 0) {
    launch(make_taps, grid_for(rows_.out + columns_.out, image_threads), image_threads, 0, rows_, columns_,
           taps_.data<Tap>());
    if (backward)
      launch(make_users, grid_for(rows_.in + columns_.in, image_threads), image_threads, 0, rows_, columns_,
             users_.data<Users>());
  }
  const Tap* rows() { return taps_.data<Tap>(); }
  const Tap* columns() { return taps_.data<Tap>() + rows_.out; }
  const Users* row_users() { return users_.data<Users>(); }
  const Users* column_users() { return users_.data<Users>() + rows_.in; }

 private:
  Mapping rows_, columns_;
  Workspace taps_, users_;
};

void interpolate(const Tensor& x, Tensor& y, const InterpolateOptions& options) {
  if (y.numel() == 0) return;
  Tables tables(x.shape(), y.shape(), options, false);
  dispatch_images("interpolate", x, y, [&]<class T, int V>() {
    const ImageGrid g(y.shape(), V);
    launch(resample<T, V>, g.blocks(), image_threads, 0, g, ImageSize(x.shape()), tables.rows(),
           tables.columns(), options.mode == InterpolateMode::nearest, x.data<T>(), y.data<T>());
  });
}

void interpolate_backward(const Tensor& dy, Tensor& dx, const InterpolateOptions& options) {
  if (dx.numel() == 0) return;
  Tables tables(dx.shape(), dy.shape(), options, true);
  dispatch_images("interpolate_backward", dy, dx, [&]<class T, int V>() {
    const ImageGrid g(dx.shape(), V);
    launch(resample_backward<T, V>, g.blocks(), image_threads, 0, g, ImageSize(dy.shape()), tables.rows(),
           tables.columns(), tables.row_users(), tables.column_users(), dy.data<T>(), dx.data<T>());
  });
}

}  // namespace

void register_resize_kernels(KernelTable& table) {
  table.add<decltype(kernels::interpolate), interpolate>("interpolate");
  table.add<decltype(kernels::interpolate_backward), interpolate_backward>("interpolate_backward");
}

}  // namespace karyon::cuda
