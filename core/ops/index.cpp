#include <algorithm>
#include <utility>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/rows.h>
#include <karyon/core/kernels/strided.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/index.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

using kernels::Axis;
using Strides = std::vector<std::int64_t>;

std::vector<Axis> axes(const Shape& sizes, const Strides& from, const Strides& to) {
  std::vector<Axis> all;
  for (std::size_t d = 0; d < from.size(); ++d) all.push_back({sizes[static_cast<int>(d)], from[d], to[d]});
  return all;
}

// What all indices but tensors select of x. The dimensions that tensors index are still there.
class Selection {
 public:
  struct IndexedByTensor {
    int dim;
    Tensor tensor;
  };

  Selection(const Tensor& x, const std::vector<TensorIndex>& indices)
      : shape_(x.shape()), x_strides_(kernels::strides_of(shape_)) {
    int named = 0, ellipses = 0;
    for (const TensorIndex& one : indices) {
      named += dims_of(one);
      ellipses += std::holds_alternative<EllipsisIndex>(one.value()) ? 1 : 0;
    }
    check(named <= shape_.dims(), "index: ", named, " dimensions are indexed, but x is ", shape_);
    check(ellipses <= 1, "index: expects at most one ellipsis, got ", ellipses);
    for (const TensorIndex& one : indices)
      std::visit([&](const auto& value) { add(value, shape_.dims() - named); }, one.value());
    add(EllipsisIndex(), shape_.dims() - dim_);
  }

  const Shape& sizes() const { return sizes_; }
  const std::vector<IndexedByTensor>& tensors() const { return tensors_; }
  /// Whether it lies in one piece of x's memory, whatever the sizes.
  bool leading() const { return leading_; }
  /// Where it begins in x, and how far its elements are apart.
  std::int64_t offset() const { return offset_; }
  const Strides& strides() const { return strides_; }

  /// The selected elements; in x's memory if leading().
  Tensor of(const Tensor& x) const {
    if (leading_ && sizes_.numel() == x.numel()) return x.reshape(sizes_);
    const Strides dense = kernels::strides_of(sizes_);
    Tensor y =
        leading_ ? view(x, sizes_, offset_) : empty(sizes_, {.dtype = x.dtype(), .device = x.device()});
    if (!leading_) kernels::copy_along(x, y, offset_, 0, axes(sizes_, strides_, dense));
    Selection alone = *this;
    alone.tensors_.clear();
    y = record("index", y, {x}, twice_differentiable, [alone](const Tensor& dy) {
      Tensor dx = zeros(alone.shape_, {.dtype = dy.dtype(), .device = dy.device()});
      const Strides from = kernels::strides_of(alone.sizes_);
      kernels::copy_along(dy, dx, 0, alone.offset_, axes(alone.sizes_, from, alone.strides_));
      return std::vector{record("index", dx, {dy}, twice_differentiable,
                                [alone](const Tensor& ddx) { return std::vector{alone.of(ddx)}; })};
    });
    return traced(y, [&] { return TraceOptions{{"start", start_}, {"step", step_}, {"count", count_}}; });
  }

 private:
  // Dimensions of x that an index names.
  static int dims_of(const TensorIndex& one) {
    if (const auto* tensor = std::get_if<Tensor>(&one.value())) {
      check(tensor->defined() && (is_index(tensor->dtype()) || tensor->dtype() == boolean),
            "index: expects tensors of i64, i32 or bool, got ", *tensor);
      return tensor->dtype() == boolean ? tensor->dim() : 1;
    }
    return std::holds_alternative<std::int64_t>(one.value()) || std::holds_alternative<Slice>(one.value())
               ? 1
               : 0;
  }

  void keep(std::int64_t size, std::int64_t stride) {
    sizes_.push_back(size);
    strides_.push_back(stride);
  }
  std::int64_t stride() const { return x_strides_[static_cast<std::size_t>(dim_)]; }

  void add(std::monostate, int /*rest*/) { keep(1, 0); }
  // Of dimension dim_, for a trace.
  void take(std::int64_t start, std::int64_t step, std::int64_t count) {
    start_.push_back(start);
    step_.push_back(step);
    count_.push_back(count);
  }

  void add(EllipsisIndex, int rest) {
    for (; rest > 0; --rest, ++dim_) {
      keep(shape_[dim_], stride());
      take(0, 1, shape_[dim_]);
    }
    kept_ = true;
  }
  void add(std::int64_t number, int /*rest*/) {
    const std::int64_t size = shape_[dim_];
    check(number >= -size && number < size, "index: ", number, " is out of range for dimension ", dim_,
          " of ", shape_);
    const std::int64_t at = number < 0 ? number + size : number;
    offset_ += at * stride();
    leading_ = leading_ && !kept_;
    take(at, 1, 1);
    ++dim_;
  }
  void add(const Slice& slice, int /*rest*/) {
    const std::int64_t size = shape_[dim_], step = slice.step.value_or(1);
    check(step >= 1, "index: expects a step of at least 1, got ", step);
    const auto end = [size](std::int64_t at) {
      return std::clamp(at < 0 ? at + size : at, std::int64_t{0}, size);
    };
    const std::int64_t start = end(slice.start.value_or(0)), stop = end(slice.stop.value_or(size));
    offset_ += start * stride();
    const std::int64_t count = start < stop ? (stop - start - 1) / step + 1 : 0;
    keep(count, count > 1 ? step * stride() : 0);  // a step may be as large as 64 bits hold
    take(start, step, count);
    leading_ = leading_ && step == 1 && (!kept_ || (!slice.start && !slice.stop));
    kept_ = true;
    ++dim_;
  }
  void add(const Tensor& tensor, int rest) {
    if (is_index(tensor.dtype()) && tensor.dim() == 0) return add(tensor.item<std::int64_t>(), rest);
    const bool is_mask = tensor.dtype() == boolean;
    std::int64_t size = 1, distance = 1;  // the dimensions that a mask covers become one
    for (int d = 0; d < dims_of(tensor); ++d, ++dim_) {
      take(0, 1, shape_[dim_]);
      check(!is_mask || tensor.size(d) == shape_[dim_], "index: a mask of shape ", tensor.shape(),
            " does not fit dimension ", dim_, " of ", shape_);
      size *= shape_[dim_];
      distance = stride();
    }
    const Tensor numbers = is_mask ? nonzero(tensor.reshape({-1})).reshape({-1}) : tensor;
    tensors_.push_back({sizes_.dims(), numbers});
    keep(size, distance);
    kept_ = true;
  }

  Shape shape_, sizes_;
  Strides x_strides_, strides_;
  std::int64_t offset_ = 0;
  std::vector<std::int64_t> start_, step_, count_;  // of x's dimensions
  std::vector<IndexedByTensor> tensors_;
  int dim_ = 0;  // the next dimension of x
  bool leading_ = true, kept_ = false;
};

using IndexTensors = std::vector<Selection::IndexedByTensor>;

bool adjacent(const IndexTensors& tensors) {
  return tensors.back().dim - tensors.front().dim + 1 == static_cast<int>(tensors.size());
}

// The rows of an array of this shape that adjacent tensors name together.
Rows rows_of(const Shape& shape, const IndexTensors& tensors) {
  const int first = tensors.front().dim, end = tensors.back().dim + 1;
  Rows rows;
  Shape together = tensors.front().tensor.shape();
  for (const auto& [dim, tensor] : tensors) together = broadcast_shapes(together, tensor.shape(), "index");
  for (int d = 0; d < first; ++d) rows.outer *= shape[d], rows.result.push_back(shape[d]);
  for (const std::int64_t size : together) rows.result.push_back(size);
  for (int d = end; d < shape.dims(); ++d) rows.inner *= shape[d], rows.result.push_back(shape[d]);
  rows.at = zeros({}, {.dtype = i64, .device = tensors.front().tensor.device()});
  for (auto one = tensors.rbegin(); one != tensors.rend(); ++one) {
    const std::int64_t size = shape[one->dim];
    rows.at = locate("index", one->tensor, rows.at, {.size = size, .stride = rows.size, .from_end = true},
                     together);
    rows.size *= size;
  }
  return rows;
}

// `shape` without dimensions of size 1 in front if it has more than `dims`.
Shape without_front(const Shape& shape, int dims) {
  const auto* begin = shape.begin();
  while (shape.end() - begin > dims && *begin == 1) ++begin;
  return Shape(std::span(begin, shape.end()));
}

// value's shape as it broadcasts to `place`: without dimensions of size 1 in front that `place` has not.
Shape aligned(const Tensor& value, const Shape& place) {
  const Shape shape = without_front(value.shape(), place.dims());
  check(broadcast_shapes(shape, place, "index_put_") == place, "index_put_: a value of shape ", value.shape(),
        " does not broadcast to ", place);
  return shape;
}

// The strides of a dense array of shape `from` that is read as if it had shape `to`.
Strides broadcast_strides(const Shape& from, const Shape& to) {
  Strides strides = kernels::strides_of(from);
  for (int d = 0; d < from.dims(); ++d)
    if (from[d] == 1) strides[static_cast<std::size_t>(d)] = 0;
  strides.insert(strides.begin(), static_cast<std::size_t>(to.dims() - from.dims()), 0);
  return strides;
}

// Writes value, which shares no memory with x, to index(x, indices).
void assign(Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& value) {
  const Selection selection(x, indices);
  if (selection.tensors().empty()) {
    const Shape& sizes = selection.sizes();
    const Strides from = broadcast_strides(aligned(value, sizes), sizes);
    kernels::copy_along(value.to(x.dtype()), x, 0, selection.offset(),
                        axes(sizes, from, selection.strides()));
    return;
  }
  check(value.dtype() == x.dtype(), "index_put_: expects a value of ", x.dtype(),
        " beside index tensors, got ", value.dtype());
  const auto write = [&value](const Rows& rows, Tensor& to) {
    rows.put(false, expand(value.reshape(aligned(value, rows.result)), rows.result), to);
  };
  if (selection.leading() && adjacent(selection.tensors())) {
    Tensor part = view(x, selection.sizes(), selection.offset());
    return write(rows_of(part.shape(), selection.tensors()), part);
  }
  // The same indices of the elements' positions tell where to write.
  const TensorOptions options{.dtype = i64, .device = x.device()};
  const Tensor places = index(arange(x.numel(), options).reshape(x.shape()), indices);
  write({.size = x.numel(), .at = places, .result = places.shape()}, x);
}

}  // namespace

Tensor index(const Tensor& x, const std::vector<TensorIndex>& indices) {
  const Selection selection(x, indices);
  const Tensor selected = selection.of(x);
  IndexTensors tensors = selection.tensors();
  if (tensors.empty()) return selected;
  if (adjacent(tensors)) return rows_of(selected.shape(), tensors).of("index", selected);
  std::vector<int> order;
  for (auto& one : tensors) order.push_back(std::exchange(one.dim, static_cast<int>(order.size())));
  for (int d = 0; d < selected.dim(); ++d)
    if (std::ranges::find(order, d) == order.end()) order.push_back(d);
  const Tensor in_front = permute(selected, order);
  return rows_of(in_front.shape(), tensors).of("index", in_front);
}

Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, const Tensor& value) {
  Tensor y = copied(x);
  assign(y, indices, value.detach());
  std::vector<SavedTensor> unchanged;
  for (const TensorIndex& one : indices)
    if (const auto* tensor = std::get_if<Tensor>(&one.value())) unchanged.emplace_back(*tensor);
  return record("index_put", y, {x, value}, twice_differentiable,
                [indices, unchanged, shape = value.shape(), dtype = value.dtype(), x_grad = x.requires_grad(),
                 value_grad = value.requires_grad()](const Tensor& dy) {
                  for (const SavedTensor& tensor : unchanged) tensor.get();
                  Tensor dx, dvalue;
                  if (x_grad) dx = index_put(dy, indices, 0);
                  if (value_grad) {
                    dvalue = index(dy, indices);
                    dvalue = sum_to(dvalue, without_front(shape, dvalue.dim())).reshape(shape).to(dtype);
                  }
                  return std::vector{dx, dvalue};
                });
}
Tensor index_put(const Tensor& x, const std::vector<TensorIndex>& indices, double value) {
  return index_put(x, indices, number_for(x, value));
}

Tensor& Tensor::index_put_(const std::vector<TensorIndex>& indices, const Tensor& value) {
  check_in_place("index_put_");
  check(value.defined(), "index_put_: the value is undefined");
  const bool apart = value.impl()->storage != impl_->storage;
  const Tensor from = apart ? value : value.clone();
  check_source("index_put_", from);
  before_write();
  assign(*this, indices, from.detach().to(device()));
  return *this;
}
Tensor& Tensor::index_put_(const std::vector<TensorIndex>& indices, double value) {
  // A mask alone needs no list of places.
  const auto* mask = indices.size() == 1 ? std::get_if<Tensor>(&indices[0].value()) : nullptr;
  if (mask != nullptr && mask->defined() && mask->dtype() == boolean && mask->dim() <= dim() &&
      std::equal(mask->shape().begin(), mask->shape().end(), shape().begin())) {
    Shape aligned = mask->shape();
    while (aligned.dims() < dim()) aligned.push_back(1);
    return masked_fill_(mask->reshape(aligned), value);
  }
  return index_put_(indices, number_for(*this, value));
}

}  // namespace karyon
