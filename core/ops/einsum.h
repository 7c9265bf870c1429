#pragma once
#include <string_view>
#include <vector>

#include <karyon/core/tensor.h>

// Sums of products over named dimensions, and the products of matrices and vectors with names of their own.
// They are made of matmul, mul and sum: types, autocast and gradients are theirs.
namespace karyon {

/// The sum of products that the equation names, as torch.einsum: einsum("bij,bjk->bik", {a, b}).
///   equation  a letter for each dimension of each operand, a comma between operands, then `->` and the
///             letters of the result. Spaces do not count. Letters that the result does not have are summed
///             over. Without `->` the result has the letters that appear once, in order (A to Z, a to z)
///   ...       stands for all dimensions without a letter; they broadcast, and come first in the result
///             unless `->` places them
///   ii        a letter twice in one operand takes its diagonal
///   returns   the operands' dtype, but i64 for sums of whole numbers and truth values
/// A size of 1 broadcasts. Operands are joined from left to right, each pair by one matmul, or by mul where
/// no letter is summed over. The results between have at most 8 dimensions. Differentiable in all operands.
/// Throws Error for an equation that does not fit the operands.
Tensor einsum(std::string_view equation, const std::vector<Tensor>& operands);

/// [M, K] and [K, N] -> [M, N].
Tensor mm(const Tensor& a, const Tensor& b);
/// [B, M, K] and [B, K, N] -> [B, M, N]; the batches do not broadcast.
Tensor bmm(const Tensor& a, const Tensor& b);
/// [M, K] and [K] -> [M].
Tensor mv(const Tensor& matrix, const Tensor& vector);
/// [K] and [K] -> [].
Tensor dot(const Tensor& a, const Tensor& b);
/// [M] and [N] -> [M, N]; also i64.
Tensor outer(const Tensor& a, const Tensor& b);

struct AddProductOptions {
  double beta = 1, alpha = 1;
};
/// beta x + alpha a b. With beta 0, NaN and infinities of x do not count.
///   x        broadcasts to the product
///   a, b     [M, K] and [K, N] (addmm), [B, M, K] and [B, K, N] (baddbmm)
Tensor addmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddProductOptions& options = {});
Tensor baddbmm(const Tensor& x, const Tensor& a, const Tensor& b, const AddProductOptions& options = {});

}  // namespace karyon
