#pragma once
#include <karyon/core/kernels/kernel.h>
#include <karyon/core/ops/loss.h>

namespace karyon::kernels {

// `out` and `dy` are scalars. If the reduction is none, they have a value per element (cross entropy: per
// row). Sums are in double. A weight has the last dimensions of the input: element i uses its element i %
// weight.numel().

extern Kernel<void(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
                   Reduction reduction, Tensor& out)>
    bce_with_logits;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                   const Tensor& pos_weight, Reduction reduction, Tensor& dx)>
    bce_with_logits_backward;
extern Kernel<void(const Tensor& input, const Tensor& target, double alpha, double gamma, Reduction reduction,
                   Tensor& out)>
    focal_loss;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, double alpha, double gamma,
                   Reduction reduction, Tensor& dx)>
    focal_loss_backward;
extern Kernel<void(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out)> mse_loss;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                   Tensor& dx)>
    mse_loss_backward;
extern Kernel<void(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out)> l1_loss;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                   Tensor& dx)>
    l1_loss_backward;

/// position, i64 [1]: the first element of target that is neither in [0, classes) nor ignore_index, or -1.
extern Kernel<void(const Tensor& target, std::int64_t classes, std::int64_t ignore_index, Tensor& position)>
    find_bad_class;
/// total_weight, f64 [1]: the sum of the weights used.
extern Kernel<void(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   Reduction reduction, Tensor& out, Tensor& total_weight)>
    cross_entropy;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                   std::int64_t ignore_index, Reduction reduction, const Tensor& total_weight, Tensor& dx)>
    cross_entropy_backward;

/// fractions, f64 [N, C, 2]: numerator and denominator of each image's and channel's coefficient.
extern Kernel<void(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions)>
    dice_loss;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                   Tensor& dx)>
    dice_loss_backward;

}  // namespace karyon::kernels
