#pragma once
#include <cstdint>
#include <memory>
#include <vector>

// Private to core/cpu: means and variances of channels, put together from pieces.
namespace karyon::cpu {

/// Joins means and sums of squared deviations [c] of n_b values into those of n_a, by the formula of Chan,
/// Golub and LeVeque (1979).
void join_moments(double n_a, double n_b, std::int64_t c, double* mean, double* m2, const double* mean_b,
                  const double* m2_b);

/// Moments of a convolution's output, which the convolution computed while it wrote the output. They are
/// cached with the output's storage for the batch norm that follows.
struct ChannelMoments {
  double count = 0;              // values of each channel
  std::vector<double> mean, m2;  // [C]
};

/// Moments that are computed unit by unit: sums over a unit's values minus one of them, the centre.
class UnitMoments {
 public:
  UnitMoments(std::int64_t units, std::int64_t c)
      : c_(c), counts_(static_cast<std::size_t>(units)), values_(static_cast<std::size_t>(units * 3 * c)) {}

  /// [channels] each, from a unit's channel k0 on: the centre, the sums, the sums of squares; first all 0.
  float* centre(std::int64_t unit, std::int64_t k0) { return values_.data() + unit * 3 * c_ + k0; }
  float* sum(std::int64_t unit, std::int64_t k0) { return centre(unit, k0) + c_; }
  float* squares(std::int64_t unit, std::int64_t k0) { return centre(unit, k0) + 2 * c_; }
  /// How many values of each channel a unit has.
  void count(std::int64_t unit, std::int64_t values) { counts_[static_cast<std::size_t>(unit)] = values; }

  /// The moments of all, units joined in order.
  std::shared_ptr<ChannelMoments> join() const;

 private:
  std::int64_t c_;
  std::vector<std::int64_t> counts_;
  std::vector<float> values_;  // [unit][centre, sum, squares][c]
};

}  // namespace karyon::cpu
