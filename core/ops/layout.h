#pragma once
#include <vector>

#include <karyon/core/tensor.h>

// Operations that move values and compute nothing. Any dtype, unless said otherwise; differentiable
// where the dtype is floating.
namespace karyon {

/// The tensors one after another along `dim`; their other sizes and dtypes agree, but that bf16 beside f32
/// becomes f32. Returns the joined shape.
Tensor cat(const std::vector<Tensor>& tensors, int dim);
/// Elements start, ..., start + length - 1 along `dim`. Shares memory if dim is 0; else a copy, and what is
/// written to it does not reach x.
Tensor narrow(const Tensor& x, int dim, std::int64_t start, std::int64_t length);
/// Pieces of the given sizes (they sum to x's) along `dim`.
std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim);
/// Pieces of `size` (the last may be smaller) along `dim`.
std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim);
/// Stacked along a new dimension `dim`; all of the same shape.
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);

enum class PadMode { zeros, reflect };
struct Pad2d {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};
/// A border around images.
///   x        [N, H, W, C]
///   returns  [N, top + H + bottom, left + W + right, C]
/// `reflect` mirrors without repeating the edge and needs a border smaller than the image.
/// Throws Error for negative borders.
Tensor pad(const Tensor& x, const Pad2d& border, PadMode mode = PadMode::zeros);
/// The window of `size` whose corner is at (top, left): [N, H, W, C] -> [N, size.h, size.w, C].
Tensor crop(const Tensor& x, std::int64_t top, std::int64_t left, Pair size);

/// Dimensions reordered: result dimension d is x's dimension order[d].
Tensor permute(const Tensor& x, const std::vector<int>& order);
/// As Tensor::reshape.
Tensor reshape(const Tensor& x, const Shape& shape);

}  // namespace karyon
