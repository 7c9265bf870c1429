#pragma once
#include <vector>

#include <karyon/core/tensor.h>

// Operations that move values and compute nothing. Any dtype, unless said otherwise; differentiable
// where the dtype is floating.
namespace karyon {

/// The tensors one after another along `dim`. Their other sizes and their dtypes agree, except that bf16
/// beside f32 is converted to f32. Returns the joined shape. Throws Error if there are no tensors or they do
/// not fit.
Tensor cat(const std::vector<Tensor>& tensors, int dim);
/// Elements start, ..., start + length - 1 along `dim`; a negative start counts from the end. The result
/// shares x's memory if dim is 0; otherwise it is a copy, and a write to it does not reach x. Throws Error if
/// the range is not inside x.
Tensor narrow(const Tensor& x, int dim, std::int64_t start, std::int64_t length);
/// Pieces of the given sizes along `dim`. Throws Error unless the sizes sum to x's size.
std::vector<Tensor> split(const Tensor& x, const std::vector<std::int64_t>& sizes, int dim);
/// Pieces of `size` along `dim`; the last may be smaller. Nothing has one empty piece. Throws Error unless
/// size is 1 or more.
std::vector<Tensor> split(const Tensor& x, std::int64_t size, int dim);
/// The tensors, all of one shape and dtype, along a new dimension `dim`. Throws Error if there are none.
Tensor stack(const std::vector<Tensor>& tensors, int dim = 0);

/// What a border holds: a constant (0 unless told); the image mirrored without repeating its edge, which needs
/// a border smaller than the image; its edge repeated; or its opposite side, which needs a border no larger
/// than the image.
enum class PadMode { zeros, reflect, replicate, circular, constant = zeros };
struct Pad2d {
  std::int64_t top = 0, bottom = 0, left = 0, right = 0;
};
/// A border around images. pad_nd() (pad.h) is for sequences, volumes and others.
///   x        [N, H, W, C]
///   value    of the border, for `constant`
///   returns  [N, top + H + bottom, left + W + right, C]
/// Throws Error for negative borders, and for those that the mode cannot fill.
Tensor pad(const Tensor& x, const Pad2d& border, PadMode mode = PadMode::zeros, double value = 0);
/// The window of `size` whose corner is at (top, left): [N, H, W, C] -> [N, size.h, size.w, C]. Throws Error
/// if the window is not inside the image.
Tensor crop(const Tensor& x, std::int64_t top, std::int64_t left, Pair size);

/// Dimensions reordered: result dimension d is x's dimension order[d]. Throws Error unless `order` names each
/// dimension once.
Tensor permute(const Tensor& x, const std::vector<int>& order);
/// Two dimensions exchanged. The one dimension of a scalar is 0 or -1.
Tensor transpose(const Tensor& x, int dim0, int dim1);
/// Element `index` along `dim`, which is removed; a negative index counts from the end. Shares memory if dim
/// is 0. Throws Error if out of range.
Tensor select(const Tensor& x, int dim, std::int64_t index);
/// As Tensor::reshape.
Tensor reshape(const Tensor& x, const Shape& shape);

}  // namespace karyon
