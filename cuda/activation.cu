// Activations: the formulas of core/kernels/functors/activation.h over vectors of 16 bytes (map.cuh).
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/functors/activation.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Activation;

void activation(Activation op, double p, double q, const Tensor& x, Tensor& y) {
  functors::visit(op, p, q, [&](auto f) {
    dispatch_float("activation", x, f, [&]<class T>(auto g) { map_same<T>(g, y, Input<T>{x}); });
  });
}

void activation_backward(Activation op, double p, double q, const Tensor& dy, const Tensor& saved,
                         Tensor& dx) {
  functors::visit(op, p, q, [&](auto f) {
    dispatch_float("activation_backward", dy, Grad<decltype(f)>{f},
                   [&]<class T>(auto g) { map_same<T>(g, dx, Input<T>{dy}, Input<T>{saved}); });
  });
}

void prelu(const Tensor& x, const Tensor& weight, Tensor& y) {
  dispatch_float("prelu", x, functors::Prelu{},
                 [&]<class T>(auto f) { map<T>(f, y, Input<T>{x}, Input<float>{weight}); });
}
void prelu_backward(const Tensor& dy, const Tensor& x, const Tensor& weight, Tensor& dx) {
  dispatch_float("prelu_backward", x, functors::PreluGrad{},
                 [&]<class T>(auto f) { map<T>(f, dx, Input<T>{dy}, Input<T>{x}, Input<float>{weight}); });
}

struct WeightGrad {
  template <class T>
  __device__ float operator()(T dy, T x) const {
    return functors::PreluWeightGrad{}(to_float(dy), to_float(x));
  }
};
void prelu_weight_backward(const Tensor& dy, const Tensor& x, Tensor& dw) {
  if (x.dtype() == bf16) return map_same<float>(WeightGrad{}, dw, Input<BFloat16>{dy}, Input<BFloat16>{x});
  check_f32("prelu_weight_backward", x);
  map_same<float>(WeightGrad{}, dw, Input<float>{dy}, Input<float>{x});
}

// One thread per value of y; x is rows of 2 half values.
template <class T>
__global__ void __launch_bounds__(map_threads)
    glu_kernel(std::int64_t n, std::int64_t half, const T* dy, const T* x, T* out) {
  const std::int64_t i = std::int64_t{blockIdx.x} * map_threads + threadIdx.x;
  if (i >= n) return;
  std::int64_t column;
  const std::int64_t row = divide(i, half, column), a = 2 * row * half + column, b = a + half;
  const float u = to_float(x[a]), v = to_float(x[b]);
  if (dy == nullptr) {
    out[i] = from_float<T>(functors::Glu{}(u, v));
  } else {
    const float g = to_float(dy[i]);
    out[a] = from_float<T>(functors::Glu{}.grad_a(g, u, v));
    out[b] = from_float<T>(functors::Glu{}.grad_b(g, u, v));
  }
}
// The value if dy is undefined, else the gradient.
void run_glu(const char* op, const Tensor& dy, const Tensor& x, std::int64_t half, Tensor& out) {
  const std::int64_t n = x.numel() / 2;
  const auto run = [&]<class T>() {
    launch(glu_kernel<T>, grid_for(n, map_threads), map_threads, 0, n, half,
           dy.defined() ? dy.data<T>() : nullptr, x.data<T>(), out.data<T>());
  };
  if (x.dtype() == bf16) return run.template operator()<BFloat16>();
  check_f32(op, x);
  run.template operator()<float>();
}
void glu(const Tensor& x, std::int64_t half, Tensor& y) { run_glu("glu", Tensor(), x, half, y); }
void glu_backward(const Tensor& dy, const Tensor& x, std::int64_t half, Tensor& dx) {
  run_glu("glu_backward", dy, x, half, dx);
}

}  // namespace

void register_activation_kernels(KernelTable& table) {
  table.add<decltype(kernels::activation), activation>("activation");
  table.add<decltype(kernels::activation_backward), activation_backward>("activation_backward");
  table.add<decltype(kernels::prelu), prelu>("prelu");
  table.add<decltype(kernels::prelu_backward), prelu_backward>("prelu_backward");
  table.add<decltype(kernels::prelu_weight_backward), prelu_weight_backward>("prelu_weight_backward");
  table.add<decltype(kernels::glu), glu>("glu");
  table.add<decltype(kernels::glu_backward), glu_backward>("glu_backward");
}

}  // namespace karyon::cuda
