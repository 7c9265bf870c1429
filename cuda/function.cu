// Functions of one number: the formulas of core/kernels/functors/function.h over vectors of 16 bytes
// (map.cuh).
#include <karyon/core/kernels/function.h>
#include <karyon/core/kernels/functors/function.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Function;

void function(Function op, const Tensor& x, Tensor& y) {
  check_f32("function", x);
  functors::visit(op, [&](auto f) { map_same<float>(f, y, Input<float>{x}); });
}

void function_backward(Function op, const Tensor& dy, const Tensor& saved, Tensor& dx) {
  check_f32("function_backward", dy);
  functors::visit(
      op, [&](auto f) { map_same<float>(Grad<decltype(f)>{f}, dx, Input<float>{dy}, Input<float>{saved}); });
}

}  // namespace

void register_function_kernels(KernelTable& table) {
  table.add<decltype(kernels::function), function>("function");
  table.add<decltype(kernels::function_backward), function_backward>("function_backward");
}

}  // namespace karyon::cuda
