#include <cmath>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/ops/statistics.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {
namespace {

std::vector<int> dims_from(int first, int end) {
  std::vector<int> dims(static_cast<std::size_t>(std::max(end - first, 0)));
  std::iota(dims.begin(), dims.end(), first);
  return dims;
}

/// y as the image that input 0 is: of two dimensions it has one layout.
Value image_like(const Call& call, Tensor y) {
  return call.x(0).dim() >= 3 ? last(std::move(y)) : Value(std::move(y));
}

Values batch_norm_(const Call& call) {
  const Tensor x = call.image(0);
  const double eps = call.node.real("epsilon", 1e-5), momentum = call.node.real("momentum", 0.9);
  check(x.dim() >= 2, "expects [N, C, ...], got ", x.shape());
  if (call.node.integer("training_mode", 0) == 0)
    return {image_like(call, batch_norm(x, call.x(1), call.x(2), call.x(3), call.x(4), {.eps = eps}))};
  const std::vector<int> all = dims_from(0, x.dim() - 1);
  const auto [variance, average] = var_mean(x, all, {.correction = 0});
  const Tensor y = batch_norm(x, call.x(1), call.x(2), average, variance, {.eps = eps});
  const auto moved = [&](const Tensor& before, const Tensor& now) {
    return add(mul(before, momentum), mul(now, 1 - momentum));
  };
  return {image_like(call, y), moved(call.x(3), average), moved(call.x(4), variance)};
}
std::string batch_norm_refuses(const Node& node, const Facts&) {
  return node.integer("spatial", 1) == 0 ? "with spatial = 0" : "";
}

Values instance_norm(const Call& call) {
  const Tensor x = call.image(0);
  check(x.dim() >= 3, "expects [N, C, ...], got ", x.shape());
  return {image_like(
      call, group_norm(x, x.size(-1), call.x(1), call.x(2), {.eps = call.node.real("epsilon", 1e-5)}))};
}

Values group_norm_(const Call& call) {
  const Tensor x = call.image(0);
  const std::int64_t groups = call.node.integer("num_groups", 1), channels = x.size(-1);
  check(groups > 0 && channels % groups == 0, "expects channels that ", groups, " divides, got ", channels);
  const auto per_channel = [&](const Tensor& p) {
    return p.numel() == channels ? p : repeat_interleave(p, channels / groups, 0);
  };
  const GroupNormOptions options{.eps = call.node.real("epsilon", 1e-5)};
  return {image_like(call, group_norm(x, groups, per_channel(call.x(1)), per_channel(call.x(2)), options))};
}

Values layer_norm_(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", -1), x.dim(), "onnx");
  const double eps = call.node.real("epsilon", 1e-5);
  const Shape inner(std::span(x.shape().begin() + axis, x.shape().end()));
  const auto whole = [&](const Tensor& p) { return expand(p, inner); };
  Values outputs{
      layer_norm(x, inner, whole(call.x(1)), call.has(2) ? whole(call.x(2)) : Tensor(), {.eps = eps})};
  if (call.wants(1) || call.wants(2)) {
    const auto [variance, average] =
        var_mean(x, dims_from(axis, x.dim()), {.correction = 0, .keepdim = true});
    outputs.push_back(average);
    outputs.push_back(rsqrt(add(variance, eps)));
  }
  return outputs;
}

Values rms_norm(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", -1), x.dim(), "onnx");
  const Tensor power = mean(mul(x, x), dims_from(axis, x.dim()), true);
  return {mul(mul(x, rsqrt(add(power, call.node.real("epsilon", 1e-5)))), call.x(1))};
}

Values lp_normalization(const Call& call) {
  const Tensor x = call.x(0);
  const int axis = normalize_dim(call.axis("axis", -1), x.dim(), "onnx");
  const Tensor size = norm(x, static_cast<double>(call.node.integer("p", 2)), {axis}, true);
  return {where(eq(size, 0.0), zeros_like(x), div(x, where(eq(size, 0.0), ones_like(size), size)))};
}

Values mean_variance(const Call& call) {
  const Tensor x = call.x(0);
  const std::vector<int> dims = dims_of(call.node.integers("axes", {0, 2, 3}));
  const auto [variance, average] = var_mean(x, dims, {.correction = 0, .keepdim = true});
  return {div(sub(x, average), add(sqrt(variance), 1e-9))};
}

/// Local response: the squares of `size` neighbouring channels.
Values lrn(const Call& call) {
  const Tensor x = call.image(0);
  const int channels = x.dim() - 1;
  const std::int64_t size = call.node.integer("size", 1);
  check(size >= 1 && size < (1 << 20) && x.dim() >= 3, "expects images and a size of 1 or more");
  const Tensor squares = padded(mul(x, x), channels, (size - 1) / 2, size / 2, "constant", 0);
  Tensor total = narrow(squares, channels, 0, x.size(-1));
  for (std::int64_t i = 1; i < size; ++i) total = add(total, narrow(squares, channels, i, x.size(-1)));
  const double alpha = call.node.real("alpha", 1e-4) / static_cast<double>(size);
  const Tensor scale = add(mul(total, alpha), call.node.real("bias", 1));
  return {last(div(x, pow(scale, call.node.real("beta", 0.75))))};
}

}  // namespace

std::vector<Operator> norm_operators() {
  return {
      {"BatchNormalization", batch_norm_, batch_norm_refuses},
      {"InstanceNormalization", instance_norm},
      {"GroupNormalization", group_norm_},
      {"LayerNormalization", layer_norm_},
      {"RMSNormalization", rms_norm},
      {"LpNormalization", lp_normalization},
      {"MeanVarianceNormalization", mean_variance},
      {"LRN", lrn},
  };
}

}  // namespace karyon::onnx
