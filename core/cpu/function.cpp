#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/function.h>
#include <karyon/core/kernels/functors/function.h>

namespace karyon {
namespace {

using cpu::Input;
using kernels::Function;

void function_cpu(Function op, const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), "function",
                    [&]<class T>() { functors::visit(op, [&](auto f) { cpu::map<T>(f, y, Input<T>{x}); }); });
}

void function_backward_cpu(Function op, const Tensor& dy, const Tensor& saved, Tensor& dx) {
  dispatch_floating(dy.dtype(), "function_backward", [&]<class T>() {
    functors::visit(op, [&](auto f) {
      cpu::map<T>([f](T g, T s) { return f.grad(g, s); }, dx, Input<T>{dy}, Input<T>{saved});
    });
  });
}

}  // namespace

constinit decltype(kernels::function) kernels::function{"function", function_cpu};
constinit decltype(kernels::function_backward) kernels::function_backward{"function_backward",
                                                                          function_backward_cpu};

}  // namespace karyon
