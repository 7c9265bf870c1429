// Variances and norms over any dimension: reduce.cuh has the loops. Sums are in double.
#include <karyon/core/kernels/statistics.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/reduce.cuh>

namespace karyon::cuda {
namespace {

// The mean twice: rounded, and as deviations are measured from it.
struct StoreMean {
  double n;
  double* centre;
  float* mean;
  __device__ void operator()(std::int64_t at, std::int64_t, double sum) const {
    centre[at] = sum / n;
    mean[at] = static_cast<float>(sum / n);
  }
};
struct SquareFrom {
  __device__ double operator()(float x, double centre) const {
    const double d = static_cast<double>(x) - centre;
    return d * d;
  }
};
struct StoreQuotient {
  double divisor;
  float* y;
  __device__ void operator()(std::int64_t at, std::int64_t, double sum) const {
    y[at] = static_cast<float>(sum / divisor);
  }
};
void var_mean(double correction, const Tensor& x, Tensor& var, Tensor& mean) {
  check_f32("var_mean", x);
  const std::int64_t outer = x.size(0), n = x.size(1), inner = x.size(2);
  Workspace centres(static_cast<std::size_t>(outer * inner) * sizeof(double));
  const auto* in = x.data<float>();
  auto* centre = centres.data<double>();
  reduce<Sum>(outer, n, inner, LoadArray<float>{in},
              StoreMean{static_cast<double>(n), centre, mean.data<float>()});
  reduce<Sum>(outer, n, inner, LoadBeside<SquareFrom>{in, centre, n, inner, {}},
              StoreQuotient{std::max(static_cast<double>(n) - correction, 0.0), var.data<float>()});
}

// |x|^p, and the root of their sum.
struct LoadPower {
  const float* x;
  double p;
  __device__ double operator()(std::int64_t i) const {
    const double v = ::fabs(static_cast<double>(x[i]));
    if (p == 0) return v == 0 ? 0 : 1;
    return p == 1 ? v : p == 2 ? v * v : ::pow(v, p);
  }
};
struct StoreRoot {
  float* y;
  double p;
  __device__ void operator()(std::int64_t at, std::int64_t, double sum) const {
    y[at] = static_cast<float>(p == 0 || p == 1 ? sum : p == 2 ? ::sqrt(sum) : ::pow(sum, 1 / p));
  }
};
void norm(double p, const Tensor& x, Tensor& y) {
  check_f32("norm", x);
  reduce<Sum>(x.size(0), x.size(1), x.size(2), LoadPower{x.data<float>(), p}, StoreRoot{y.data<float>(), p});
}

}  // namespace

void register_statistics_kernels(KernelTable& table) {
  table.add<decltype(kernels::var_mean), var_mean>("var_mean");
  table.add<decltype(kernels::norm), norm>("norm");
}

}  // namespace karyon::cuda
