// Activations: the formulas of core/functors.h over vectors of 16 bytes (map.cuh).
#include <karyon/core/functors.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Activation;

void activation(Activation op, double p, double q, const Tensor& x, Tensor& y) {
  check_f32("activation", x);
  functors::visit(op, p, q, [&](auto f) { map_same<float>(f, y, Input<float>{x}); });
}

void activation_backward(Activation op, double p, double q, const Tensor& dy, const Tensor& saved,
                         Tensor& dx) {
  check_f32("activation_backward", dy);
  functors::visit(op, p, q, [&](auto f) {
    map_same<float>(Grad<decltype(f)>{f}, dx, Input<float>{dy}, Input<float>{saved});
  });
}

}  // namespace

void register_activation_kernels(KernelTable& table) {
  table.add<decltype(kernels::activation)>("activation", activation);
  table.add<decltype(kernels::activation_backward)>("activation_backward", activation_backward);
}

}  // namespace karyon::cuda
