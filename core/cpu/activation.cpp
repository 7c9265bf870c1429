#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/functors/activation.h>

namespace karyon {
namespace {

using cpu::Input;
using kernels::Activation;

void activation_cpu(Activation op, double p, double q, const Tensor& x, Tensor& y) {
  cpu::dispatch_mapped(x.dtype(), "activation", [&]<class T>() {
    functors::visit(op, p, q, [&](auto f) { cpu::map<T>(f, y, Input<T>{x}); });
  });
}

void activation_backward_cpu(Activation op, double p, double q, const Tensor& dy, const Tensor& saved,
                             Tensor& dx) {
  cpu::dispatch_mapped(dy.dtype(), "activation_backward", [&]<class T>() {
    functors::visit(op, p, q, [&](auto f) {
      cpu::map<T>([f](cpu::Computed<T> g, cpu::Computed<T> s) { return f.grad(g, s); }, dx, Input<T>{dy},
                  Input<T>{saved});
    });
  });
}

void prelu_cpu(const Tensor& x, const Tensor& weight, Tensor& y) {
  cpu::dispatch_mapped(x.dtype(), "prelu", [&]<class T>() {
    cpu::map<T>(functors::Prelu{}, y, Input<T>{x}, Input<cpu::Computed<T>>{weight});
  });
}

void prelu_backward_cpu(const Tensor& dy, const Tensor& x, const Tensor& weight, Tensor& dx) {
  cpu::dispatch_mapped(x.dtype(), "prelu_backward", [&]<class T>() {
    cpu::map<T>(functors::PreluGrad{}, dx, Input<T>{dy}, Input<T>{x}, Input<cpu::Computed<T>>{weight});
  });
}

void prelu_weight_backward_cpu(const Tensor& dy, const Tensor& x, Tensor& dw) {
  cpu::dispatch_mapped(x.dtype(), "prelu_weight_backward", [&]<class T>() {
    cpu::map<cpu::Computed<T>>(functors::PreluWeightGrad{}, dw, Input<T>{dy}, Input<T>{x});
  });
}

// f(elements, begin of dy, begin of a, begin of b) for the parts of rows, in chunks of about map_grain
// elements. x is rows of 2 half values, dy of half.
template <class F>
void for_halves(std::int64_t numel, std::int64_t half, F f) {
  if (numel == 0) return;
  parallel_for(numel / 2, cpu::map_grain, [&](std::int64_t begin, std::int64_t end) {
    while (begin < end) {
      const std::int64_t row = begin / half, column = begin % half,
                         count = std::min(half - column, end - begin);
      const std::int64_t a = 2 * row * half + column;
      f(count, begin, a, a + half);
      begin += count;
    }
  });
}

void glu_cpu(const Tensor& x, std::int64_t half, Tensor& y) {
  cpu::dispatch_mapped(x.dtype(), "glu", [&]<class T>() {
    const T* in = x.data<T>();
    T* out = y.data<T>();
    for_halves(x.numel(), half, [=](std::int64_t n, std::int64_t to, std::int64_t a, std::int64_t b) {
      cpu::map_run(functors::Glu{}, n, out + to, in + a, in + b);
    });
  });
}

void glu_backward_cpu(const Tensor& dy, const Tensor& x, std::int64_t half, Tensor& dx) {
  cpu::dispatch_mapped(x.dtype(), "glu_backward", [&]<class T>() {
    using C = cpu::Computed<T>;
    const T *g = dy.data<T>(), *in = x.data<T>();
    T* out = dx.data<T>();
    for_halves(x.numel(), half, [=](std::int64_t n, std::int64_t from, std::int64_t a, std::int64_t b) {
      const functors::Glu f;
      cpu::map_run([f](C u, C v, C w) { return f.grad_a(u, v, w); }, n, out + a, g + from, in + a, in + b);
      cpu::map_run([f](C u, C v, C w) { return f.grad_b(u, v, w); }, n, out + b, g + from, in + a, in + b);
    });
  });
}

}  // namespace

constinit decltype(kernels::activation) kernels::activation{"activation", activation_cpu};
constinit decltype(kernels::activation_backward) kernels::activation_backward{"activation_backward",
                                                                              activation_backward_cpu};
constinit decltype(kernels::prelu) kernels::prelu{"prelu", prelu_cpu};
constinit decltype(kernels::prelu_backward) kernels::prelu_backward{"prelu_backward", prelu_backward_cpu};
constinit decltype(kernels::prelu_weight_backward) kernels::prelu_weight_backward{"prelu_weight_backward",
                                                                                  prelu_weight_backward_cpu};
constinit decltype(kernels::glu) kernels::glu{"glu", glu_cpu};
constinit decltype(kernels::glu_backward) kernels::glu_backward{"glu_backward", glu_backward_cpu};

}  // namespace karyon
