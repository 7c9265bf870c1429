#pragma once
#include <cstdint>
#include <vector>

#include <karyon/core/storage.h>

// Private to core/cpu: means and variances of channels, put together from pieces.
namespace karyon::cpu {

/// Joins means and sums of squared deviations [c] of n_b values into those of n_a, by the formula of Chan,
/// Golub and LeVeque (1979).
void join_moments(double n_a, double n_b, std::int64_t c, double* mean, double* m2, const double* mean_b,
                  const double* m2_b);

/// Moments of a convolution's output, which it computed while it wrote it: kept with the output's memory for
/// the batch norm that follows.
struct ChannelMoments : Derived {
  double count = 0;              // values of each channel
  std::vector<double> mean, m2;  // [C]
};

}  // namespace karyon::cpu
