#include <karyon/core/cpu/reduce.h>
#include <karyon/core/kernels/statistics.h>

#include <cmath>
#include <utility>

namespace karyon {
namespace {

using cpu::Sum;

void var_mean_cpu(double correction, const Tensor& x, Tensor& var, Tensor& mean) {
  dispatch_floating(x.dtype(), "var_mean", [&]<class T>() {
    const auto n = static_cast<double>(x.size(1));
    Tensor centre = empty(mean.shape(), {.dtype = f64});  // deviations are those from the unrounded mean
    cpu::reduce<Sum<T>, T, double>(x, centre, [n](double sum) { return sum / n; });
    const double freedom = std::max(n - correction, 0.0);
    auto square = [](T v, double c) {
      const double d = static_cast<double>(v) - c;
      return d * d;
    };
    cpu::reduce<Sum<double>, T, T>(
        x, var, [freedom](double sum) { return static_cast<T>(sum / freedom); },
        cpu::Beside{square, std::as_const(centre).data<double>()});
    cpu::map<T>([](double v) { return v; }, mean, cpu::Input<double>{centre});
  });
}

// The p-th root of the sum of term(|x|).
template <class T, class Term, class Root>
void reduce_norm(const Tensor& x, Tensor& y, Term term, Root root) {
  cpu::reduce<Sum<double>, T, T>(
      x, y, [root](double sum) { return static_cast<T>(root(sum)); },
      cpu::Each{[term](T v) { return term(std::abs(static_cast<double>(v))); }});
}

void norm_cpu(double p, const Tensor& x, Tensor& y) {
  dispatch_floating(x.dtype(), "norm", [&]<class T>() {
    auto same = [](double v) { return v; };
    if (p == 0) {
      reduce_norm<T>(
          x, y, [](double v) { return v == 0 ? 0.0 : 1.0; }, same);
    } else if (p == 1) {
      reduce_norm<T>(x, y, same, same);
    } else if (p == 2) {
      reduce_norm<T>(
          x, y, [](double v) { return v * v; }, [](double sum) { return std::sqrt(sum); });
    } else {
      reduce_norm<T>(
          x, y, [p](double v) { return std::pow(v, p); }, [p](double sum) { return std::pow(sum, 1 / p); });
    }
  });
}

}  // namespace

constinit decltype(kernels::var_mean) kernels::var_mean{"var_mean", var_mean_cpu};
constinit decltype(kernels::norm) kernels::norm{"norm", norm_cpu};

}  // namespace karyon
