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

// The variance as a composition, [outer, 1, inner].
Tensor composed_var(const Run& run, double freedom, const Tensor& x) {
  const Tensor in = run.gathered(x);
  return mul(sum(square(sub(in, mean(in, {1}, true))), {1}, true), 1 / freedom);
}

Tensor recorded_var(const char* op, const Moments& m) {
  return record(op, view(m.spread, m.plan.out), {m.x}, twice_differentiable,
                [op, run = m.run, freedom = m.freedom, x = SavedTensor(m.x),
                 mean = SavedTensor(m.mean)](const Tensor& dy) {
                  const Tensor from = x.get();
                  const Tensor dx = backward(run, Slope::deviation, 2 / freedom, from, mean.get(), dy);
                  return record_gradients(op, {dx}, dy, {from},
                                          [run, freedom, out = dy.shape()](const auto& in) {
                                            return composed_var(run, freedom, in[0]).reshape(out);
                                          });
                });
}

Tensor recorded_mean(const char* op, const Moments& m) {
  return record(op, view(m.mean, m.plan.out), {m.x}, twice_differentiable,
                [op, kept = m.plan.kept, scale = 1 / static_cast<double>(m.plan.count),
                 shape = m.x.shape()](const Tensor& dy) {
                  Tensor dx = empty(shape, {.dtype = dy.dtype(), .device = dy.device()});
                  kernels::broadcast(scale, view(dy, kept), dx);
                  return std::vector{record(op, dx, {dy}, twice_differentiable,
                                            [scale, kept, out = dy.shape()](const Tensor& ddx) {
                                              return std::vector{mul(sum_to(ddx, kept), scale).reshape(out)};
                                            })};
                });
}

// The norm over dimension 1 as a composition.
Tensor composed_norm(double p, const Tensor& x) {
  if (p == 1) return sum(abs(x), {1}, true);
  if (p == 2) return sqrt(sum(square(x), {1}, true));
  return pow(sum(pow(abs(x), p), {1}, true), 1 / p);
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
  return record("std", y, {m.x}, twice_differentiable,
                [run = m.run, freedom = m.freedom, x = SavedTensor(m.x), mean = SavedTensor(m.mean),
                 y = SavedTensor(y)](const Tensor& dy) {
                  const Tensor from = x.get(), root = y.get().detach();
                  const Tensor zero = zeros({}, {.dtype = dy.dtype(), .device = dy.device()});
                  const Tensor share = where(eq(root, 0), zero, div(dy.detach(), root));
                  const Tensor dx = backward(run, Slope::deviation, 1 / freedom, from, mean.get(), share);
                  return record_gradients("std", {dx}, dy, {from},
                                          [run, freedom, out = dy.shape()](const auto& in) {
                                            return sqrt(composed_var(run, freedom, in[0])).reshape(out);
                                          });
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
  return record("norm", y, {x}, twice_differentiable,
                [run, p, x = SavedTensor(x), y = SavedTensor(y)](const Tensor& dy) {
                  if (p == 0) return std::vector{Tensor()};
                  const Tensor from = x.get(), dx = backward(run, Slope::norm, p, from, y.get(), dy);
                  return record_gradients("norm", {dx}, dy, {from},
                                          [run, p, out = dy.shape()](const auto& in) {
                                            return composed_norm(p, run.gathered(in[0])).reshape(out);
                                          });
                });
}

}  // namespace karyon
