#pragma once
#include <vector>

#include <karyon/core/tensor.h>

// Spread and size of the elements over some dimensions (all, if none are given). f32, f64, or bf16, which is
// cast to f32 and gives f32; computed in f64. The one dimension of a scalar is 0 or -1.
namespace karyon {

struct VarOptions {
  double correction = 1;  ///< n - correction divides the squares; at least by 0
  bool keepdim = false;   ///< a reduced dimension stays with size 1
};

/// The variance, and its square root, the standard deviation.
///   x        any shape
///   returns  x's shape without `dims` (or with 1 in their place)
/// Differentiable in x; the gradient of a standard deviation of 0 is 0. Throws Error for a dimension out of
/// range or given twice. Of one value, or of none, the variance with the correction 1 is NaN. Beside `using
/// namespace karyon`, call karyon::std by its whole name.
Tensor var(const Tensor& x, const std::vector<int>& dims = {}, VarOptions options = {});
Tensor std(const Tensor& x, const std::vector<int>& dims = {}, VarOptions options = {});

struct VarAndMean {
  Tensor var, mean;
};
/// Both, at the cost of the variance alone: `auto [var, mean] = var_mean(x, {0});`
VarAndMean var_mean(const Tensor& x, const std::vector<int>& dims = {}, VarOptions options = {});

/// The p-norm sum(|x|^p)^(1/p), as torch.linalg.vector_norm: the largest |x| for p = infinity, the smallest
/// for -infinity, the count of what is not 0 for p = 0. Differentiable in x unless p is 0; the gradient is 0
/// at 0. Elements that tie for the largest share it evenly. Throws Error for a dimension out of range or
/// given twice, and if there is nothing to reduce but p is negative or infinite.
Tensor norm(const Tensor& x, double p = 2, const std::vector<int>& dims = {}, bool keepdim = false);

}  // namespace karyon
