#include <algorithm>
#include <array>
#include <numeric>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/strided.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>

namespace karyon {
namespace {

using kernels::Axis;
using kernels::copy_along;
using kernels::strides_of;
using Flags = std::array<bool, Shape::max_dims>;

Tensor empty_for(const Tensor& x, const Shape& shape) {
  return empty(shape, {.dtype = x.dtype(), .device = x.device()});
}

// The same, but a scalar has one dimension.
int wrap_dim(int dim, const Tensor& x, const char* op) {
  return normalize_dim(dim, std::max(x.dim(), 1), op);
}

// Which dimensions `dims` names, each once.
Flags named(const std::vector<int>& dims, const Tensor& x, const char* op) {
  Flags flags{};
  for (const int dim : dims) {
    bool& flag = flags[static_cast<std::size_t>(wrap_dim(dim, x, op))];
    check(!flag, op, ": dimension ", dim, " is given twice");
    flag = true;
  }
  return flags;
}
bool is_set(const Flags& flags, int dim) { return flags[static_cast<std::size_t>(dim)]; }

// x's sizes for result dimensions [0, dims), 1 for those that come first.
Shape aligned(const Shape& shape, int dims) {
  Shape out;
  for (int d = shape.dims(); d < dims; ++d) out.push_back(1);
  for (const std::int64_t size : shape) out.push_back(size);
  return out;
}

// A tensor of `shape`, filled in order by the elements of x that start + sum of i_d strides[d] names.
Tensor gathered(const Tensor& x, const Shape& shape, std::int64_t start,
                const std::vector<std::int64_t>& strides) {
  const std::vector<std::int64_t> to = strides_of(shape);
  std::vector<Axis> axes;
  for (std::size_t d = 0; d < strides.size(); ++d)
    axes.push_back({shape[static_cast<int>(d)], strides[d], to[d]});
  Tensor y = empty_for(x, shape);
  copy_along(x, y, start, 0, axes);
  return y;
}

}  // namespace

// ---- the same values under another shape ----

namespace {

Tensor without(const Tensor& x, const Flags& ones) {
  Shape shape;
  for (int d = 0; d < x.dim(); ++d)
    if (!is_set(ones, d) || x.size(d) != 1) shape.push_back(x.size(d));
  return x.reshape(shape);
}

}  // namespace

Tensor squeeze(const Tensor& x) {
  Flags all;
  all.fill(true);
  return without(x, all);
}
Tensor squeeze(const Tensor& x, int dim) { return squeeze(x, std::vector{dim}); }
Tensor squeeze(const Tensor& x, const std::vector<int>& dims) {
  return without(x, named(dims, x, "squeeze"));
}

Tensor unsqueeze(const Tensor& x, int dim) {
  dim = normalize_dim(dim, x.dim() + 1, "unsqueeze");
  Shape shape;
  for (int d = 0; d <= x.dim(); ++d) {
    if (d == dim) shape.push_back(1);
    if (d < x.dim()) shape.push_back(x.size(d));
  }
  return x.reshape(shape);
}

Tensor flatten(const Tensor& x, int start, int end) {
  const int first = wrap_dim(start, x, "flatten"), last = wrap_dim(end, x, "flatten");
  check(first <= last, "flatten: expects a first dimension before the last, got ", start, " and ", end);
  if (x.dim() == 0) return x.reshape({1});
  Shape shape;
  std::int64_t joined = 1;
  for (int d = 0; d < x.dim(); ++d) {
    if (d >= first && d <= last) joined *= x.size(d);
    if (d == last) shape.push_back(joined);
    if (d < first || d > last) shape.push_back(x.size(d));
  }
  return x.reshape(shape);
}

Tensor unflatten(const Tensor& x, int dim, const Shape& sizes) {
  dim = normalize_dim(dim, x.dim(), "unflatten");
  check(sizes.dims() > 0, "unflatten: expects at least one size, got none");
  const std::int64_t size = x.size(dim);
  std::int64_t known = 1;
  int unknown = -1;
  for (int d = 0; d < sizes.dims(); ++d) {
    check(sizes[d] >= -1 && (sizes[d] != -1 || unknown < 0),
          "unflatten: expects sizes with at most one -1, got ", sizes);
    if (sizes[d] == -1) unknown = d;
    if (sizes[d] != -1) known = checked_mul(known, sizes[d], "unflatten");
  }
  check(unknown < 0 ? known == size : known > 0 && size % known == 0, "unflatten: ", sizes,
        " does not fill dimension ", dim, " of ", x.shape());
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) {
    if (d != dim) shape.push_back(x.size(d));
    for (int part = 0; d == dim && part < sizes.dims(); ++part)
      shape.push_back(part == unknown ? size / known : sizes[part]);
  }
  return x.reshape(shape);
}

// ---- dimensions reordered ----

Tensor swapaxes(const Tensor& x, int dim0, int dim1) { return transpose(x, dim0, dim1); }

Tensor movedim(const Tensor& x, const std::vector<int>& from, const std::vector<int>& to) {
  check(from.size() == to.size(), "movedim: expects as many places to move to as dimensions, got ", to.size(),
        " and ", from.size());
  const Flags moved = named(from, x, "movedim"), taken = named(to, x, "movedim");
  if (x.dim() == 0) return x;
  std::vector<int> order(static_cast<std::size_t>(x.dim()));
  for (std::size_t i = 0; i < from.size(); ++i)
    order[static_cast<std::size_t>(wrap_dim(to[i], x, "movedim"))] = wrap_dim(from[i], x, "movedim");
  int rest = 0;
  for (int d = 0; d < x.dim(); ++d) {
    if (is_set(taken, d)) continue;
    while (is_set(moved, rest)) ++rest;
    order[static_cast<std::size_t>(d)] = rest++;
  }
  return permute(x, order);
}
Tensor movedim(const Tensor& x, int from, int to) { return movedim(x, std::vector{from}, std::vector{to}); }

// ---- values repeated ----

Tensor expand(const Tensor& x, const Shape& wanted) {
  check(wanted.dims() >= x.dim(), "expand: expects at least as many sizes as ", x.shape(), " has, got ",
        wanted);
  const Shape before = aligned(x.shape(), wanted.dims());
  const int added = wanted.dims() - x.dim();
  Shape shape = wanted;
  std::vector<std::int64_t> strides = strides_of(before);
  for (int d = 0; d < shape.dims(); ++d) {
    if (shape[d] == -1 && d >= added) shape[d] = before[d];
    check(shape[d] >= 0 && (shape[d] == before[d] || before[d] == 1), "expand: ", x.shape(),
          " does not broadcast to ", wanted);
    if (shape[d] != before[d]) strides[static_cast<std::size_t>(d)] = 0;
  }
  if (shape == x.shape()) return x;
  if (shape.numel() == x.numel()) return x.reshape(shape);
  return record("expand", gathered(x, shape, 0, strides), {x}, twice_differentiable,
                [before = x.shape()](const Tensor& dy) { return std::vector{sum_to(dy, before)}; });
}

namespace {

// The sum over the copies that repeat made of x, which has the sizes `before`.
Tensor sum_of_copies(const Tensor& dy, const Shape& before, const Shape& repeats) {
  if (dy.numel() == 0) return zeros(before, {.dtype = dy.dtype(), .device = dy.device()});
  Tensor left = dy;
  std::int64_t outer = 1, inner = dy.numel();
  for (int d = 0; d < before.dims(); ++d) {
    inner /= repeats[d] * before[d];
    if (repeats[d] != 1) left = sum(view(left, {outer, repeats[d], before[d] * inner}), {1});
    outer *= before[d];
  }
  return left.to(dy.dtype());
}

}  // namespace

Tensor repeat(const Tensor& x, const Shape& repeats) {
  check(repeats.dims() >= x.dim(), "repeat: expects a count for each dimension of ", x.shape(), ", got ",
        repeats);
  const Shape before = aligned(x.shape(), repeats.dims());
  const std::vector<std::int64_t> from = strides_of(before);
  Shape shape;
  for (int d = 0; d < repeats.dims(); ++d) {
    check(repeats[d] >= 0, "repeat: expects counts of at least 0, got ", repeats);
    shape.push_back(checked_mul(before[d], repeats[d], "repeat"));
  }
  Tensor y = empty_for(x, shape);
  const std::vector<std::int64_t> to = strides_of(shape);
  std::vector<Axis> axes;
  for (int d = 0; d < repeats.dims(); ++d) {
    const auto i = static_cast<std::size_t>(d);
    axes.push_back({repeats[d], 0, before[d] * to[i]});
    axes.push_back({before[d], from[i], to[i]});
  }
  copy_along(x, y, 0, 0, axes);
  return record(
      "repeat", y, {x}, twice_differentiable, [shape = x.shape(), before, repeats](const Tensor& dy) {
        const Tensor dx = view(sum_of_copies(dy.detach(), before, repeats), shape);
        return std::vector{record("repeat", dx, {dy}, twice_differentiable, [repeats](const Tensor& ddx) {
          return std::vector{repeat(ddx, repeats)};
        })};
      });
}

Tensor tile(const Tensor& x, const Shape& repeats) {
  return repeat(x, aligned(repeats, std::max(repeats.dims(), x.dim())));
}

Tensor repeat_interleave(const Tensor& x, std::int64_t count, std::optional<int> dim) {
  if (!dim) return repeat_interleave(flatten(x), count, 0);
  check(count >= 0, "repeat_interleave: expects a count of at least 0, got ", count);
  const int at = wrap_dim(*dim, x, "repeat_interleave");
  const Tensor whole = x.dim() == 0 ? flatten(x) : x;
  std::int64_t outer = 1;
  for (int d = 0; d <= at; ++d) outer *= whole.size(d);
  std::int64_t inner = 1;
  for (int d = at + 1; d < whole.dim(); ++d) inner *= whole.size(d);
  Shape shape = whole.shape();
  shape[at] = checked_mul(shape[at], count, "repeat_interleave");
  return expand(whole.reshape({outer, 1, inner}), {outer, count, inner}).reshape(shape);
}

Tensor repeat_interleave(const Tensor& x, const std::vector<std::int64_t>& counts, std::optional<int> dim) {
  if (!dim || x.dim() == 0) return repeat_interleave(flatten(x), counts, dim.value_or(0));
  const int at = normalize_dim(*dim, x.dim(), "repeat_interleave");
  check(static_cast<std::int64_t>(counts.size()) == x.size(at), "repeat_interleave: expects ", x.size(at),
        " counts for dimension ", at, " of ", x.shape(), ", got ", counts.size());
  std::vector<Tensor> pieces;  // of elements with one count
  for (auto begin = counts.begin(); begin != counts.end();) {
    const auto end = std::find_if(begin, counts.end(), [&](std::int64_t count) { return count != *begin; });
    pieces.push_back(repeat_interleave(narrow(x, at, begin - counts.begin(), end - begin), *begin,
                                       std::optional<int>(at)));
    begin = end;
  }
  return pieces.empty() ? x : cat(pieces, at);
}

std::vector<Tensor> meshgrid(const std::vector<Tensor>& vectors, GridIndexing indexing) {
  check(!vectors.empty(), "meshgrid: expects at least one vector, got none");
  const int dims = static_cast<int>(vectors.size());
  const auto place = [&](int i) { return indexing == GridIndexing::xy && dims > 1 && i < 2 ? 1 - i : i; };
  Shape shape;
  for (int d = 0; d < dims; ++d) {
    const Tensor& x = vectors[static_cast<std::size_t>(place(d))];
    check(x.dim() <= 1, "meshgrid: expects vectors, got ", x.shape());
    check(x.dtype() == vectors[0].dtype(), "meshgrid: expects one dtype, got ", vectors[0].dtype(), " and ",
          x.dtype());
    shape.push_back(x.numel());
  }
  std::vector<Tensor> grids;
  for (int i = 0; i < dims; ++i) {
    const Tensor& x = vectors[static_cast<std::size_t>(i)];
    Shape along = shape;
    for (int d = 0; d < dims; ++d)
      if (d != place(i)) along[d] = 1;
    grids.push_back(expand(x.reshape(along), shape));
  }
  return grids;
}

// ---- values at other places ----

namespace {

// Recorded: the gradient is flipped back.
Tensor flipped(const Tensor& x, const Flags& dims) {
  std::vector<std::int64_t> strides = strides_of(x.shape());
  std::int64_t start = 0;
  for (int d = 0; d < x.dim(); ++d) {
    if (!is_set(dims, d)) continue;
    std::int64_t& stride = strides[static_cast<std::size_t>(d)];
    start += (x.size(d) - 1) * stride;
    stride = -stride;
  }
  return record("flip", gathered(x, x.shape(), start, strides), {x}, twice_differentiable,
                [dims](const Tensor& dy) { return std::vector{flipped(dy, dims)}; });
}

// The elements of [outer, n, inner] `shift` places on along n; -n < shift < n.
void roll_into(const Tensor& x, Tensor& y, std::int64_t outer, std::int64_t n, std::int64_t inner,
               std::int64_t shift) {
  if (y.numel() == 0) return;
  if (shift < 0) shift += n;
  const std::int64_t stay = n - shift, row = n * inner;
  copy_along(x, y, 0, shift * inner, {{outer, row, row}, {stay * inner, 1, 1}});
  copy_along(x, y, stay * inner, 0, {{outer, row, row}, {shift * inner, 1, 1}});
}

// Recorded: the gradient is rolled back.
Tensor rolled(const Tensor& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& dims) {
  Tensor y = x.detach();
  for (std::size_t i = 0; i < dims.size(); ++i) {
    std::int64_t outer = 1, inner = 1;
    for (int d = 0; d < dims[i]; ++d) outer *= x.size(d);
    for (int d = dims[i] + 1; d < x.dim(); ++d) inner *= x.size(d);
    const Tensor before = y;
    y = empty_like(x);
    roll_into(before, y, outer, x.size(dims[i]), inner, shifts[i]);
  }
  std::vector<std::int64_t> back;
  for (const std::int64_t shift : shifts) back.push_back(-shift);
  return record("roll", y, {x}, twice_differentiable,
                [back, dims](const Tensor& dy) { return std::vector{rolled(dy, back, dims)}; });
}

// x where the mask holds, 0 elsewhere; the gradient is masked alike.
Tensor masked(const char* op, const Tensor& x, const Tensor& mask) {
  Tensor y = empty_like(x);
  kernels::where(mask, x, zeros({}, {.dtype = x.dtype(), .device = x.device()}), y);
  return record(op, y, {x}, twice_differentiable, [op, mask = SavedTensor(mask)](const Tensor& dy) {
    return std::vector{masked(op, dy, mask.get())};
  });
}

Tensor triangle(const char* op, const Tensor& x, std::int64_t diagonal, bool lower) {
  check(x.dim() >= 2, op, ": expects at least two dimensions, got ", x.shape());
  const std::int64_t rows = x.size(-2), columns = x.size(-1);
  const Tensor limit =
      add(arange(rows).reshape({rows, 1}), static_cast<double>(std::clamp(diagonal, -rows, columns)));
  const Tensor column = arange(columns);
  const Tensor mask = (lower ? le(column, limit) : ge(column, limit)).to(x.device());
  return masked(op, x, mask);
}

}  // namespace

Tensor flip(const Tensor& x, const std::vector<int>& dims) {
  const Flags flags = named(dims, x, "flip");
  return flipped(x, flags);
}

Tensor roll(const Tensor& x, std::int64_t shift, std::optional<int> dim) {
  if (dim) return roll(x, std::vector{shift}, std::vector{*dim});
  return roll(flatten(x), std::vector{shift}, std::vector{0}).reshape(x.shape());
}
Tensor roll(const Tensor& x, const std::vector<std::int64_t>& shifts, const std::vector<int>& some_dims) {
  check(!shifts.empty() && shifts.size() == some_dims.size(),
        "roll: expects a shift for each of one or more dimensions, got ", shifts.size(), " and ",
        some_dims.size());
  std::vector<int> dims;
  std::vector<std::int64_t> forth;
  for (std::size_t i = 0; i < shifts.size(); ++i) {
    dims.push_back(normalize_dim(some_dims[i], x.dim(), "roll"));
    forth.push_back(x.numel() == 0 ? 0 : shifts[i] % x.size(dims[i]));
  }
  return rolled(x, forth, dims);
}

Tensor tril(const Tensor& x, std::int64_t diagonal) { return triangle("tril", x, diagonal, true); }
Tensor triu(const Tensor& x, std::int64_t diagonal) { return triangle("triu", x, diagonal, false); }

Tensor diagonal(const Tensor& x, std::int64_t offset, int dim1, int dim2) {
  const int row = normalize_dim(dim1, x.dim(), "diagonal"), column = normalize_dim(dim2, x.dim(), "diagonal");
  check(row != column, "diagonal: expects two dimensions, got ", dim1, " and ", dim2);
  const std::int64_t rows = x.size(row), columns = x.size(column);
  offset = std::clamp(offset, -rows, columns);
  const std::vector<std::int64_t> all = strides_of(x.shape());
  const auto stride = [&](int d) { return all[static_cast<std::size_t>(d)]; };
  Shape shape;
  std::vector<std::int64_t> strides;
  for (int d = 0; d < x.dim(); ++d) {
    if (d == row || d == column) continue;
    shape.push_back(x.size(d));
    strides.push_back(stride(d));
  }
  shape.push_back(
      std::min(rows - std::max<std::int64_t>(-offset, 0), columns - std::max<std::int64_t>(offset, 0)));
  strides.push_back(stride(row) + stride(column));
  const std::int64_t start = offset >= 0 ? offset * stride(column) : -offset * stride(row);
  return record("diagonal", gathered(x, shape, start, strides), {x}, twice_differentiable,
                [whole = x.shape(), start, strides, offset, row, column](const Tensor& dy) {
                  Tensor dx = zeros(whole, {.dtype = dy.dtype(), .device = dy.device()});
                  const std::vector<std::int64_t> from = strides_of(dy.shape());
                  std::vector<Axis> axes;
                  for (std::size_t d = 0; d < from.size(); ++d)
                    axes.push_back({dy.size(static_cast<int>(d)), from[d], strides[d]});
                  copy_along(dy, dx, 0, start, axes);
                  const auto again = [offset, row, column](const Tensor& ddx) {
                    return std::vector{diagonal(ddx, offset, row, column)};
                  };
                  return std::vector{record("diagonal", dx, {dy}, twice_differentiable, again)};
                });
}

// ---- several tensors ----

std::vector<Tensor> chunk(const Tensor& x, std::int64_t chunks, int dim) {
  check(chunks >= 1, "chunk: expects at least 1 chunk, got ", chunks);
  const std::int64_t size = x.size(normalize_dim(dim, x.dim(), "chunk"));
  if (size == 0) return split(x, std::vector<std::int64_t>(static_cast<std::size_t>(chunks), 0), dim);
  return split(x, (size - 1) / chunks + 1, dim);
}

std::vector<Tensor> unbind(const Tensor& x, int dim) {
  dim = normalize_dim(dim, x.dim(), "unbind");
  std::vector<Tensor> slices;
  for (std::int64_t i = 0; i < x.size(dim); ++i) slices.push_back(select(x, dim, i));
  return slices;
}

namespace {

std::vector<Tensor> with_dims(const std::vector<Tensor>& tensors, int dims) {
  std::vector<Tensor> out;
  for (const Tensor& x : tensors) out.push_back(x.dim() < dims ? x.reshape(aligned(x.shape(), dims)) : x);
  return out;
}

}  // namespace

Tensor hstack(const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "hstack: expects at least one tensor, got none");
  const std::vector<Tensor> parts = with_dims(tensors, 1);
  return cat(parts, parts[0].dim() == 1 ? 0 : 1);
}

Tensor vstack(const std::vector<Tensor>& tensors) {
  check(!tensors.empty(), "vstack: expects at least one tensor, got none");
  return cat(with_dims(tensors, 2), 0);
}

}  // namespace karyon
