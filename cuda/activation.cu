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

}  // namespace

void register_activation_kernels(KernelTable& table) {
  table.add<decltype(kernels::activation)>("activation", activation);
  table.add<decltype(kernels::activation_backward)>("activation_backward", activation_backward);
}

}  // namespace karyon::cuda
