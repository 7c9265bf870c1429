#include <algorithm>
#include <memory>
#include <utility>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pad.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

Tensor empty_for(const Tensor& x, const Shape& shape) {
  return empty(shape, {.dtype = x.dtype(), .device = x.device()});
}
Tensor zeros_for(const Tensor& x, const Shape& shape) {
  return zeros(shape, {.dtype = x.dtype(), .device = x.device()});
}

Shape with_size(Shape shape, int dim, std::int64_t size) {
  shape[dim] = size;
  return shape;
}

// Products of the sizes before and from `dim` on.
std::int64_t numel_before(const Shape& shape, int dim) {
  std::int64_t n = 1;
  for (int d = 0; d < dim; ++d) n *= shape[d];
  return n;
}
std::int64_t numel_from(const Shape& shape, int dim) {
  std::int64_t n = 1;
  for (int d = dim; d < shape.dims(); ++d) n *= shape[d];
  return n;
}

// The elements start, start + 1, ... along `dim` of `whole`, and all of `part`, as runs.
kernels::CopyRuns slice_runs(const Shape& whole, const Shape& part, int dim, std::int64_t start) {
  const std::int64_t inner = numel_from(whole, dim + 1);
  return {.outer = numel_before(whole, dim),
          .length = part[dim] * inner,
          .from = {.offset = start * inner, .outer_stride = whole[dim] * inner},
          .to = {.outer_stride = part[dim] * inner}};
}

// The window of size part.h x part.w at (top, left) of images, and all of `part`, as runs.
kernels::CopyRuns window_runs(const Shape& whole, const Shape& part, std::int64_t top, std::int64_t left) {
  const std::int64_t c = whole[3], row = whole[2] * c;
  return {.outer = whole[0],
          .rows = part[1],
          .length = part[2] * c,
          .from = {.offset = top * row + left * c, .outer_stride = whole[1] * row, .row_stride = row},
          .to = {.outer_stride = part[1] * part[2] * c, .row_stride = part[2] * c}};
}

kernels::CopyRuns reversed(kernels::CopyRuns runs) {
  std::swap(runs.from, runs.to);
  return runs;
}

Tensor gather(const Tensor& x, const Shape& shape, const kernels::CopyRuns& runs) {
  Tensor y = empty_for(x, shape);
  kernels::copy_runs(x, y, runs);
  return y;
}

// Zeros of `shape`, with x at the place that `runs` took it from.
Tensor scatter(const Tensor& x, const Shape& shape, const kernels::CopyRuns& runs) {
  Tensor y = zeros_for(x, shape);
  kernels::copy_runs(x, y, reversed(runs));
  return y;
}

Tensor scattered(const char* op, const Tensor& x, const Shape& shape, const kernels::CopyRuns& runs);
// gather() and scatter(), recorded: each is the gradient of the other.
Tensor gathered(const char* op, const Tensor& x, const Shape& shape, const kernels::CopyRuns& runs) {
  return record(op, gather(x, shape, runs), {x}, twice_differentiable,
                [op, whole = x.shape(), runs](const Tensor& dy) {
                  return std::vector{scattered(op, dy, whole, runs)};
                });
}
Tensor scattered(const char* op, const Tensor& x, const Shape& shape, const kernels::CopyRuns& runs) {
  return record(
      op, scatter(x, shape, runs), {x}, twice_differentiable,
      [op, part = x.shape(), runs](const Tensor& dy) { return std::vector{gathered(op, dy, part, runs)}; });
}

// Whether cat is lazy: it is recorded, and a convolution can read the parts of the joined images.
bool joins_lazily(const std::vector<Tensor>& parts, int dim) {
  const auto readable = [](const Tensor& x) { return x.dim() == 4 && reads_lazily(LazyKind::cat, x); };
  const auto wanted = [](const Tensor& x) { return x.requires_grad(); };
  return grad_enabled() && parts.size() > 1 && dim == 3 && parts[0].numel() > 0 &&
         std::ranges::any_of(parts, wanted) && std::ranges::all_of(parts, readable);
}

void check_images(const Tensor& x, const char* op) {
  check(x.dim() == 4, op, ": expects images [N, H, W, C], got ", x.shape());
}

}  // namespace

Tensor cat(const std::vector<Tensor>& tensors, int dim) {
  check(!tensors.empty(), "cat: expects at least one tensor, got none");
  const Tensor& first = tensors[0];
  if (std::ranges::any_of(tensors, [&](const Tensor& x) { return mixed(first, x); })) {
    std::vector<Tensor> wide;
    for (const Tensor& x : tensors) wide.push_back(widest(x));
    return cat(wide, dim);
  }
  dim = normalize_dim(dim, first.dim(), "cat");
  std::int64_t total = 0;
  for (const Tensor& x : tensors) {
    check(x.dim() == first.dim() && with_size(x.shape(), dim, 0) == with_size(first.shape(), dim, 0),
          "cat: expects shapes that agree but in dimension ", dim, ", got ", first.shape(), " and ",
          x.shape());
    check(x.dtype() == first.dtype(), "cat: expects one dtype, got ", first.dtype(), " and ", x.dtype());
    total = checked_add(total, x.shape()[dim], "cat");
  }
  const Shape shape = with_size(first.shape(), dim, total);
  const bool lazy = joins_lazily(tensors, dim);
  Tensor y = lazy ? lazy_tensor(std::make_shared<LazyCat>(tensors)) : empty_for(first, shape);
  std::vector<kernels::CopyRuns> pieces;  // of y, into each input
  std::vector<Shape> wanted;              // by the inputs that need a gradient; no dimensions otherwise
  std::int64_t start = 0;
  for (const Tensor& x : tensors) {
    pieces.push_back(slice_runs(y.shape(), x.shape(), dim, start));
    wanted.push_back(x.requires_grad() ? x.shape() : Shape());
    if (!lazy) kernels::copy_runs(x, y, reversed(pieces.back()));
    start += x.shape()[dim];
  }
  y = record("cat", y, tensors, twice_differentiable,
             [pieces = std::move(pieces), wanted = std::move(wanted)](const Tensor& dy) {
               std::vector<Tensor> grads(pieces.size());
               // A convolution that read the parts left its gradient in parts, too: they need not be cut out.
               const auto apart = grad_enabled() ? nullptr : lazy_as<LazyCat>(dy);
               const bool same_parts =
                   apart && std::ranges::equal(apart->parts, pieces, [](const auto& part, const auto& piece) {
                     return part.get().size(-1) == piece.length;
                   });
               for (std::size_t i = 0; i < pieces.size(); ++i)
                 if (wanted[i].dims() > 0)
                   grads[i] = same_parts ? apart->parts[i].get() : gathered("cat", dy, wanted[i], pieces[i]);
               return grads;
             });
  return traced(y, [&] { return TraceOptions{{"dim", dim}}; });
}

Tensor narrow(const Tensor& x, int dim, std::int64_t start, std::int64_t length) {
  dim = normalize_dim(dim, x.dim(), "narrow");
  const Shape whole = x.shape();
  const std::int64_t size = whole[dim], from = start < 0 ? start + size : start;
  check(from >= 0 && length >= 0 && from <= size && length <= size - from, "narrow: ", length,
        " elements from ", start, " of dimension ", dim, " of ", whole);
  const Shape part = with_size(whole, dim, length);
  const auto runs = slice_runs(whole, part, dim, from);
  const Tensor y = dim != 0 ? gathered("narrow", x, part, runs)
                            : record("narrow", view(x, part, runs.from.offset), {x}, twice_differentiable,
                                     [whole, runs](const Tensor& dy) {
                                       return std::vector{scattered("narrow", dy, whole, runs)};
                                     });
  return traced(y, [&] { return TraceOptions{{"dim", dim}, {"start", from}}; });
}

std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim) {
  dim = normalize_dim(dim, x.dim(), "split");
  std::int64_t total = 0;
  for (const std::int64_t size : sizes) {
    check(size >= 0, "split: expects sizes of at least 0, got ", size);
    total = checked_add(total, size, "split");
  }
  check(total == x.shape()[dim], "split: expects sizes that sum to ", x.shape()[dim], ", got ", total);
  std::vector<Tensor> pieces;
  std::int64_t start = 0;
  for (std::int64_t size : sizes) {
    pieces.push_back(narrow(x, dim, start, size));
    start += size;
  }
  return pieces;
}

std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim) {
  check(size >= 1, "split: expects a size of at least 1, got ", size);
  dim = normalize_dim(dim, x.dim(), "split");
  std::vector<std::int64_t> sizes;
  std::int64_t left = x.shape()[dim];
  do sizes.push_back(std::min(left, size));
  while ((left -= size) > 0);
  return split(x, sizes, dim);
}

Tensor stack(const std::vector<Tensor>& tensors, int dim) {
  check(!tensors.empty(), "stack: expects at least one tensor, got none");
  const Shape& shape = tensors[0].shape();
  dim = normalize_dim(dim, shape.dims() + 1, "stack");
  Shape expanded;
  for (int d = 0; d <= shape.dims(); ++d) {
    if (d == dim) expanded.push_back(1);
    if (d < shape.dims()) expanded.push_back(shape[d]);
  }
  std::vector<Tensor> parts;
  for (const Tensor& x : tensors) {
    check(x.shape() == shape, "stack: expects one shape, got ", shape, " and ", x.shape());
    parts.push_back(x.reshape(expanded));
  }
  return cat(parts, dim);
}

Tensor pad(const Tensor& x, const Pad2d& border, PadMode mode, double value) {
  check_images(x, "pad");
  const auto [top, bottom, left, right] = border;
  if (mode == PadMode::replicate || mode == PadMode::circular || value != 0)
    return pad_nd(x, {{}, {top, bottom}, {left, right}, {}}, mode, value);
  check(top >= 0 && bottom >= 0 && left >= 0 && right >= 0, "pad: expects borders of at least 0, got top ",
        top, ", bottom ", bottom, ", left ", left, ", right ", right);
  const Shape inside = x.shape();
  const auto with_border = [](std::int64_t size, std::int64_t before, std::int64_t after) {
    return checked_add(checked_add(before, size, "pad"), after, "pad");
  };
  const Shape outside{inside[0], with_border(inside[1], top, bottom), with_border(inside[2], left, right),
                      inside[3]};
  if (mode == PadMode::zeros) {
    const auto runs = window_runs(outside, inside, top, left);
    return traced(scattered("pad", x, outside, runs), [&] {
      return TraceOptions{{"before", std::vector<std::int64_t>{0, top, left, 0}},
                          {"after", std::vector<std::int64_t>{0, bottom, right, 0}},
                          {"mode", "constant"},
                          {"value", 0.0}};
    });
  }
  check(std::max(top, bottom) < std::max<std::int64_t>(inside[1], 1) &&
            std::max(left, right) < std::max<std::int64_t>(inside[2], 1),
        "pad: reflect expects borders smaller than the image ", inside, ", got top ", top, ", bottom ",
        bottom, ", left ", left, ", right ", right);
  Tensor y = empty_for(x, outside);
  kernels::pad_reflect(x, y, border);
  y = record("pad", y, {x}, twice_differentiable, [inside, border](const Tensor& dy) {
    const Tensor wide = widen(dy.detach());  // 16 bits store but do not add
    Tensor dx = empty_for(wide, inside);
    kernels::pad_reflect_backward(wide, dx, border);
    return std::vector{
        record("pad", dx.to(dy.dtype()), {dy}, twice_differentiable,
               [border](const Tensor& ddx) { return std::vector{pad(ddx, border, PadMode::reflect)}; })};
  });
  return traced(y, [&] {
    return TraceOptions{{"before", std::vector<std::int64_t>{0, top, left, 0}},
                        {"after", std::vector<std::int64_t>{0, bottom, right, 0}},
                        {"mode", "reflect"},
                        {"value", 0.0}};
  });
}

Tensor crop(const Tensor& x, std::int64_t top, std::int64_t left, Pair size) {
  check_images(x, "crop");
  const Shape whole = x.shape();
  check(top >= 0 && left >= 0 && size.h >= 0 && size.w >= 0 && size.h <= whole[1] &&
            top <= whole[1] - size.h && size.w <= whole[2] && left <= whole[2] - size.w,
        "crop: a window of ", size, " at (", top, ", ", left, ") is not inside ", whole);
  const Shape part{whole[0], size.h, size.w, whole[3]};
  const auto runs = window_runs(whole, part, top, left);
  return traced(gathered("crop", x, part, runs), [&] {
    return TraceOptions{{"start", std::vector<std::int64_t>{0, top, left, 0}}};
  });
}

Tensor permute(const Tensor& x, const std::vector<int>& order) {
  const int dims = x.dim();
  check(static_cast<int>(order.size()) == dims, "permute: expects ", dims, " dimensions for ", x.shape(),
        ", got ", order.size());
  std::vector<int> forward, inverse(order.size(), -1);
  Shape shape;
  for (int d : order) {
    d = normalize_dim(d, dims, "permute");
    check(inverse[static_cast<std::size_t>(d)] < 0, "permute: dimension ", d, " is named twice");
    inverse[static_cast<std::size_t>(d)] = static_cast<int>(forward.size());
    forward.push_back(d);
    shape.push_back(x.shape()[d]);
  }
  Tensor y = empty_for(x, shape);
  kernels::permute(x, y, forward);
  y = record("permute", y, {x}, twice_differentiable,
             [inverse](const Tensor& dy) { return std::vector{permute(dy, inverse)}; });
  return traced(y, [&] {
    return TraceOptions{{"dims", std::vector<std::int64_t>(forward.begin(), forward.end())}};
  });
}

Tensor transpose(const Tensor& x, int dim0, int dim1) {
  std::vector<int> order;
  for (int d = 0; d < x.dim(); ++d) order.push_back(d);
  const int first = normalize_dim(dim0, std::max(x.dim(), 1), "transpose");
  const int second = normalize_dim(dim1, std::max(x.dim(), 1), "transpose");
  if (x.dim() > 0) std::swap(order[static_cast<std::size_t>(first)], order[static_cast<std::size_t>(second)]);
  return permute(x, order);
}

Tensor select(const Tensor& x, int dim, std::int64_t index) {
  dim = normalize_dim(dim, x.dim(), "select");
  const std::int64_t size = x.size(dim);
  check(index >= -size && index < size, "select: index ", index, " of dimension ", dim, " of ", x.shape());
  Shape rest;
  for (int d = 0; d < x.dim(); ++d)
    if (d != dim) rest.push_back(x.size(d));
  return narrow(x, dim, index < 0 ? index + size : index, 1).reshape(rest);
}

Tensor reshape(const Tensor& x, const Shape& shape) { return x.reshape(shape); }

}  // namespace karyon
