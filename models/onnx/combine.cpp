#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/combine.h>

namespace karyon::onnx {
namespace {

Tensor plain(const Value& value) {
  check(value.tensor.defined(), "expects tensors, got a sequence");
  return value.channels_last ? to_channels_first(value.tensor) : value.tensor;
}

/// The small partner of an image of `dims` dimensions.
Tensor beside(const Tensor& x, int dims) {
  if (x.numel() == 1) return x;
  Tensor wide = x;
  while (wide.dim() < dims) wide = unsqueeze(wide, 0);
  return to_channels_last(wide);
}

}  // namespace

Aligned aligned(const Value& a, const Value& b) {
  Aligned both{a.tensor, b.tensor, a.channels_last};
  if (a.channels_last && b.channels_last && a.tensor.dim() == b.tensor.dim()) return both;
  if (a.channels_last && !b.channels_last && plain(b).dim() <= a.tensor.dim()) {
    both.b = beside(b.tensor, a.tensor.dim());
  } else if (b.channels_last && !a.channels_last && plain(a).dim() <= b.tensor.dim()) {
    both.a = beside(a.tensor, b.tensor.dim());
    both.channels_last = true;
  } else {
    both = {plain(a), plain(b), false};
  }
  return both;
}

}  // namespace karyon::onnx
