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

}  // namespace

constinit decltype(kernels::activation) kernels::activation{"activation", activation_cpu};
constinit decltype(kernels::activation_backward) kernels::activation_backward{"activation_backward",
                                                                              activation_backward_cpu};

}  // namespace karyon
