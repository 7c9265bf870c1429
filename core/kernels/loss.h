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

/// Losses of an input and a target alone. huber takes its delta and a factor as p and q.
enum class PairLoss { huber, kl_div, kl_div_log, binary_cross_entropy };
extern Kernel<void(PairLoss op, double p, double q, const Tensor& input, const Tensor& target,
                   Reduction reduction, Tensor& out)>
    pair_loss;
extern Kernel<void(PairLoss op, double p, double q, const Tensor& dy, const Tensor& input,
                   const Tensor& target, Reduction reduction, Tensor& dx)>
    pair_loss_backward;

/// position, i64 [1]: the first element of x that is not in [low, high], NaN too, or -1.
extern Kernel<void(const Tensor& x, double low, double high, Tensor& position)> find_outside;
/// position, i64 [1]: the first element of target that is neither in [0, classes) nor ignore_index, or -1.
extern Kernel<void(const Tensor& target, std::int64_t classes, std::int64_t ignore_index, Tensor& position)>
    find_bad_class;
/// total_weight, f64 [1]: the sum of the weights used.
extern Kernel<void(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   double smoothing, Reduction reduction, Tensor& out, Tensor& total_weight)>
    cross_entropy;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                   std::int64_t ignore_index, double smoothing, Reduction reduction,
                   const Tensor& total_weight, Tensor& dx)>
    cross_entropy_backward;
/// The same without softmax: the input has logarithms of probabilities.
extern Kernel<void(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   Reduction reduction, Tensor& out, Tensor& total_weight)>
    nll_loss;
extern Kernel<void(const Tensor& dy, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   Reduction reduction, const Tensor& total_weight, Tensor& dx)>
    nll_loss_backward;

/// fractions, f64 [N, C, 2]: numerator and denominator of each image's and channel's coefficient.
extern Kernel<void(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions)>
    dice_loss;
extern Kernel<void(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                   Tensor& dx)>
    dice_loss_backward;

/// 1 - the Tversky index of probabilities p [N, ..., C], averaged over images and channels. The target is
/// like p, or has class indices [N, ...], i64. fractions as above.
extern Kernel<void(const Tensor& p, const Tensor& target, std::int64_t ignore_index, double alpha,
                   double beta, double smooth, Tensor& out, Tensor& fractions)>
    tversky_loss;
extern Kernel<void(const Tensor& dy, const Tensor& p, const Tensor& target, std::int64_t ignore_index,
                   double alpha, double beta, const Tensor& fractions, Tensor& dx)>
    tversky_loss_backward;

/// The gradient of the Lovasz extension of the Jaccard loss: the weight of each error, by its rank among the
/// errors of its row. errors and weights [rows, n]; truth bool [rows, n]. Of equal errors the first counts as
/// larger.
extern Kernel<void(const Tensor& errors, const Tensor& truth, Tensor& weights)> lovasz_weights;

}  // namespace karyon::kernels
