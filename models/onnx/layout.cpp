#include <algorithm>

#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/layout.h>
#include <karyon/models/onnx/layout.h>

namespace karyon::onnx {

int last_axis(int axis, int dims) {
  axis = normalize_dim(axis, dims, "onnx");
  if (dims < 3 || axis == 0) return axis;
  return axis == 1 ? dims - 1 : axis - 1;
}

Tensor selected(const Tensor& x, int dim, const std::vector<std::int64_t>& indices) {
  return index_select(x, dim, tensor(indices).to(x.device()));
}

Tensor padded(const Tensor& x, int dim, std::int64_t before, std::int64_t after, const std::string& mode,
              double value) {
  const std::int64_t cut_before = std::max<std::int64_t>(-before, 0),
                     cut_after = std::max<std::int64_t>(-after, 0);
  const std::int64_t size = x.size(dim) - cut_before - cut_after;
  check(size >= 0, "borders of ", before, " and ", after, " leave nothing of ", x.shape());
  Tensor y = cut_before + cut_after == 0 ? x : narrow(x, dim, cut_before, size);
  before = std::max<std::int64_t>(before, 0);
  after = std::max<std::int64_t>(after, 0);
  if (before + after == 0) return y;
  if (mode == "constant") {
    const auto border = [&](std::int64_t width) {
      Shape shape = y.shape();
      shape[dim] = width;
      return full(shape, value, {.dtype = y.dtype(), .device = y.device()});
    };
    return cat({border(before), y, border(after)}, dim);
  }
  check(size > 0 && before < (std::int64_t{1} << 40) && after < (std::int64_t{1} << 40),
        "cannot repeat nothing");
  std::vector<std::int64_t> indices;
  const std::int64_t period = mode == "reflect" ? std::max<std::int64_t>(2 * (size - 1), 1) : size;
  for (std::int64_t i = -before; i < size + after; ++i) {
    std::int64_t from =
        mode == "edge" ? std::clamp<std::int64_t>(i, 0, size - 1) : (i % period + period) % period;
    if (mode == "reflect" && from >= size) from = period - from;
    indices.push_back(from);
  }
  return selected(y, dim, indices);
}

}  // namespace karyon::onnx
