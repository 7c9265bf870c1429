#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/core/kernels/statistics.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/reduction.h>
#include <karyon/core/ops/statistics.h>

#include <cmath>

namespace karyon {
namespace {

using kernels::Slope;
using reduction::Plan;
using reduction::Run;

Tensor result(const Run& run, const Tensor& x) {
  return empty({run.whole[0], run.whole[2]}, {.dtype = x.dtype(), .device = x.device()});
}

// dx by one formula of x, y and dy.
Tensor backward(const Run& run, Slope slope, double p, const Tensor& x, const Tensor& y, const Tensor& dy) {
  Tensor dx = empty(run.whole, {.dtype = x.dtype(), .device = x.device()});
  kernels::reduce_backward(slope, p, run.gather(x), view(y, run.one), view(dy, run.one), dx);
  return run.spread(dx);
}

// The variance or the standard deviation of x, and the mean; not recorded.
struct Moments {
  Tensor x, spread, mean;
  Plan plan;
  Run run;
  double freedom;

  Moments(const char* op, const Tensor& any_x, const std::vector<int>& dims, const VarOptions& options)
      : x(widen(any_x)), plan(op, x, dims, options.keepdim), run(plan, x) {
    reduction::check_floating(op, x);
    freedom = std::max(static_cast<double>(plan.count) - options.correction, 0.0);
    spread = result(run, x);
    mean = result(run, x);
    kernels::var_mean(options.correction, run.gather(x), spread, mean);
  }
};

Tensor recorded_var(const char* op, const Moments& m) {
  return record(op, view(m.spread, m.plan.out), {m.x},
                [run = m.run, scale = 2 / m.freedom, x = SavedTensor(m.x),
                 mean = SavedTensor(m.mean)](const Tensor& dy) {
                  return std::vector{backward(run, Slope::deviation, scale, x.get(), mean.get(), dy)};
                });
}

Tensor recorded_mean(const char* op, const Moments& m) {
  return record(op, view(m.mean, m.plan.out), {m.x},
                [kept = m.plan.kept, scale = 1 / static_cast<double>(m.plan.count),
                 shape = m.x.shape()](const Tensor& dy) {
                  Tensor dx = empty(shape, {.dtype = dy.dtype(), .device = dy.device()});
                  kernels::broadcast(scale, view(dy, kept), dx);
                  return std::vector{dx};
                });
}

}  // namespace

Tensor var(const Tensor& x, const std::vector<int>& dims, VarOptions options) {
  return recorded_var("var", Moments("var", x, dims, options));
}

VarAndMean var_mean(const Tensor& x, const std::vector<int>& dims, VarOptions options) {
  const Moments m("var_mean", x, dims, options);
  return {recorded_var("var_mean", m), recorded_mean("var_mean", m)};
}

Tensor std(const Tensor& x, const std::vector<int>& dims, VarOptions options) {
  const Moments m("std", x, dims, options);
  Tensor y = empty(m.plan.out, {.dtype = m.x.dtype(), .device = m.x.device()});
  kernels::unary(kernels::Unary::sqrt, 0, 0, view(m.spread, m.plan.out), y);
  return record("std", y, {m.x},
                [run = m.run, scale = 1 / m.freedom, x = SavedTensor(m.x), mean = SavedTensor(m.mean),
                 y = SavedTensor(y)](const Tensor& dy) {
                  const Tensor root = y.get(), zero = zeros({}, {.dtype = dy.dtype(), .device = dy.device()});
                  const Tensor share = where(eq(root, 0), zero, div(dy, root));
                  return std::vector{backward(run, Slope::deviation, scale, x.get(), mean.get(), share)};
                });
}

Tensor norm(const Tensor& any_x, double p, const std::vector<int>& dims, bool keepdim) {
  const Tensor x = widen(any_x);
  reduction::check_floating("norm", x);
  const Plan plan("norm", x, dims, keepdim);
  check(plan.count > 0 || (p >= 0 && std::isfinite(p)), "norm: expects something to reduce for p = ", p,
        ", got ", x.shape());
  if (std::isinf(p)) return p > 0 ? max(abs(x), dims, keepdim) : min(abs(x), dims, keepdim);
  const Run run(plan, x);
  Tensor y = result(run, x);
  kernels::norm(p, run.gather(x), y);
  y = view(y, plan.out);
  return record("norm", y, {x}, [run, p, x = SavedTensor(x), y = SavedTensor(y)](const Tensor& dy) {
    if (p == 0) return std::vector{Tensor()};
    return std::vector{backward(run, Slope::norm, p, x.get(), y.get(), dy)};
  });
}

}  // namespace karyon
