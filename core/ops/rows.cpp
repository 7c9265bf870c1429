#include <limits>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/kernels/rows.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/shape.h>

namespace karyon {

Tensor copied(const Tensor& x) {
  Tensor y = empty_like(x);
  kernels::convert(x, y);
  return y;
}

Tensor number_for(const Tensor& x, double value) {
  return full({}, value, {.dtype = x.dtype(), .device = x.device()});
}

Tensor locate(const char* op, const Tensor& index, const Tensor& base, const kernels::IndexedDim& dim,
              const Shape& out) {
  check(is_index(index.dtype()), op, ": expects an index of i64 or i32, got ", index.dtype());
  const TensorOptions options{.dtype = i64, .device = index.device()};
  Tensor places = empty(out, options), bad = empty({1}, options);
  kernels::locate(as_i64(index), base, dim, places);
  kernels::find_bad_class(places, std::numeric_limits<std::int64_t>::max(), 0, bad);  // finds -1
  if (const auto at = bad.item<std::int64_t>(); at >= 0)
    check(false, op, ": index ", view(expand(index, out), {1}, at).item<std::int64_t>(),
          " is out of range for a dimension of size ", dim.size);
  return places;
}

Tensor Rows::taken(const Tensor& x) const {
  Tensor y = empty(result, {.dtype = x.dtype(), .device = x.device()});
  Tensor part = view(y, {outer, at.numel(), inner});
  kernels::take_rows(view(x, {outer, size, inner}), view(at, {at.numel()}), part);
  return y;
}

Tensor Rows::of(const char* op, const Tensor& x) const {
  return record(
      op, taken(x), {x}, twice_differentiable, [op, rows = *this, shape = x.shape()](const Tensor& dy) {
        const Tensor wide = widen(dy.detach());
        Tensor dx = zeros(shape, {.dtype = wide.dtype(), .device = dy.device()});
        rows.put(true, wide, dx);
        return std::vector{record(op, dx.to(dy.dtype()), {dy}, twice_differentiable,
                                  [op, rows](const Tensor& ddx) { return std::vector{rows.of(op, ddx)}; })};
      });
}

void Rows::put(bool add, const Tensor& part, Tensor& x) const {
  Tensor whole = view(x, {outer, size, inner});
  kernels::put_rows(add, view(part, {outer, at.numel(), inner}), view(at, {at.numel()}), whole);
}

Tensor Rows::added(const Tensor& x, const Tensor& part) const {
  Tensor sum = copied(widest(x.detach()));
  put(true, widest(part.detach()), sum);
  return sum.to(x.dtype());
}

}  // namespace karyon
