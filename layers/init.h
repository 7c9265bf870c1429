#pragma once
#include <karyon/core/random.h>

// Initial values of weights, in place, without recording. Weights are [out, in]. Those of convolutions are
// [C_out, kH, kW, C_in / groups]; those of transposed ones are [C_in, kH, kW, C_out / groups]. "out" is the
// first size of all of them, as in PyTorch.
namespace karyon {

/// How many values an output sums over, and how many outputs an input reaches.
struct Fans {
  std::int64_t in = 0, out = 0;
};
/// Throws Error for weights of fewer than 2 dimensions.
Fans fans(const Tensor& weight);

enum class FanMode { in, out };
struct KaimingOptions {
  double negative_slope = 0;  ///< of the leaky ReLU that follows; 0 for ReLU
  FanMode mode = FanMode::in;
};
/// He et al., 2015: keeps the variance through ReLUs. Uniform in +-gain sqrt(3 / fan) or normal with
/// standard deviation gain / sqrt(fan), gain = sqrt(2 / (1 + negative_slope^2)).
void kaiming_uniform_(Tensor& weight, const KaimingOptions& options = {},
                      Generator& generator = default_generator());
void kaiming_normal_(Tensor& weight, const KaimingOptions& options = {},
                     Generator& generator = default_generator());

/// Glorot and Bengio, 2010: variance 2 gain^2 / (fan_in + fan_out).
void xavier_uniform_(Tensor& weight, double gain = 1, Generator& generator = default_generator());
void xavier_normal_(Tensor& weight, double gain = 1, Generator& generator = default_generator());

/// PyTorch's initial values of convolutions and linear layers: weight and bias uniform in +-1 / sqrt(fan_in).
/// The bias may be undefined.
void default_init_(Tensor& weight, Tensor& bias, Generator& generator = default_generator());

}  // namespace karyon
