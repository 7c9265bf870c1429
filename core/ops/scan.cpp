#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/pick.h>
#include <karyon/core/kernels/scan.h>
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

ValuesAndIndices running_extreme(const char* op, bool largest, const Tensor& x, int dim) {
  const Tensor in = around(op, reduction::reducible(x), dim);
  Tensor index = empty(in.shape(), {.dtype = i64, .device = in.device()});
  kernels::cummax(largest, in, index);
  index = index.to(x.device());
  Tensor y = empty_like(x), out = view(y, index.shape());
  kernels::pick(view(x, index.shape()), index, out);
  if (is_floating(x.dtype()))
    record(op, y, {x}, [index = SavedTensor(index)](const Tensor& dy) {
      const Tensor at = index.get(), upstream = widen(dy);
      Tensor dx = empty(at.shape(), {.dtype = upstream.dtype(), .device = dy.device()});
      kernels::cummax_backward(at, view(upstream, at.shape()), dx);
      return std::vector{view(dx, dy.shape()).to(dy.dtype())};
    });
  return {y, view(index, x.shape())};
}

}  // namespace

Tensor cumsum(const Tensor& x, int dim) {
  const Totals totals("cumsum", Scan::sum, x, dim);
  if (!is_floating(x.dtype())) return totals.y;
  return record("cumsum", totals.y, {totals.x}, [dim](const Tensor& dy) {
    const Tensor in = around("cumsum", dy, dim);
    Tensor dx = empty_like(in);
    kernels::scan(Scan::sum, true, in, dx);
    return std::vector{view(dx, dy.shape())};
  });
}

Tensor cumprod(const Tensor& x, int dim) {
  const Totals totals("cumprod", Scan::product, x, dim);
  if (!is_floating(x.dtype())) return totals.y;
  return record("cumprod", totals.y, {totals.x},
                [dim, x = SavedTensor(totals.x), y = SavedTensor(totals.y)](const Tensor& dy) {
                  auto whole = [&](const Tensor& t) { return around("cumprod", t, dim); };
                  Tensor dx = empty_like(whole(dy));
                  kernels::cumprod_backward(whole(x.get()), whole(y.get()), whole(dy), dx);
                  return std::vector{view(dx, dy.shape())};
                });
}

ValuesAndIndices cummax(const Tensor& x, int dim) { return running_extreme("cummax", true, x, dim); }
ValuesAndIndices cummin(const Tensor& x, int dim) { return running_extreme("cummin", false, x, dim); }

}  // namespace karyon
