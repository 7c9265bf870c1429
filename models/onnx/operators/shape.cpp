#include <algorithm>
#include <numeric>

#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/call.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {
namespace {

Values reshape_(const Call& call) {
  const Tensor x = call.x(0);
  std::vector<std::int64_t> sizes = call.numbers(1, "shape");
  if (call.node.integer("allowzero", 0) == 0)
    for (std::size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] != 0) continue;
      check(static_cast<int>(d) < x.dim(), "a size of 0 in ", d, " has no counterpart in ", x.shape());
      sizes[d] = x.size(static_cast<int>(d));
    }
  return {x.reshape(Shape(std::span<const std::int64_t>(sizes)))};
}

Values flatten_(const Call& call) {
  const Tensor x = call.x(0);
  std::int64_t axis = call.node.integer("axis", 1), rows = 1;
  if (axis < 0) axis += x.dim();
  check(axis >= 0 && axis <= x.dim(), "axis ", axis, " of ", x.shape());
  for (int d = 0; d < axis; ++d) rows *= x.size(d);
  std::int64_t columns = 1;
  for (int d = static_cast<int>(axis); d < x.dim(); ++d) columns *= x.size(d);
  return {x.reshape({rows, columns})};
}

Values squeeze_(const Call& call) {
  const Tensor x = call.x(0);
  if (!call.has(1, "axes")) return {squeeze(x)};
  const std::vector<int> dims = dims_of(call.numbers(1, "axes"));
  for (const int d : dims)
    check(x.size(normalize_dim(d, x.dim(), "onnx")) == 1, "dimension ", d, " of ", x.shape(), " is not 1");
  return {squeeze(x, dims)};
}
Values unsqueeze_(const Call& call) {
  Tensor x = call.x(0);
  std::vector<int> dims = dims_of(call.numbers(1, "axes"));
  const int total = x.dim() + static_cast<int>(dims.size());
  for (int& d : dims) d = normalize_dim(d, total, "onnx");
  std::sort(dims.begin(), dims.end());
  for (const int d : dims) x = unsqueeze(x, d);
  return {x};
}

Values transpose_(const Call& call) {
  const Tensor x = call.x(0);
  std::vector<int> order = dims_of(call.node.integers("perm"));
  if (order.empty()) {
    order.resize(static_cast<std::size_t>(x.dim()));
    std::iota(order.rbegin(), order.rend(), 0);
  }
  return {permute(x, order)};
}

Values concat(const Call& call) {
  const int axis = call.axis("axis", 1);
  bool images = true;
  for (int i = 0; i < call.count(); ++i) images &= call.value(i).channels_last;
  std::vector<Tensor> parts;
  for (int i = 0; i < call.count(); ++i) parts.push_back(images ? call.raw(i) : call.x(i));
  check(!parts.empty(), "expects inputs");
  if (!images) return {cat(parts, axis)};
  return {like(call, 0, cat(parts, last_axis(axis, parts[0].dim())))};
}

Values split_(const Call& call) {
  const Value& value = call.value(0);
  const Tensor x = call.raw(0);
  int axis = normalize_dim(call.axis("axis", 0), x.dim(), "onnx");
  if (value.channels_last) axis = last_axis(axis, x.dim());
  std::vector<std::int64_t> sizes = call.numbers(1, "split");
  if (sizes.empty()) {
    const std::int64_t parts = call.node.integer("num_outputs", call.outputs()), all = x.size(axis);
    check(parts > 0 && parts <= call.outputs(), "expects ", call.outputs(), " parts, got ", parts);
    const std::int64_t each = (all + parts - 1) / parts;
    for (std::int64_t i = 0; i < parts; ++i)
      sizes.push_back(std::clamp<std::int64_t>(all - i * each, 0, each));
  }
  Values outputs;
  for (const Tensor& part : split(x, sizes, axis)) outputs.push_back(like(call, 0, part));
  return outputs;
}

/// x[start:end:step] along one dimension, as Python's.
Tensor sliced(const Tensor& x, int dim, std::int64_t start, std::int64_t end, std::int64_t step) {
  const std::int64_t size = x.size(dim);
  check(step != 0, "expects a step that is not 0");
  const std::int64_t low = step > 0 ? 0 : -1, high = step > 0 ? size : size - 1;
  const auto place = [&](std::int64_t i) { return std::clamp(i < 0 ? i + size : i, low, high); };
  start = place(start);
  end = place(end);
  if (step == 1) return narrow(x, dim, start, std::max<std::int64_t>(end - start, 0));
  std::vector<std::int64_t> indices;
  for (std::int64_t i = start; step > 0 ? i < end : i > end; i += std::clamp(step, -size - 1, size + 1))
    indices.push_back(i);
  return selected(x, dim, indices);
}
Values slice(const Call& call) {
  Tensor x = call.raw(0);
  const bool images = call.value(0).channels_last;
  const std::vector<std::int64_t> starts = call.numbers(1, "starts"), ends = call.numbers(2, "ends");
  std::vector<std::int64_t> axes = call.numbers(3, "axes"), steps = call.has(4) ? call.numbers(4) : axes;
  if (axes.empty()) {
    axes.resize(starts.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  if (!call.has(4)) steps.assign(starts.size(), 1);
  check(ends.size() == starts.size() && axes.size() == starts.size() && steps.size() == starts.size(),
        "expects as many starts, ends, axes and steps");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int axis = normalize_dim(dims_of(axes)[i], x.dim(), "onnx");
    x = sliced(x, images ? last_axis(axis, x.dim()) : axis, starts[i], ends[i], steps[i]);
  }
  return {like(call, 0, x)};
}

Values expand_(const Call& call) {
  const Tensor x = call.x(0);
  return {expand(x, broadcast_shapes(x.shape(), shape_of(call.numbers(1)), "onnx")).clone()};
}
Values tile_(const Call& call) {
  const Tensor x = call.x(0);
  std::vector<std::int64_t> repeats = call.numbers(1);
  if (call.has(2)) {  // before operator set 6: a count and an axis
    const std::int64_t count = repeats.at(0), axis = call.numbers(2).at(0);
    repeats.assign(static_cast<std::size_t>(x.dim()), 1);
    repeats.at(static_cast<std::size_t>(axis)) = count;
  }
  return {tile(x, shape_of(repeats))};
}

Values pad_(const Call& call) {
  const Tensor x = call.x(0);
  std::vector<std::int64_t> pads = call.numbers(1, call.node.has("paddings") ? "paddings" : "pads");
  const std::string mode = call.node.text_of("mode", "constant");
  std::vector<std::int64_t> axes = call.has(3) ? call.numbers(3) : std::vector<std::int64_t>{};
  if (!call.has(3)) {
    axes.resize(static_cast<std::size_t>(x.dim()));
    std::iota(axes.begin(), axes.end(), 0);
  }
  check(pads.size() == 2 * axes.size(), "expects two borders for each axis, got ", pads.size());
  Tensor y = x;
  for (std::size_t i = 0; i < axes.size(); ++i)
    y = padded(y, normalize_dim(dims_of(axes)[i], x.dim(), "onnx"), pads[i], pads[i + axes.size()], mode,
               call.number(2, "value", 0));
  return {y};
}

Values depth_to_space(const Call& call) {
  const Tensor x = call.x(0);
  const std::int64_t b = call.node.integer("blocksize", 0);
  check(x.dim() == 4 && b > 0 && b < (1 << 15) && x.size(1) % (b * b) == 0, "expects [N, b b C, H, W], got ",
        x.shape());
  const std::int64_t n = x.size(0), c = x.size(1) / (b * b), h = x.size(2), w = x.size(3);
  if (call.node.text_of("mode", "DCR") == "CRD")
    return {permute(x.reshape({n, c, b, b, h, w}), {0, 1, 4, 2, 5, 3}).reshape({n, c, h * b, w * b})};
  return {permute(x.reshape({n, b, b, c, h, w}), {0, 3, 4, 1, 5, 2}).reshape({n, c, h * b, w * b})};
}
Values space_to_depth(const Call& call) {
  const Tensor x = call.x(0);
  const std::int64_t b = call.node.integer("blocksize", 0);
  check(x.dim() == 4 && b > 0 && b < (1 << 15) && x.size(2) % b == 0 && x.size(3) % b == 0,
        "expects [N, C, b H, b W], got ", x.shape());
  const std::int64_t n = x.size(0), c = x.size(1), h = x.size(2) / b, w = x.size(3) / b;
  if (call.node.text_of("mode", "DCR") == "CRD")
    return {permute(x.reshape({n, c, h, b, w, b}), {0, 1, 3, 5, 2, 4}).reshape({n, c * b * b, h, w})};
  return {permute(x.reshape({n, c, h, b, w, b}), {0, 3, 5, 1, 2, 4}).reshape({n, b * b * c, h, w})};
}

Values center_crop_pad(const Call& call) {
  Tensor x = call.x(0);
  const std::vector<std::int64_t> sizes = call.numbers(1);
  std::vector<std::int64_t> axes = call.node.integers("axes");
  if (axes.empty()) {
    axes.resize(sizes.size());
    std::iota(axes.begin(), axes.end(), 0);
  }
  check(axes.size() == sizes.size(), "expects a size for each axis");
  for (std::size_t i = 0; i < axes.size(); ++i) {
    const int dim = normalize_dim(dims_of(axes)[i], x.dim(), "onnx");
    const std::int64_t more = sizes[i] - x.size(dim);
    const std::int64_t before = more >= 0 ? more / 2 : -(-more / 2);
    x = padded(x, dim, before, more - before, "constant", 0);
  }
  return {x};
}

Values reverse_sequence(const Call& call) {
  const int batch = call.axis("batch_axis", 1), time = call.axis("time_axis", 0);
  const Tensor x = call.x(0);
  check(x.dim() >= 2 && batch + time == 1, "expects batch and time in the first two dimensions");
  const std::vector<std::int64_t> lengths = call.numbers(1);
  std::vector<Tensor> rows = unbind(x, batch);
  check(rows.size() == lengths.size(), "expects a length for each row");
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const std::int64_t size = rows[i].size(0), length = lengths[i];
    check(length >= 0 && length <= size, "a length of ", length, " is beyond ", size);
    rows[i] = cat({flip(narrow(rows[i], 0, 0, length), {0}), narrow(rows[i], 0, length, size - length)}, 0);
  }
  return {stack(rows, batch)};
}

}  // namespace

std::vector<Operator> shape_operators() {
  return {
      {"Reshape", reshape_},
      {"Flatten", flatten_},
      {"Squeeze", squeeze_},
      {"Unsqueeze", unsqueeze_},
      {"Transpose", transpose_},
      {"Concat", concat},
      {"Split", split_},
      {"Slice", slice},
      {"Expand", expand_},
      {"Tile", tile_},
      {"Pad", pad_},
      {"DepthToSpace", depth_to_space},
      {"SpaceToDepth", space_to_depth},
      {"CenterCropPad", center_crop_pad},
      {"ReverseSequence", reverse_sequence},
  };
}

}  // namespace karyon::onnx
