#include <algorithm>

#include <karyon/core/cpu/moments.h>

namespace karyon::cpu {

void join_moments(double n_a, double n_b, std::int64_t c, double* mean, double* m2, const double* mean_b,
                  const double* m2_b) {
  const double share = n_b / (n_a + n_b);
  for (std::int64_t k = 0; k < c; ++k) {
    const double delta = mean_b[k] - mean[k];
    mean[k] += delta * share;
    m2[k] += m2_b[k] + delta * delta * n_a * share;
  }
}

std::shared_ptr<ChannelMoments> UnitMoments::join() const {
  auto all = std::make_shared<ChannelMoments>();
  const auto c = static_cast<std::size_t>(c_);
  std::vector<double> mean(c), m2(c);
  all->mean.resize(c);
  all->m2.resize(c);
  for (std::size_t unit = 0; unit < counts_.size(); ++unit) {
    const auto n = static_cast<double>(counts_[unit]);
    if (n == 0) continue;
    const float* at = values_.data() + unit * 3 * c;
    for (std::size_t k = 0; k < c; ++k) {
      const auto sum = static_cast<double>(at[c + k]);
      mean[k] = static_cast<double>(at[k]) + sum / n;
      m2[k] = std::max(0.0, static_cast<double>(at[2 * c + k]) - sum * sum / n);
    }
    join_moments(all->count, n, c_, all->mean.data(), all->m2.data(), mean.data(), m2.data());
    all->count += n;
  }
  return all;
}

}  // namespace karyon::cpu
