#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/pick.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/reduction.h>

namespace karyon::reduction {

void check_floating(const char* op, const Tensor& x) {
  check(x.dtype() == f32 || x.dtype() == f64, op, ": expects f32, f64 or bf16, got ", x.dtype());
}

Tensor reducible(const Tensor& any_x) {
  const Tensor x = any_x.to(kernel_dtype(any_x.dtype()));
  if (x.device() == Device::cpu()) return x;
  return is_floating(x.dtype()) ? widen(x) : x.to(Device::cpu());
}

Tensor around(const char* op, const Tensor& x, int dim) {
  dim = normalize_dim(dim, std::max(x.dim(), 1), op);
  if (x.dim() == 0) return view(x, {1, 1, 1});
  std::int64_t outer = 1, inner = 1;
  for (int d = 0; d < dim; ++d) outer *= x.shape()[d];
  for (int d = dim + 1; d < x.dim(); ++d) inner *= x.shape()[d];
  return view(x, {outer, x.shape()[dim], inner});
}

Tensor picked(const char* op, const Tensor& x, int dim, const Tensor& index, const Shape& out) {
  const Tensor in = around(op, x, dim);
  Tensor y = empty(index.shape(), {.dtype = x.dtype(), .device = x.device()});
  kernels::pick(in, index, y);
  y = view(y, out);
  if (!is_floating(x.dtype())) return y;
  return record(
      op, y, {x}, twice_differentiable,
      [op, shape = x.shape(), whole = in.shape(), dim, index = SavedTensor(index), out](const Tensor& dy) {
        const Tensor at = index.get();
        Tensor dx = empty(whole, {.dtype = dy.dtype(), .device = dy.device()});
        kernels::put(view(dy, at.shape()), at, dx);
        return std::vector{record(
            op, view(dx, shape), {dy}, twice_differentiable,
            [op, dim, at, out](const Tensor& ddx) { return std::vector{picked(op, ddx, dim, at, out)}; })};
      });
}

Tensor shared_by_ties(const char* op, const Plan& plan, const Tensor& x, const Tensor& y) {
  return record(op, y, {x}, twice_differentiable,
                [plan, x = SavedTensor(x), y = SavedTensor(y)](const Tensor& dy) {
                  const Tensor from = widen(x.get()), best = view(widen(y.get()), plan.kept);
                  Tensor ties = empty_like(from);
                  kernels::binary(kernels::Binary::tie, from, best, ties);
                  std::vector<int> dims;
                  for (int d = 0; d < from.dim(); ++d)
                    if (plan.gone[static_cast<std::size_t>(d)]) dims.push_back(d);
                  const Tensor share = div(widen(dy).reshape(plan.kept), sum(ties, dims, true));
                  return std::vector{mul(ties, share).to(x.get().dtype())};
                });
}

Plan::Plan(const char* op, const Tensor& x, const std::vector<int>& dims, bool keepdim) {
  if (dims.empty()) gone.fill(true);
  for (const int dim : dims) {
    bool& flag = gone[static_cast<std::size_t>(normalize_dim(dim, std::max(x.dim(), 1), op))];
    check(!flag, op, ": dimension ", dim, " is given twice");
    flag = true;
  }
  for (int d = 0; d < x.dim(); ++d) {
    const bool goes = gone[static_cast<std::size_t>(d)];
    kept.push_back(goes ? 1 : x.shape()[d]);
    if (!goes || keepdim) out.push_back(kept[d]);
    if (goes) count *= x.shape()[d];
  }
}

TraceOptions Plan::options() const {
  std::vector<std::int64_t> dims;
  for (int d = 0; d < kept.dims(); ++d)
    if (gone[static_cast<std::size_t>(d)]) dims.push_back(d);
  return {{"dim", dims}, {"keepdim", out.dims() == kept.dims() ? 1 : 0}};
}

Run::Run(const Plan& plan, const Tensor& x) : from(x.shape()) {
  auto gone = [&](int d) { return plan.gone[static_cast<std::size_t>(d)]; };
  std::int64_t outer = 1, inner = 1;
  bool begun = false, apart = false;
  for (int d = 0; d < x.dim(); ++d) {
    if (gone(d)) {
      apart |= begun && inner != 1 && from[d] != 1;
      begun |= from[d] != 1;
    } else {
      (begun ? inner : outer) *= from[d];
    }
  }
  if (apart) {
    for (const bool goes : {false, true})
      for (int d = 0; d < x.dim(); ++d)
        if (gone(d) == goes) order.push_back(d);
    outer *= inner;
    inner = 1;
  }
  whole = {outer, plan.count, inner};
  one = {outer, 1, inner};
}

Tensor Run::gather(const Tensor& x) const {
  if (order.empty()) return view(x, whole);
  Shape shape;
  for (const int d : order) shape.push_back(from[d]);
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  kernels::permute(x, y, order);
  return view(y, whole);
}

Tensor Run::gathered(const Tensor& x) const { return (order.empty() ? x : permute(x, order)).reshape(whole); }

Tensor Run::spread(const Tensor& x) const {
  if (order.empty()) return view(x, from);
  Shape shape;
  std::vector<int> back(order.size());
  for (std::size_t d = 0; d < order.size(); ++d) {
    shape.push_back(from[order[d]]);
    back[static_cast<std::size_t>(order[d])] = static_cast<int>(d);
  }
  Tensor y = empty(from, {.dtype = x.dtype(), .device = x.device()});
  kernels::permute(view(x, shape), y, back);
  return y;
}

}  // namespace karyon::reduction
