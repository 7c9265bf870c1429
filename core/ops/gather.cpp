#include <algorithm>
#include <utility>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/rows.h>
#include <karyon/core/kernels/strided.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>

namespace karyon {
namespace {

Tensor one_dim(const Tensor& x) { return x.dim() == 0 ? x.reshape({1}) : x; }

// The elements of an array of shape x that gather() reads; `out` has x's dimensions. Where x has size 1 and
// `out` has not, x is repeated.
Rows elements(const char* op, const Shape& x, int dim, const Tensor& index, const Shape& out,
              bool from_end = false) {
  const TensorOptions options{.dtype = i64, .device = index.device()};
  const auto strides = kernels::strides_of(x);
  Tensor base = zeros({}, options);
  for (int d = 0; d < x.dims(); ++d) {
    if (d == dim || out[d] <= 1 || x[d] == 1) continue;
    Shape along{out[d]};
    while (along.dims() < x.dims() - d) along.push_back(1);
    const auto stride = static_cast<double>(strides[static_cast<std::size_t>(d)]);
    base = base + (arange(out[d], options) * stride).reshape(along);
  }
  const kernels::IndexedDim indexed{
      .size = x[dim], .stride = strides[static_cast<std::size_t>(dim)], .from_end = from_end};
  return {.size = x.numel(), .at = locate(op, index, base, indexed, out), .result = out};
}

// Shapes as gather() and scatter() take them: one dimension in place of none.
int check_index(const char* op, const Tensor& x, int dim, const Tensor& index) {
  const int dims = std::max(x.dim(), 1);
  dim = normalize_dim(dim, dims, op);
  check(std::max(index.dim(), 1) == dims, op, ": expects an index of ", dims, " dimensions, got ",
        index.shape());
  for (int d = 0; d < index.dim(); ++d)
    check(d == dim || x.dim() == 0 || index.size(d) <= x.size(d), op, ": expects an index that fits ",
          x.shape(), " but in dimension ", dim, ", got ", index.shape());
  return dim;
}

// x with 0 at the rows; the gradient is cleared alike.
Tensor cleared(const char* op, const Rows& rows, const Tensor& x) {
  Tensor y = copied(x);
  rows.put(false, zeros(rows.result, {.dtype = x.dtype(), .device = x.device()}), y);
  return record(op, y, {x}, twice_differentiable,
                [op, rows](const Tensor& dy) { return std::vector{cleared(op, rows, dy)}; });
}

Tensor scatter(const char* op, bool add, const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  dim = check_index(op, x, dim, index);
  check(src.dtype() == x.dtype(), op, ": expects src of ", x.dtype(), ", got ", src.dtype());
  const Tensor places = one_dim(index), from = one_dim(src);
  bool fits = from.dim() == places.dim();
  for (int d = 0; fits && d < places.dim(); ++d) fits = places.size(d) <= from.size(d);
  check(fits, op, ": expects src at least as large as the index ", index.shape(), ", got ", src.shape());
  Tensor part = from;
  for (int d = 0; d < places.dim(); ++d)
    if (part.size(d) != places.size(d)) part = narrow(part, d, 0, places.size(d));

  const Rows rows = elements(op, one_dim(x.detach()).shape(), dim, places, places.shape());
  Tensor y = add ? rows.added(x, part) : copied(x);
  if (!add) rows.put(false, part, y);
  return record(
      op, y, {x, part}, twice_differentiable,
      [op, add, rows, x_grad = x.requires_grad(), part_grad = part.requires_grad()](const Tensor& dy) {
        const Tensor dx = x_grad && !add ? cleared(op, rows, dy) : dy;
        return std::vector{x_grad ? dx : Tensor(), part_grad ? rows.of(op, dy) : Tensor()};
      });
}

void check_mask(const char* op, const Tensor& mask) {
  check(mask.dtype() == boolean, op, ": expects a bool mask, got ", mask.dtype());
}

}  // namespace

Tensor index_select(const Tensor& x, int dim, const Tensor& index) {
  check(index.dim() <= 1, "index_select: expects an index of at most 1 dimension, got ", index.shape());
  check(x.dim() > 0 || index.numel() == 1, "index_select: expects 1 index of a scalar, got ", index.numel());
  dim = normalize_dim(dim, std::max(x.dim(), 1), "index_select");
  const Tensor whole = one_dim(x);
  const Shape& shape = whole.shape();
  const Shape count{index.numel()};
  Rows rows{.size = shape[dim], .result = shape};
  for (int d = 0; d < shape.dims(); ++d) (d < dim ? rows.outer : rows.inner) *= d == dim ? 1 : shape[d];
  rows.at = locate("index_select", index, zeros({}, {.dtype = i64, .device = index.device()}),
                   {.size = shape[dim]}, count);
  rows.result[dim] = count[0];
  const Tensor y = rows.of("index_select", whole);
  return x.dim() == 0 ? y.reshape({}) : y;
}

Tensor gather(const Tensor& x, int dim, const Tensor& index) {
  dim = check_index("gather", x, dim, index);
  const Tensor whole = one_dim(x), places = one_dim(index);
  const Rows rows = elements("gather", whole.shape(), dim, places, places.shape());
  return rows.of("gather", whole).reshape(index.shape());
}

Tensor take_along_dim(const Tensor& x, const Tensor& indices, std::optional<int> dim) {
  if (!dim) return gather(x.reshape({-1}), 0, indices.reshape({-1}));
  check(x.dim() == indices.dim(), "take_along_dim: expects indices of ", x.dim(), " dimensions, got ",
        indices.shape());
  const int along = normalize_dim(*dim, x.dim(), "take_along_dim");
  Shape others = x.shape();
  others[along] = indices.size(along);
  const Shape out = broadcast_shapes(others, indices.shape(), "take_along_dim");
  return elements("take_along_dim", x.shape(), along, indices, out, true).of("take_along_dim", x);
}

Tensor scatter(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  return scatter("scatter", false, x, dim, index, src);
}
Tensor scatter(const Tensor& x, int dim, const Tensor& index, double value) {
  return scatter("scatter", false, x, dim, index, expand(number_for(x, value), index.shape()));
}
Tensor scatter_add(const Tensor& x, int dim, const Tensor& index, const Tensor& src) {
  check(is_floating(x.dtype()) || is_index(x.dtype()),
        "scatter_add: expects f32, f64, bf16, f16, i64 or i32, got ", x.dtype());
  return scatter("scatter_add", true, x, dim, index, src);
}

Tensor masked_fill(const Tensor& x, const Tensor& mask, double value) {
  return masked_fill(x, mask, number_for(x, value));
}
Tensor masked_fill(const Tensor& x, const Tensor& mask, const Tensor& value) {
  check_mask("masked_fill", mask);
  check(value.dim() == 0 && value.dtype() == x.dtype(), "masked_fill: expects a value of ", x.dtype(),
        " without dimensions, got ", value);
  return where(mask, value, x);
}
Tensor& Tensor::masked_fill_(const Tensor& mask, double value) {
  check_in_place("masked_fill_");
  check_mask("masked_fill_", mask);
  check(broadcast_shapes(shape(), mask.shape(), "masked_fill_") == shape(), "masked_fill_: a mask of shape ",
        mask.shape(), " does not broadcast to ", shape());
  const Tensor apart = mask.impl()->storage == impl_->storage ? copied(mask) : mask;
  before_write();
  kernels::where(apart, number_for(*this, value), *this, *this);
  return *this;
}

Tensor masked_select(const Tensor& x, const Tensor& mask) {
  check_mask("masked_select", mask);
  const Shape shape = broadcast_shapes(x.shape(), mask.shape(), "masked_select");
  const Tensor whole = expand(x, shape);
  const Tensor found = nonzero(expand(mask, shape).reshape({-1}));
  const Shape count{found.numel()};
  return Rows{.size = whole.numel(), .at = found.reshape(count), .result = count}.of("masked_select", whole);
}

Tensor nonzero(const Tensor& x) {
  const std::int64_t chunks = (x.numel() + kernels::nonzero_chunk - 1) / kernels::nonzero_chunk;
  Tensor counts = empty({chunks}, {.dtype = i64, .device = x.device()});
  kernels::nonzero_counts(x, counts);
  Tensor starts = counts.to(Device::cpu());
  std::int64_t total = 0;
  auto* start = starts.data<std::int64_t>();
  for (std::int64_t c = 0; c < chunks; ++c) total += std::exchange(start[c], total);
  Tensor y = empty({total, x.dim()}, {.dtype = i64, .device = x.device()});
  kernels::nonzero(x, starts.to(x.device()), y);
  return y;
}

}  // namespace karyon
