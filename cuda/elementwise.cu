// Elementwise operations with broadcasting: the formulas of core/functors.h over vectors of 16 bytes
// (map.cuh).
#include <karyon/core/functors.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Binary;
using kernels::Side;
using kernels::Unary;

void unary(Unary op, double p, double q, const Tensor& x, Tensor& y) {
  auto linear = [&]<class T>() {
    if (op == Unary::add) return map_same<T>(functors::AddScalar{p}, y, Input<T>{x});
    if (op == Unary::mul) return map_same<T>(functors::MulScalar{p}, y, Input<T>{x});
    map_same<T>(functors::Neg{}, y, Input<T>{x});
  };
  if (x.dtype() == i64) return linear.operator()<std::int64_t>();
  check_f32("unary", x);
  if (op == Unary::add || op == Unary::mul || op == Unary::neg) return linear.operator()<float>();
  functors::visit_nonlinear(op, p, q, [&](auto f) { map_same<float>(f, y, Input<float>{x}); });
}

void unary_backward(Unary op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx) {
  check_f32("unary_backward", dy);
  functors::visit_nonlinear(op, p, q, [&](auto f) {
    map_same<float>(Grad<decltype(f)>{f}, dx, Input<float>{dy}, Input<float>{saved});
  });
}

// All comparisons in one kernel per type: the branch is the same for every thread.
struct Compare {
  Binary op;
  template <class T>
  __device__ std::uint8_t operator()(T a, T b) const {
    switch (op) {
      case Binary::eq: return functors::Eq{}(a, b);
      case Binary::ne: return functors::Ne{}(a, b);
      case Binary::lt: return functors::Lt{}(a, b);
      case Binary::le: return functors::Le{}(a, b);
      case Binary::gt: return functors::Lt{}(b, a);
      default: return functors::Le{}(b, a);
    }
  }
};

void binary(Binary op, const Tensor& a, const Tensor& b, Tensor& y) {
  if (op >= Binary::eq) {
    dispatch_all(a.dtype() == boolean ? u8 : a.dtype(), [&]<class T>() {
      if constexpr (!std::is_same_v<T, bool>) map<bool>(Compare{op}, y, Input<T>{a}, Input<T>{b});
    });
  } else if (a.dtype() == i64) {
    using T = std::int64_t;
    if (op == Binary::add) return map<T>(functors::Add{}, y, Input<T>{a}, Input<T>{b});
    if (op == Binary::sub) return map<T>(functors::Sub{}, y, Input<T>{a}, Input<T>{b});
    map<T>(functors::Mul{}, y, Input<T>{a}, Input<T>{b});
  } else {
    check_f32("binary", a);
    functors::visit_arithmetic(op, [&](auto f) { map<float>(f, y, Input<float>{a}, Input<float>{b}); });
  }
}

template <class F, Side side>
struct BinaryGrad {
  F f;
  __device__ float operator()(float dy, float a, float b) const {
    if constexpr (side == Side::a) {
      return f.grad_a(dy, a, b);
    } else {
      return f.grad_b(dy, a, b);
    }
  }
};

void binary_backward(Binary op, Side side, const Tensor& dy, const Tensor& a, const Tensor& b, Tensor& dx) {
  check_f32("binary_backward", dy);
  using Float = Input<float>;
  functors::visit_arithmetic(op, [&](auto f) {
    using F = decltype(f);
    if constexpr (requires { f.grad_a(0.0f, 0.0f, 0.0f); }) {
      if (side == Side::a) {
        map<float>(BinaryGrad<F, Side::a>{f}, dx, Float{dy}, Float{a}, Float{b});
      } else {
        map<float>(BinaryGrad<F, Side::b>{f}, dx, Float{dy}, Float{a}, Float{b});
      }
    }
  });
}

struct Choose {
  template <class T>
  __device__ T operator()(std::uint8_t condition, T a, T b) const {
    return condition ? a : b;
  }
};

void where(const Tensor& condition, const Tensor& a, const Tensor& b, Tensor& y) {
  dispatch_width(y.dtype(), [&]<class T>() {
    map<T>(Choose{}, y, Input<std::uint8_t>{condition}, Input<T>{a}, Input<T>{b});
  });
}

void broadcast(double scale, const Tensor& x, Tensor& y) {
  check_f32("broadcast", y);
  map<float>(functors::MulScalar{scale}, y, Input<float>{x});
}

}  // namespace

void register_elementwise_kernels(KernelTable& table) {
  table.add<decltype(kernels::unary)>("unary", unary);
  table.add<decltype(kernels::unary_backward)>("unary_backward", unary_backward);
  table.add<decltype(kernels::binary)>("binary", binary);
  table.add<decltype(kernels::binary_backward)>("binary_backward", binary_backward);
  table.add<decltype(kernels::where)>("where", where);
  table.add<decltype(kernels::broadcast)>("broadcast", broadcast);
}

}  // namespace karyon::cuda
