#pragma once
#include <algorithm>
#include <array>

#include <karyon/core/tensor.h>
#include <karyon/cuda/launch.cuh>
#include <karyon/cuda/scalar.cuh>

// y[i] = f(a[i], b[i], ...) with broadcasting. The one idea: each thread owns one vector of 16 bytes at most,
// so a warp reads whole lines. A broadcast input is also read in vectors if its run allows it.
namespace karyon::cuda {

inline constexpr int map_threads = 256;

/// A bool is the byte that holds it.
template <class T>
using Stored = std::conditional_t<std::is_same_v<T, bool>, std::uint8_t, T>;

/// How an input maps to the output's dimensions, innermost first. Adjacent ones are merged if the input is
/// broadcast along both or along neither. Stride 0: broadcast.
struct Layout {
  int dims = 0;
  std::int64_t sizes[Shape::max_dims], strides[Shape::max_dims];

  Layout(const Shape& in, const Shape& out) : strides{} {
    std::int64_t stride = 1;
    for (int d = out.dims() - 1; d >= 0; --d) {
      const int e = d - (out.dims() - in.dims());
      const bool along = e < 0 || in[e] != out[d];
      if (out[d] == 1) continue;
      if (dims > 0 && (strides[dims - 1] == 0) == along) {
        sizes[dims - 1] *= out[d];
      } else {
        sizes[dims] = out[d];
        strides[dims++] = along ? 0 : stride;
      }
      if (!along) stride *= out[d];
    }
  }
};

/// a / b and a % b; in 32 bits where that suffices.
__device__ inline std::int64_t divide(std::int64_t a, std::int64_t b, std::int64_t& remainder) {
  if (((a | b) >> 32) == 0) {
    const auto u = static_cast<std::uint32_t>(a), v = static_cast<std::uint32_t>(b), q = u / v;
    remainder = u - q * v;
    return q;
  }
  const std::int64_t q = a / b;
  remainder = a - q * b;
  return q;
}

/// One input of a map.
template <class T>
struct Source {
  const T* x;
  Layout layout;
  bool vectors;  // a vector of outputs has a vector of inputs, or a single value, under it

  __device__ std::int64_t offset(std::int64_t i) const {
    std::int64_t at = 0;
#pragma unroll 1
    for (int d = 0; d + 1 < layout.dims; ++d) {
      std::int64_t k;
      i = divide(i, layout.sizes[d], k);
      at += k * layout.strides[d];
    }
    return layout.dims > 0 ? at + i * layout.strides[layout.dims - 1] : at;
  }

  template <int N>
  __device__ Vec<T, N> get(std::int64_t i) const {
    Vec<T, N> out;
    if (vectors) {
      const T* from = x + offset(i);
      if (layout.strides[0] == 1) return load<N>(from);
      const T value = *from;
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = value;
    } else {
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = x[offset(i + k)];
    }
    return out;
  }
};

// `vectors`: all the arrays are aligned.
template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(map_threads)
    map_dense(F f, std::int64_t n, bool vectors, Out* y, const In*... x) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * map_threads + threadIdx.x) * N;
  if (vectors && i + N <= n) {
    [&](const Vec<In, N>&... in) {
      Vec<Out, N> out;
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = f(in[k]...);
      store(y + i, out);
    }(load<N>(x + i)...);
  } else {
#pragma unroll 1
    for (std::int64_t k = i; k < i + N && k < n; ++k) y[k] = f(x[k]...);
  }
}

template <int N, class F, class Out, class... In>
__global__ void __launch_bounds__(map_threads)
    map_broadcast(F f, std::int64_t n, bool vectors, Out* y, Source<In>... x) {
  const std::int64_t i = (std::int64_t{blockIdx.x} * map_threads + threadIdx.x) * N;
  if (vectors && i + N <= n) {
    [&](const Vec<In, N>&... in) {
      Vec<Out, N> out;
#pragma unroll
      for (int k = 0; k < N; ++k) out[k] = f(in[k]...);
      store(y + i, out);
    }(x.template get<N>(i)...);
  } else {
#pragma unroll 1
    for (std::int64_t k = i; k < i + N && k < n; ++k) y[k] = f(x.x[x.offset(k)]...);
  }
}

/// Elements that fit one vector of the widest of the types.
template <class... T>
inline constexpr int vector_length = static_cast<int>(16 / std::max({sizeof(T)...}));

/// An input and its element type.
template <class T>
struct Input {
  const Tensor& x;
  const Stored<T>* data() const { return static_cast<const Stored<T>*>(x.data_ptr()); }
};

/// y[i] = f(inputs[i]...), all inputs of y's shape.
template <class Out, class F, class... In>
void map_same(F f, Tensor& y, Input<In>... inputs) {
  constexpr int N = vector_length<Out, In...>;
  auto* out = static_cast<Stored<Out>*>(y.data_ptr());
  const bool vectors = aligned(16, out, inputs.data()...);
  launch(map_dense<N, F, Stored<Out>, Stored<In>...>, grid_for(y.numel(), map_threads * N), map_threads, 0, f,
         y.numel(), vectors, out, inputs.data()...);
}

/// y[i] = f(inputs[i]...), each input broadcast to y's shape.
template <class Out, class F, class... In>
void map(F f, Tensor& y, Input<In>... inputs) {
  if ((... && (inputs.x.shape() == y.shape()))) return map_same<Out>(f, y, inputs...);
  constexpr int N = std::min(vector_length<Out, In...>, 4);  // more take too many registers
  auto* out = static_cast<Stored<Out>*>(y.data_ptr());
  auto source = [&]<class T>(const Input<T>& input) {
    const Layout layout(input.x.shape(), y.shape());
    bool vectors = layout.dims == 0 || layout.sizes[0] % N == 0;
    if (layout.dims > 0 && layout.strides[0] == 1) vectors = vectors && aligned(16, input.data());
    for (int d = 1; d < layout.dims; ++d)
      vectors = vectors && (layout.strides[0] == 0 || layout.strides[d] % N == 0);
    return Source<Stored<T>>{input.data(), layout, vectors};
  };
  launch(map_broadcast<N, F, Stored<Out>, Stored<In>...>, grid_for(y.numel(), map_threads * N), map_threads,
         0, f, y.numel(), aligned(16, out), out, source(inputs)...);
}

/// A formula of floats for arrays of bf16: computed in float, rounded once.
template <class F>
struct InFloat {
  F f;
  template <class... T>
  __device__ BFloat16 operator()(T... x) const {
    return from_float<BFloat16>(f(to_float(x)...));
  }
};

/// Calls run.operator()<T>(g) with the element type of x, f32 or bf16, and f, or what computes it in float.
template <class F, class Run>
void dispatch_float(const char* op, const Tensor& x, F f, Run run) {
  if (x.dtype() == bf16) return run.template operator()<BFloat16>(InFloat<F>{f});
  check(x.dtype() == f32, op, ": expects f32 or bf16 on cuda, got ", x.dtype());
  run.template operator()<float>(f);
}

/// The gradient formula of a functor, as a functor.
template <class F>
struct Grad {
  F f;
  template <class T>
  __device__ T operator()(T dy, T saved) const {
    return f.grad(dy, saved);
  }
};

}  // namespace karyon::cuda
