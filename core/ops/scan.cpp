#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/pick.h>
#include <karyon/core/kernels/scan.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduction.h>
#include <karyon/core/ops/scan.h>

namespace karyon {
namespace {

using kernels::Scan;
using reduction::around;

// x as the kernels take it, and the running totals, not recorded.
struct Totals {
  Tensor x, y;

  Totals(const char* op, Scan kind, const Tensor& any_x, int dim)
      : x(is_floating(any_x.dtype()) ? widen(any_x) : reduction::reducible(any_x)) {
    const Tensor in = around(op, x, dim);
    y = empty(in.shape(), {.dtype = is_floating(x.dtype()) ? x.dtype() : i64, .device = x.device()});
    kernels::scan(kind, false, in, y);
    y = view(y, x.shape()).to(any_x.device());
  }
};

// The running product along dimension 1, in log2(n) steps of whole tensors.
Tensor products(Tensor x) {
  for (std::int64_t step = 1; step < x.size(1); step *= 2) {
    const std::int64_t rest = x.size(1) - step;
    x = cat({narrow(x, 1, 0, step), mul(narrow(x, 1, step, rest), narrow(x, 1, 0, rest))}, 1);
  }
  return x;
}

ValuesAndIndices running_extreme(const char* op, bool largest, const Tensor& x, int dim) {
  const Tensor in = around(op, reduction::reducible(x), dim);
  Tensor index = empty(in.shape(), {.dtype = i64, .device = in.device()});
  kernels::cummax(largest, in, index);
  index = index.to(x.device());
  Tensor y = empty_like(x), out = view(y, index.shape());
  kernels::pick(view(x, index.shape()), index, out);
  if (is_floating(x.dtype()))
    record(op, y, {x}, twice_differentiable, [op, index = SavedTensor(index)](const Tensor& dy) {
      const Tensor at = index.get(), upstream = widen(dy.detach());
      Tensor dx = empty(at.shape(), {.dtype = upstream.dtype(), .device = dy.device()});
      kernels::cummax_backward(at, view(upstream, at.shape()), dx);
      return std::vector{record(op, view(dx, dy.shape()).to(dy.dtype()), {dy}, twice_differentiable,
                                [at](const Tensor& ddx) {
                                  const Tensor picked = gather(ddx.reshape(at.shape()), 1, at);
                                  return std::vector{picked.reshape(ddx.shape())};
                                })};
    });
  return {y, view(index, x.shape())};
}

}  // namespace

Tensor cumsum(const Tensor& x, int dim) {
  const Totals totals("cumsum", Scan::sum, x, dim);
  if (!is_floating(x.dtype())) return totals.y;
  return record("cumsum", totals.y, {totals.x}, twice_differentiable, [dim](const Tensor& dy) {
    const Tensor in = around("cumsum", dy, dim);
    Tensor dx = empty_like(in);
    kernels::scan(Scan::sum, true, in, dx);
    return std::vector{record("cumsum", view(dx, dy.shape()), {dy}, twice_differentiable,
                              [dim](const Tensor& ddx) { return std::vector{cumsum(ddx, dim)}; })};
  });
}

Tensor cumprod(const Tensor& x, int dim) {
  const Totals totals("cumprod", Scan::product, x, dim);
  if (!is_floating(x.dtype())) return totals.y;
  return record("cumprod", totals.y, {totals.x}, twice_differentiable,
                [dim, x = SavedTensor(totals.x), y = SavedTensor(totals.y)](const Tensor& dy) {
                  auto whole = [&](const Tensor& t) { return around("cumprod", t, dim); };
                  const Tensor from = x.get(), in = whole(from);
                  Tensor dx = empty_like(in);
                  kernels::cumprod_backward(in, whole(y.get()), whole(dy), dx);
                  return record_gradients(
                      "cumprod", {view(dx, dy.shape())}, dy, {from}, [shape = in.shape()](const auto& given) {
                        return products(given[0].reshape(shape)).reshape(given[0].shape());
                      });
                });
}

ValuesAndIndices cummax(const Tensor& x, int dim) { return running_extreme("cummax", true, x, dim); }
ValuesAndIndices cummin(const Tensor& x, int dim) { return running_extreme("cummin", false, x, dim); }

}  // namespace karyon
