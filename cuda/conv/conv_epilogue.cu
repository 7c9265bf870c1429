// The steps that cuDNN's kernels do not do: scale, shift and ReLU per channel. Filters can have their scale
// multiplied in: that saves a pass over the result if filters are smaller than images. The one idea: a thread
// owns one vector of 16 bytes at most, whose channels are neighbours. Parameters are then read in vectors,
// too.
#include <karyon/core/kernels/functors/activation.h>
#include <karyon/cuda/conv/conv_epilogue.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

// N parameters as f32; `fallback` where there are none.
template <int N, class P>
__device__ void get_parameters(const P* from, std::int64_t at, float fallback, float (&out)[N]) {
  constexpr int step = N < 16 / int{sizeof(P)} ? N : 16 / int{sizeof(P)};
#pragma unroll
  for (int i = 0; i < N; i += step) {
    Vec<P, step> part;
    if (from) part = load<step>(from + at + i);
#pragma unroll
    for (int k = 0; k < step; ++k) out[i + k] = from ? static_cast<float>(part[k]) : fallback;
  }
}

template <int N, class T, class P>
__global__ void __launch_bounds__(map_threads)
    affine_kernel(T* y, const P* scale, const P* shift, bool relu, std::int64_t n, std::int64_t channels) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * map_threads + threadIdx.x) * N;
  if (i >= n) return;
  std::int64_t channel;
  divide(i, channels, channel);
  float factors[N], summands[N];
  get_parameters(scale, channel, 1, factors);
  get_parameters(shift, channel, 0, summands);
  Vec<T, N> values = load<N>(y + i);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const float value = static_cast<float>(values[k]) * factors[k] + summands[k];
    values[k] = T(relu ? functors::Relu()(value) : value);
  }
  store(y + i, values);
}

struct NoActivation {
  __device__ float operator()(float x) const { return x; }
};

template <int N, class T, class F>
__global__ void __launch_bounds__(map_threads) finish_kernel(T* y, const T* residual, F f, std::int64_t n) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * map_threads + threadIdx.x) * N;
  if (i >= n) return;
  Vec<T, N> values = load<N>(y + i), added;
  if (residual) added = load<N>(residual + i);
#pragma unroll
  for (int k = 0; k < N; ++k) {
    const auto value = static_cast<float>(values[k]);
    values[k] = T(f(residual ? value + static_cast<float>(added[k]) : value));
  }
  store(y + i, values);
}

// f(the functor of the activation).
template <class F>
void visit(ActivationKind activation, F f) {
  switch (activation) {
    case ActivationKind::none: return f(NoActivation{});
    case ActivationKind::relu: return f(functors::Relu{});
    case ActivationKind::relu6: return f(functors::Hardtanh{0, 6});
    case ActivationKind::silu: return f(functors::Silu{});
    case ActivationKind::hardswish: return f(functors::Hardswish{});
    case ActivationKind::gelu: return f(functors::Gelu{});
  }
}

template <int N, class T, class P>
__global__ void __launch_bounds__(map_threads)
    scale_rows(const T* weight, const P* scale, T* out, std::int64_t n, std::int64_t row) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * map_threads + threadIdx.x) * N;
  if (i >= n) return;
  std::int64_t column;
  const auto factor = static_cast<float>(scale[divide(i, row, column)]);
  Vec<T, N> values = load<N>(weight + i);
#pragma unroll
  for (int k = 0; k < N; ++k) values[k] = T(static_cast<float>(values[k]) * factor);
  store(out + i, values);
}

__global__ void __launch_bounds__(map_threads)
    round_values(const float* values, BFloat16* out, std::int64_t n) {
  const std::int64_t i = std::int64_t{blockIdx.x} * map_threads + threadIdx.x;
  if (i < n) out[i] = from_float<BFloat16>(values[i]);
}

// Calls f with the element types of a tensor and of its parameters.
template <class F>
void dispatch(const char* op, const Tensor& y, DType parameters, F f) {
  check(y.dtype() == f32 || y.dtype() == bf16, op, ": expects f32 or bf16, got ", y.dtype());
  check(parameters == f32 || parameters == y.dtype(), op, ": expects parameters of f32 or ", y.dtype(),
        ", got ", parameters);
  if (y.dtype() == f32) {
    f.template operator()<float, float>();
  } else if (parameters == f32) {
    f.template operator()<BFloat16, float>();
  } else {
    f.template operator()<BFloat16, BFloat16>();
  }
}

template <class T>
T* data_or_null(const Tensor& x) {
  return x.defined() ? static_cast<T*>(x.data_ptr()) : nullptr;
}

}  // namespace

void channel_affine(Tensor& y, const Tensor& scale, const Tensor& shift, bool relu) {
  if (!scale.defined() && !shift.defined() && !relu) return;
  const DType parameters = scale.defined() ? scale.dtype() : shift.defined() ? shift.dtype() : y.dtype();
  check(!shift.defined() || shift.dtype() == parameters, "channel_affine: scale is ", parameters,
        " but shift is ", shift.defined() ? shift.dtype() : parameters);
  dispatch("channel_affine", y, parameters, [&]<class T, class P>() {
    constexpr int widest = vector_length<T, P>;
    const std::int64_t n = y.numel(), channels = y.size(-1);
    auto* values = static_cast<T*>(y.data_ptr());
    const auto *factors = data_or_null<const P>(scale), *summands = data_or_null<const P>(shift);
    if (channels % widest == 0 && aligned(16, values, factors, summands)) {
      launch(affine_kernel<widest, T, P>, grid_for(n, map_threads * widest), map_threads, 0, values, factors,
             summands, relu, n, channels);
    } else {
      launch(affine_kernel<1, T, P>, grid_for(n, map_threads), map_threads, 0, values, factors, summands,
             relu, n, channels);
    }
  });
}

void finish_in_place(Tensor& y, const ConvFinish& finish) {
  if (finish.activation == ActivationKind::none && !finish.residual.defined()) return;
  dispatch("conv2d_affine", y, y.dtype(), [&]<class T, class P>() {
    constexpr int widest = 16 / sizeof(T);
    const std::int64_t n = y.numel();
    auto* values = static_cast<T*>(y.data_ptr());
    const auto* residual = data_or_null<const T>(finish.residual);
    const bool vectors = n % widest == 0 && aligned(16, values, residual);
    visit(finish.activation, [&](auto f) {
      if (vectors) {
        launch(finish_kernel<widest, T, decltype(f)>, grid_for(n, map_threads * widest), map_threads, 0,
               values, residual, f, n);
      } else {
        launch(finish_kernel<1, T, decltype(f)>, grid_for(n, map_threads), map_threads, 0, values, residual,
               f, n);
      }
    });
  });
}

void round_to_bf16(const Tensor& values, BFloat16* out) {
  launch(round_values, grid_for(values.numel(), map_threads), map_threads, 0, values.data<float>(), out,
         values.numel());
}

void scale_filters(const Tensor& weight, const Tensor& scale, void* out) {
  dispatch("scale_filters", weight, scale.dtype(), [&]<class T, class P>() {
    constexpr int widest = 16 / sizeof(T);
    const std::int64_t n = weight.numel(), row = n / weight.size(0);
    const auto* from = static_cast<const T*>(weight.data_ptr());
    const auto* factors = static_cast<const P*>(scale.data_ptr());
    auto* to = static_cast<T*>(out);
    if (row % widest == 0 && aligned(16, from, to)) {
      launch(scale_rows<widest, T, P>, grid_for(n, map_threads * widest), map_threads, 0, from, factors, to,
             n, row);
    } else {
      launch(scale_rows<1, T, P>, grid_for(n, map_threads), map_threads, 0, from, factors, to, n, row);
    }
  });
}

}  // namespace karyon::cuda
