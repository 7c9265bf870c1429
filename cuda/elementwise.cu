// Elementwise operations with broadcasting: the formulas of core/kernels/functors/elementwise.h over vectors
// of 16 bytes (map.cuh).
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/functors/elementwise.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/map.cuh>

namespace karyon::cuda {
namespace {

using kernels::Binary;
using kernels::Side;
using kernels::Unary;

template <class F, class... Any>
constexpr bool one_of = (... || std::is_same_v<F, Any>);
// Formulas that bf16 arrays may have; the others are applied to what was cast to f32.
template <class F>
constexpr bool takes_bf16 =
    one_of<F, functors::Abs, functors::Clamp, functors::Square, functors::Add, functors::Sub, functors::Mul,
           functors::Div, functors::Maximum, functors::Minimum, functors::Remainder, functors::Fmod>;

// dispatch_float for g, which wraps the formula F.
template <class F, class G, class Run>
void dispatch_formula(const char* op, const Tensor& x, G g, Run run) {
  if constexpr (takes_bf16<F>) {
    dispatch_float(op, x, g, run);
  } else {
    check_f32(op, x);
    run.template operator()<float>(g);
  }
}

void unary(Unary op, double p, double q, const Tensor& x, Tensor& y) {
  auto run = [&]<class T>(auto f) { map_same<T>(f, y, Input<T>{x}); };
  auto linear = [&](auto f) {
    if (x.dtype() == i64) return map_same<std::int64_t>(f, y, Input<std::int64_t>{x});
    dispatch_float("unary", x, f, run);
  };
  if (op == Unary::add) return linear(functors::AddScalar{p});
  if (op == Unary::mul) return linear(functors::MulScalar{p});
  if (op == Unary::neg) return linear(functors::Neg{});
  functors::visit_steps(op, [&](auto f) { dispatch_float("unary", x, f, run); });
  functors::visit_nonlinear(op, p, q, [&](auto f) { dispatch_formula<decltype(f)>("unary", x, f, run); });
}

void unary_backward(Unary op, double p, double q, const Tensor& dy, const Tensor& saved, Tensor& dx) {
  functors::visit_nonlinear(op, p, q, [&](auto f) {
    using F = decltype(f);
    dispatch_formula<F>("unary_backward", dy, Grad<F>{f},
                        [&]<class T>(auto g) { map_same<T>(g, dx, Input<T>{dy}, Input<T>{saved}); });
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
    dispatch_kernel_dtype(a.dtype() == boolean ? u8 : a.dtype(), "compare", [&]<class T>() {
      if constexpr (!std::is_same_v<T, bool>) map<bool>(Compare{op}, y, Input<T>{a}, Input<T>{b});
    });
  } else if (a.dtype() == i64) {
    using T = std::int64_t;
    if (op == Binary::add) return map<T>(functors::Add{}, y, Input<T>{a}, Input<T>{b});
    if (op == Binary::sub) return map<T>(functors::Sub{}, y, Input<T>{a}, Input<T>{b});
    map<T>(functors::Mul{}, y, Input<T>{a}, Input<T>{b});
  } else {
    functors::visit_arithmetic(op, [&](auto f) {
      dispatch_formula<decltype(f)>("binary", a, f,
                                    [&]<class T>(auto g) { map<T>(g, y, Input<T>{a}, Input<T>{b}); });
    });
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
  functors::visit_arithmetic(op, [&](auto f) {
    using F = decltype(f);
    if constexpr (requires { f.grad_a(0.0f, 0.0f, 0.0f); }) {
      auto run = [&]<class T>(auto g) { map<T>(g, dx, Input<T>{dy}, Input<T>{a}, Input<T>{b}); };
      if (side == Side::a) {
        dispatch_formula<F>("binary_backward", dy, BinaryGrad<F, Side::a>{f}, run);
      } else {
        dispatch_formula<F>("binary_backward", dy, BinaryGrad<F, Side::b>{f}, run);
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

void lerp(const Tensor& a, const Tensor& b, const Tensor& weight, double p, Tensor& y) {
  if (weight.defined()) {
    dispatch_float("lerp", y, functors::Lerp{},
                   [&]<class T>(auto f) { map<T>(f, y, Input<T>{a}, Input<T>{b}, Input<T>{weight}); });
  } else {
    dispatch_float("lerp", y, functors::LerpNumber{p},
                   [&]<class T>(auto f) { map<T>(f, y, Input<T>{a}, Input<T>{b}); });
  }
}

void broadcast(double scale, const Tensor& x, Tensor& y) {
  check_f32("broadcast", y);
  map<float>(functors::MulScalar{scale}, y, Input<float>{x});
}

}  // namespace

void register_elementwise_kernels(KernelTable& table) {
  table.add<decltype(kernels::unary), unary>("unary");
  table.add<decltype(kernels::unary_backward), unary_backward>("unary_backward");
  table.add<decltype(kernels::binary), binary>("binary");
  table.add<decltype(kernels::binary_backward), binary_backward>("binary_backward");
  table.add<decltype(kernels::lerp), lerp>("lerp");
  table.add<decltype(kernels::where), where>("where");
  table.add<decltype(kernels::broadcast), broadcast>("broadcast");
}

}  // namespace karyon::cuda
