#pragma once
#include <karyon/core/kernels/kernel.h>

namespace karyon::kernels {

// x, y, dy and dx have one dtype. All other tensors (mean, rstd = 1 / sqrt(var + eps), weight, running_mean,
// ...) have the same dtype, or f32 beside bf16. Intermediate values are f32 beside bf16, too. A norm without
// weight and bias passes them undefined; so are gradients that are not asked for.

/// mean, rstd [C] of x [..., C]; the running statistics, if defined, move towards them by `momentum`.
extern Kernel<void(const Tensor& x, double momentum, double eps, Tensor& running_mean, Tensor& running_var,
                   Tensor& mean, Tensor& rstd)>
    batch_norm_statistics;
/// mean, rstd [C] from the running statistics.
extern Kernel<void(const Tensor& running_mean, const Tensor& running_var, double eps, Tensor& mean,
                   Tensor& rstd)>
    batch_norm_running;
/// y = weight (x - mean) rstd + bias, or max(that, 0).
extern Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, const Tensor& mean,
                   const Tensor& rstd, bool relu, Tensor& y)>
    batch_norm;
/// `from_batch`: mean and rstd depend on x.
extern Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& bias,
                   const Tensor& mean, const Tensor& rstd, bool relu, bool from_batch, Tensor& dx,
                   Tensor& dweight, Tensor& dbias)>
    batch_norm_backward;

/// Throws Error unless these are what batch_norm takes; `op` is the caller's name. Defined in core/ops/norm.cpp.
void check_batch_norm(const char* op, const Tensor& x, const Tensor& weight, const Tensor& bias,
                      const Tensor& running_mean, const Tensor& running_var);

/// mean, rstd [N, groups] are computed.
extern Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                   Tensor& mean, Tensor& rstd)>
    group_norm;
extern Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                   const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias)>
    group_norm_backward;

/// mean, rstd [rows] are computed; x has that many rows. RMS norm has no mean: where it is undefined, here
/// and in backward, nothing is subtracted.
extern Kernel<void(const Tensor& x, const Tensor& weight, const Tensor& bias, double eps, Tensor& y,
                   Tensor& mean, Tensor& rstd)>
    layer_norm;
extern Kernel<void(const Tensor& dy, const Tensor& x, const Tensor& weight, const Tensor& mean,
                   const Tensor& rstd, Tensor& dx, Tensor& dweight, Tensor& dbias)>
    layer_norm_backward;

}  // namespace karyon::kernels
