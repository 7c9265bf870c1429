// Losses: one pass forward and one backward, no probabilities and no unreduced losses in memory. Terms are
// computed in f32 and summed in double, in a fixed order (reduce.cuh).
#include <karyon/core/kernels/functors/loss.h>
#include <karyon/core/kernels/functors/math.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/loss_terms.cuh>

namespace karyon::cuda {
namespace {

// An optional weight that repeats along the elements.
struct Periodic {
  const float* values = nullptr;
  std::int64_t n = 1, total = 1;

  Periodic() = default;
  Periodic(const Tensor& x, std::int64_t count)
      : values(x.defined() ? x.data<float>() : nullptr), n(values ? x.numel() : 1), total(count) {}
  __device__ float operator[](std::int64_t i) const {
    if (!values) return 1;
    if (n == total) return values[i];
    std::int64_t k = 0;
    if (n > 1) divide(i, n, k);
    return values[k];
  }
};

// The term of element i, and its gradient, of each loss.
struct BceTerm {
  const float *x, *t;
  Periodic weight, positive;
  __device__ float operator()(std::int64_t i) const {
    return weight[i] * functors::Bce{}(x[i], t[i], positive[i]);
  }
  __device__ float grad(float dy, std::int64_t i) const {
    return dy * (weight[i] * functors::Bce{}.slope(x[i], t[i], positive[i]));
  }
};
void bce(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
         Reduction reduction, Tensor& out) {
  check_f32("bce_with_logits", input);
  const std::int64_t n = input.numel();
  reduce_terms(
      n, reduction, out,
      BceTerm{input.data<float>(), target.data<float>(), Periodic(weight, n), Periodic(pos_weight, n)});
}
void bce_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                  const Tensor& pos_weight, Reduction reduction, Tensor& dx) {
  check_f32("bce_with_logits", input);
  const std::int64_t n = input.numel();
  write_gradients(
      dy, reduction, dx,
      BceTerm{input.data<float>(), target.data<float>(), Periodic(weight, n), Periodic(pos_weight, n)});
}

void focal(const Tensor& input, const Tensor& target, double alpha, double gamma, Reduction reduction,
           Tensor& out) {
  pair_loss("focal_loss", functors::Focal{alpha, gamma}, input, target, reduction, out);
}
void focal_backward(const Tensor& dy, const Tensor& input, const Tensor& target, double alpha, double gamma,
                    Reduction reduction, Tensor& dx) {
  pair_loss_backward("focal_loss", functors::Focal{alpha, gamma}, dy, input, target, reduction, dx);
}
void mse(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("mse_loss", functors::SquaredDifference{}, input, target, reduction, out);
}
void mse_backward(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                  Tensor& dx) {
  pair_loss_backward("mse_loss", functors::SquaredDifference{}, dy, input, target, reduction, dx);
}
void l1(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("l1_loss", functors::AbsoluteDifference{}, input, target, reduction, out);
}
void l1_backward(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                 Tensor& dx) {
  pair_loss_backward("l1_loss", functors::AbsoluteDifference{}, dy, input, target, reduction, dx);
}

// ---- dice ----

__device__ inline float sigmoid(float x) {
  const float e = std::exp(-std::abs(x));
  return (x >= 0 ? 1.0f : e) / (1 + e);
}

struct LoadFraction {
  const float *x, *t;
  __device__ Fraction operator()(std::int64_t i) const {
    const double p = sigmoid(x[i]), truth = t[i];
    return {2 * p * truth, p + truth};
  }
};
void dice(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions) {
  check_f32("dice_loss", input);
  const std::int64_t images = input.size(0), c = input.size(-1);
  auto* parts = reinterpret_cast<Fraction*>(fractions.data<double>());
  reduce<FractionSum>(images, rows_of(input), c, LoadFraction{input.data<float>(), target.data<float>()},
                      StoreFraction{parts, smooth});
  reduce<Sum>(1, images * c, 1, LoadMiss{parts},
              StoreLoss{out.data<float>(), static_cast<double>(images * c)});
}

struct DiceSlope {
  const float *x, *t, *dy;
  const Fraction* fractions;
  std::int64_t c, image_size;
  double count;
  float* dx;
  __device__ void operator()(std::int64_t i) const {
    std::int64_t in_image, k;
    const std::int64_t image = divide(i, image_size, in_image);
    divide(in_image, c, k);
    const auto [above, below] = fractions[image * c + k];
    const float e = std::exp(-std::abs(x[i])), slope = e / ((1 + e) * (1 + e));
    const double fraction_slope = (2 * static_cast<double>(t[i]) - above / below) / below;
    dx[i] = static_cast<float>(-(static_cast<double>(*dy) / count) * fraction_slope) * slope;
  }
};
void dice_backward(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                   Tensor& dx) {
  check_f32("dice_loss", input);
  const std::int64_t images = input.size(0), c = input.size(-1);
  for_each(input.numel(), DiceSlope{input.data<float>(), target.data<float>(), dy.data<float>(),
                                    reinterpret_cast<const Fraction*>(fractions.data<double>()), c,
                                    rows_of(input) * c, static_cast<double>(images * c), dx.data<float>()});
}

}  // namespace

void register_loss_kernels(KernelTable& table) {
  table.add<decltype(kernels::bce_with_logits), bce>("bce_with_logits");
  table.add<decltype(kernels::bce_with_logits_backward), bce_backward>("bce_with_logits_backward");
  table.add<decltype(kernels::focal_loss), focal>("focal_loss");
  table.add<decltype(kernels::focal_loss_backward), focal_backward>("focal_loss_backward");
  table.add<decltype(kernels::mse_loss), mse>("mse_loss");
  table.add<decltype(kernels::mse_loss_backward), mse_backward>("mse_loss_backward");
  table.add<decltype(kernels::l1_loss), l1>("l1_loss");
  table.add<decltype(kernels::l1_loss_backward), l1_backward>("l1_loss_backward");
  table.add<decltype(kernels::dice_loss), dice>("dice_loss");
  table.add<decltype(kernels::dice_loss_backward), dice_backward>("dice_loss_backward");
}

}  // namespace karyon::cuda
