#include <karyon/core/cpu/conv/finish.h>
#include <karyon/core/cpu/simd/vectorized.h>

namespace karyon::cpu {
namespace {

// The pass over one region. `residual` lies as y does.
template <bool adds, class S, class F>
void finish_region(S* __restrict y, const S* __restrict residual, const FinishRegion& r, F f) {
  vectorized([=] {
    for (std::int64_t row = 0; row < r.rows; ++row)
      for (std::int64_t pixel = 0; pixel < r.pixels; ++pixel) {
        const std::int64_t at = row * r.row_step + pixel * r.pixel_step;
        S* __restrict to = y + at;
        const S* __restrict from = residual + (adds ? at : 0);
        for (std::int64_t k = 0; k < r.channels; ++k) {
          auto value = static_cast<float>(to[k]);
          if constexpr (adds) value += static_cast<float>(from[k]);
          to[k] = static_cast<S>(f(value));
        }
      }
  });
}

}  // namespace

FinishPass::FinishPass(const ConvFinish& finish, const Tensor& y)
    : needed_(finish.residual.defined() || finish.activation != ActivationKind::none),
      activation_(finish.activation),
      y_(y.data_ptr()) {
  const Tensor& residual = finish.residual;
  if (residual.defined()) residual_ = residual.data_ptr();
}

template <class S>
void FinishPass::run_as(S* y, FinishRegion region) const {
  if (region.pixel_step == region.channels) {  // one run
    region.channels *= region.pixels;
    region.pixels = 1;
  }
  const S* const residual =
      residual_ ? static_cast<const S*>(residual_) + (y - static_cast<const S*>(y_)) : nullptr;
  visit(activation_, [&](auto f) {
    residual ? finish_region<true>(y, residual, region, f) : finish_region<false>(y, residual, region, f);
  });
}

void FinishPass::run(float* y, const FinishRegion& region) const { run_as(y, region); }
void FinishPass::run(BFloat16* y, const FinishRegion& region) const { run_as(y, region); }

}  // namespace karyon::cpu
