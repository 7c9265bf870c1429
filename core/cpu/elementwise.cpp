#include <karyon/core/cpu/simd/map.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/functors/elementwise.h>

namespace karyon {
namespace {

using cpu::Computed;
using cpu::dispatch_mapped;
using cpu::Input;
using cpu::map;
using kernels::Binary;
using kernels::Side;
using kernels::Unary;

void unary_cpu(Unary op, double p, double q, const Tensor& x, Tensor& y) {
  auto linear = [&]<class T>() {
    if (op == Unary::add) return map<T>(functors::AddScalar{p}, y, Input<T>{x});
    if (op == Unary::mul) return map<T>(functors::MulScalar{p}, y, Input<T>{x});
    map<T>(functors::Neg{}, y, Input<T>{x});
  };
  if (x.dtype() == i64) return linear.operator()<std::int64_t>();
  dispatch_mapped(x.dtype(), "unary", [&]<class T>() {
    if (op == Unary::add || op == Unary::mul || op == Unary::neg) return linear.template operator()<T>();
    auto run = [&](auto f) { map<T>(f, y, Input<T>{x}); };
    functors::visit_steps(op, run);
    functors::visit_nonlinear(op, p, q, run);
  });
}

void unary_backward_cpu(Unary op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx) {
  dispatch_mapped(dy.dtype(), "unary_backward", [&]<class T>() {
    functors::visit_nonlinear(op, p, q, [&](auto f) {
      map<T>([f](Computed<T> g, Computed<T> s) { return f.grad(g, s); }, dx, Input<T>{dy}, Input<T>{saved});
    });
  });
}

void binary_cpu(Binary op, const Tensor& a, const Tensor& b, Tensor& y) {
  if (op >= Binary::eq) {
    functors::visit_comparison(op, [&](auto f, bool swapped) {
      dispatch_kernel_dtype(a.dtype(), "compare", [&]<class T>() {
        map<bool>(f, y, Input<T>{swapped ? b : a}, Input<T>{swapped ? a : b});
      });
    });
  } else if (a.dtype() == i64) {
    using T = std::int64_t;
    if (op == Binary::add) return map<T>(functors::Add{}, y, Input<T>{a}, Input<T>{b});
    if (op == Binary::sub) return map<T>(functors::Sub{}, y, Input<T>{a}, Input<T>{b});
    map<T>(functors::Mul{}, y, Input<T>{a}, Input<T>{b});
  } else {
    dispatch_mapped(a.dtype(), "binary", [&]<class T>() {
      functors::visit_arithmetic(op, [&](auto f) { map<T>(f, y, Input<T>{a}, Input<T>{b}); });
    });
  }
}

void binary_backward_cpu(Binary op, Side side, const Tensor& dy, const Tensor& a, const Tensor& b,
                         Tensor& dx) {
  dispatch_mapped(dy.dtype(), "binary_backward", [&]<class T>() {
    functors::visit_arithmetic(op, [&](auto f) {
      if constexpr (requires { f.grad_a(Computed<T>(), Computed<T>(), Computed<T>()); }) {
        if (side == Side::a) {
          map<T>([f](Computed<T> g, Computed<T> u, Computed<T> v) { return f.grad_a(g, u, v); }, dx,
                 Input<T>{dy}, Input<T>{a}, Input<T>{b});
        } else {
          map<T>([f](Computed<T> g, Computed<T> u, Computed<T> v) { return f.grad_b(g, u, v); }, dx,
                 Input<T>{dy}, Input<T>{a}, Input<T>{b});
        }
      }
    });
  });
}

void where_cpu(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_all(y.dtype(), [&]<class T>() {
    auto choose = [](std::uint8_t c, auto u, auto v) {
      const int chosen = c;  // as wide as the rest, or GCC 12 does not vectorize
      return chosen ? u : v;
    };
    map<T>(choose, y, Input<bool>{condition}, Input<T>{a}, Input<T>{b});
  });
}

void lerp_cpu(const Tensor& a, const Tensor& b, const Tensor& weight, double p, Tensor& y) {
  dispatch_mapped(y.dtype(), "lerp", [&]<class T>() {
    if (weight.defined()) return map<T>(functors::Lerp{}, y, Input<T>{a}, Input<T>{b}, Input<T>{weight});
    map<T>(functors::LerpNumber{p}, y, Input<T>{a}, Input<T>{b});
  });
}

void broadcast_cpu(double scale, const Tensor& x, Tensor& y) {
  dispatch_mapped(y.dtype(), "broadcast",
                  [&]<class T>() { map<T>(functors::MulScalar{scale}, y, Input<T>{x}); });
}

}  // namespace

constinit decltype(kernels::unary) kernels::unary{"unary", unary_cpu};
constinit decltype(kernels::unary_backward) kernels::unary_backward{"unary_backward", unary_backward_cpu};
constinit decltype(kernels::binary) kernels::binary{"binary", binary_cpu};
constinit decltype(kernels::binary_backward) kernels::binary_backward{"binary_backward", binary_backward_cpu};
constinit decltype(kernels::lerp) kernels::lerp{"lerp", lerp_cpu};
constinit decltype(kernels::where) kernels::where{"where", where_cpu};
constinit decltype(kernels::broadcast) kernels::broadcast{"broadcast", broadcast_cpu};

}  // namespace karyon
