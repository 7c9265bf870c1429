#include <cmath>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {
namespace {

using Reduce = Tensor (*)(const Tensor& x, const std::vector<int>& dims, bool keepdim);

/// The node's axes and dimensions that stay. Images that keep their dimensions stay channels last.
template <Reduce f, bool noop_computes = false>
Values reduced(const Call& call) {
  const bool keep = call.node.integer("keepdims", 1) != 0;
  const bool images = keep && call.value(0).channels_last;
  const Tensor x = images ? call.raw(0) : call.x(0);
  std::vector<int> dims = dims_of(call.numbers(1, "axes"));
  if (dims.empty()) {
    if (call.node.integer("noop_with_empty_axes", 0) != 0 && !noop_computes) return {call.value(0)};
    if (call.node.integer("noop_with_empty_axes", 0) != 0) return {f(unsqueeze(x, 0), {0}, false)};
    dims.resize(static_cast<std::size_t>(x.dim()));
    std::iota(dims.begin(), dims.end(), 0);
  }
  if (x.dim() == 0) return {f(x.reshape({1}), {0}, false)};
  if (images)
    for (int& d : dims) d = last_axis(d, x.dim());
  Value y(f(x, dims, keep));
  y.channels_last = images;
  return {y};
}

Tensor squares(const Tensor& x, const std::vector<int>& dims, bool keep) {
  return sum(mul(x, x), dims, keep);
}
Tensor absolutes(const Tensor& x, const std::vector<int>& dims, bool keep) {
  return sum(is_floating(x.dtype()) ? abs(x) : where(lt(x, 0.0), mul(x, -1.0), x), dims, keep);
}
Tensor length(const Tensor& x, const std::vector<int>& dims, bool keep) {
  if (is_floating(x.dtype())) return sqrt(squares(x, dims, keep));
  return converted(sqrt(squares(x, dims, keep).to(f64)), int64);
}
Tensor log_sum(const Tensor& x, const std::vector<int>& dims, bool keep) {
  if (!is_floating(x.dtype())) return converted(log(sum(x, dims, keep).to(f64)), int64);
  return log(sum(x, dims, keep));
}
Tensor log_sum_exp(const Tensor& x, const std::vector<int>& dims, bool keep) {
  if (!is_floating(x.dtype())) return converted(logsumexp(x.to(f64), dims, keep), int64);
  return logsumexp(x, dims, keep);
}
Tensor means(const Tensor& x, const std::vector<int>& dims, bool keep) {
  if (!is_floating(x.dtype())) return converted(mean(x.to(f64), dims, keep), int64);
  return mean(x, dims, keep);
}

/// The extreme of nothing is the end of the type's range.
template <bool largest>
Tensor extreme(const Tensor& x, const std::vector<int>& dims, bool keep) {
  if (x.dtype() == boolean) return largest ? any(x, dims, keep) : all(x, dims, keep);
  if (x.numel() != 0) return largest ? max(x, dims, keep) : min(x, dims, keep);
  const Shape shape = sum(x, dims, keep).shape();
  if (is_floating(x.dtype())) return full(shape, largest ? -INFINITY : INFINITY, {.dtype = x.dtype()});
  const std::int64_t end = largest ? lowest(int64) : highest(int64);
  return expand(tensor(end), shape).clone();
}

template <bool largest>
Values arg(const Call& call) {
  Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  const bool keep = call.node.integer("keepdims", 1) != 0,
             last = call.node.integer("select_last_index", 0) != 0;
  if (last) x = flip(x, {axis});
  Tensor y = largest ? argmax(x, axis, keep) : argmin(x, axis, keep);
  if (last) y = add(mul(y, -1.0), static_cast<double>(x.size(axis) - 1));
  return {Value(y, int64)};
}

/// Before operator set 13 all dimensions from the axis on were one.
template <Tensor (*f)(const Tensor&, int)>
Values along(const Call& call) {
  const bool old = call.opset() < 13;
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", old ? 1 : -1), x.dim(), "onnx");
  if (!old || axis == x.dim() - 1) return {f(x, axis)};
  return {f(flatten(x, axis, -1), axis).reshape(x.shape())};
}
Tensor hardmax(const Tensor& x, int dim) {
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) shape.push_back(d == dim ? x.size(dim) : 1);
  const Tensor places = arange(x.size(dim)).reshape(shape);
  return eq(places, argmax(x, dim, true)).to(x.dtype());
}

}  // namespace

std::vector<Operator> reduce_operators() {
  return {
      {"ReduceSum", reduced<sum>},
      {"ReduceMean", reduced<means>},
      {"ReduceProd", reduced<prod>},
      {"ReduceMax", reduced<extreme<true>>},
      {"ReduceMin", reduced<extreme<false>>},
      {"ReduceL1", reduced<absolutes, true>},
      {"ReduceL2", reduced<length, true>},
      {"ReduceSumSquare", reduced<squares, true>},
      {"ReduceLogSum", reduced<log_sum, true>},
      {"ReduceLogSumExp", reduced<log_sum_exp, true>},
      {"ArgMax", arg<true>},
      {"ArgMin", arg<false>},
      {"Softmax", along<softmax>},
      {"LogSoftmax", along<log_softmax>},
      {"Hardmax", along<hardmax>},
  };
}

}  // namespace karyon::onnx
