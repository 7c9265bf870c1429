#pragma once
#include <cmath>

#include <karyon/core/kernels/function.h>
#include <karyon/core/kernels/functors/angle.h>
#include <karyon/core/kernels/functors/math.h>

// Functions of one number, written once for every device. The grad of a functor maps the output's gradient
// and what the operation saved (x or y, see the kernels) to the input's gradient.
namespace karyon::functors {

struct Sin {
  template <class T>
  constexpr T operator()(T x) const {
    return sine(x, 0);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * sine(x, 1);
  }
};
struct Cos {
  template <class T>
  constexpr T operator()(T x) const {
    return sine(x, 1);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * -sine(x, 0);
  }
};
struct Tan {
  template <class T>
  constexpr T operator()(T x) const {
    return tangent(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * (1 + y * y);
  }
};
struct Asin {
  template <class T>
  constexpr T operator()(T x) const {
    return std::asin(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * (1 / std::sqrt((1 - x) * (1 + x)));
  }
};
struct Acos {
  template <class T>
  constexpr T operator()(T x) const {
    return std::acos(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return -Asin{}.grad(dy, x);
  }
};
struct Atan {
  template <class T>
  constexpr T operator()(T x) const {
    return std::atan(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy / (1 + x * x);
  }
};
struct Sinh {
  template <class T>
  constexpr T operator()(T x) const {
    return std::sinh(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * std::cosh(x);
  }
};
struct Cosh {
  template <class T>
  constexpr T operator()(T x) const {
    return std::cosh(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * std::sinh(x);
  }
};
struct Log1p {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log1p(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy / (1 + x);
  }
};
struct Log2 {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log2(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy / (x * static_cast<T>(0.69314718055994530942));
  }
};
struct Log10 {
  template <class T>
  constexpr T operator()(T x) const {
    return std::log10(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy / (x * static_cast<T>(2.30258509299404568402));
  }
};
struct Exp2 {
  template <class T>
  constexpr T operator()(T x) const {
    return std::exp2(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * y * static_cast<T>(0.69314718055994530942);
  }
};
struct Expm1 {
  template <class T>
  constexpr T operator()(T x) const {
    return exponential_minus_one(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return dy * (y + 1);
  }
};
struct Rsqrt {
  template <class T>
  constexpr T operator()(T x) const {
    return 1 / std::sqrt(x);
  }
  template <class T>
  constexpr T grad(T dy, T y) const {
    return T(-0.5) * dy * (y * y * y);
  }
};
struct Erf {
  template <class T>
  constexpr T operator()(T x) const {
    return std::erf(x);
  }
  template <class T>
  constexpr T grad(T dy, T x) const {
    return dy * (static_cast<T>(1.12837916709551257390) * exponential(-x * x));
  }
};

/// f(functor) for each function.
template <class F>
void visit(kernels::Function op, F&& f) {
  using enum kernels::Function;
  switch (op) {
    case sin: return f(Sin{});
    case cos: return f(Cos{});
    case tan: return f(Tan{});
    case asin: return f(Asin{});
    case acos: return f(Acos{});
    case atan: return f(Atan{});
    case sinh: return f(Sinh{});
    case cosh: return f(Cosh{});
    case log1p: return f(Log1p{});
    case log2: return f(Log2{});
    case log10: return f(Log10{});
    case exp2: return f(Exp2{});
    case expm1: return f(Expm1{});
    case rsqrt: return f(Rsqrt{});
    case erf: return f(Erf{});
  }
}

}  // namespace karyon::functors
