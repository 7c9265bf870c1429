// One pass forward and one backward per loss: no probabilities, no unreduced losses in memory. Terms are
// computed in T and summed in double, per chunk and then in chunk order.
#include <cmath>

#include <karyon/core/cpu/loss_terms.h>
#include <karyon/core/kernels/functors/loss.h>

namespace karyon {
namespace {

using cpu::ImageRows;
using cpu::pair_loss;
using cpu::pair_loss_backward;
using cpu::reduce_terms;
using cpu::with_weight;
using cpu::write_gradients;

void bce_cpu(const Tensor& input, const Tensor& target, const Tensor& weight, const Tensor& pos_weight,
             Reduction reduction, Tensor& out) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t n = input.numel();
    with_weight<T>(weight, n, [&](auto w) {
      with_weight<T>(pos_weight, n, [&](auto pw) {
        reduce_terms<T>(n, reduction, static_cast<double>(n), out,
                        [=](std::int64_t i) { return w[i] * functors::Bce{}(x[i], t[i], pw[i]); });
      });
    });
  });
}

void bce_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& weight,
                      const Tensor& pos_weight, Reduction reduction, Tensor& dx) {
  dispatch_floating(input.dtype(), "bce_with_logits", [&]<class T>() {
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t n = input.numel();
    with_weight<T>(weight, n, [&](auto w) {
      with_weight<T>(pos_weight, n, [&](auto pw) {
        write_gradients<T>(dy, reduction, dx, [=](T u, std::int64_t i) {
          return u * (w[i] * functors::Bce{}.slope(x[i], t[i], pw[i]));
        });
      });
    });
  });
}

void focal_cpu(const Tensor& input, const Tensor& target, double alpha, double gamma, Reduction reduction,
               Tensor& out) {
  pair_loss("focal_loss", functors::Focal{alpha, gamma}, input, target, reduction, out);
}
void focal_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, double alpha,
                        double gamma, Reduction reduction, Tensor& dx) {
  pair_loss_backward("focal_loss", functors::Focal{alpha, gamma}, dy, input, target, reduction, dx);
}
void mse_cpu(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("mse_loss", functors::SquaredDifference{}, input, target, reduction, out);
}
void mse_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                      Tensor& dx) {
  pair_loss_backward("mse_loss", functors::SquaredDifference{}, dy, input, target, reduction, dx);
}
void l1_cpu(const Tensor& input, const Tensor& target, Reduction reduction, Tensor& out) {
  pair_loss("l1_loss", functors::AbsoluteDifference{}, input, target, reduction, out);
}
void l1_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, Reduction reduction,
                     Tensor& dx) {
  pair_loss_backward("l1_loss", functors::AbsoluteDifference{}, dy, input, target, reduction, dx);
}

// Per-channel values repeated until they fill vectors: loops over pixels then run over such rows.
template <class T>
std::vector<T> repeated(const std::vector<T>& channels, std::int64_t width) {
  std::vector<T> out;
  while (static_cast<std::int64_t>(out.size()) < width)
    out.insert(out.end(), channels.begin(), channels.end());
  return out;
}
std::int64_t vector_row(std::int64_t c) { return c * ((15 + c) / c); }

void dice_cpu(const Tensor& input, const Tensor& target, double smooth, Tensor& out, Tensor& fractions) {
  dispatch_floating(input.dtype(), "dice_loss", [&]<class T>() {
    const ImageRows l(input);
    const T *x = input.data<T>(), *t = target.data<T>();
    const std::int64_t width = vector_row(l.c);
    std::vector<double> partial(static_cast<std::size_t>(l.images * l.chunks * l.c * 2));
    l.for_chunks([&](std::int64_t, std::int64_t index, std::int64_t begin, std::int64_t end) {
      // Element i of the chunk goes into sum i % width, which is one of channel i % c.
      std::vector<double> products(static_cast<std::size_t>(width)), sums(products.size());
      double *product = products.data(), *sum = sums.data();
      cpu::vectorized([=] {
        for (std::int64_t first = begin; first < end; first += width) {
          const std::int64_t n = std::min(width, end - first);
          for (std::int64_t j = 0; j < n; ++j) {
            const T p = functors::Logit<T>(x[first + j]).p, truth = t[first + j];
            product[j] += static_cast<double>(p) * static_cast<double>(truth);
            sum[j] += static_cast<double>(p) + static_cast<double>(truth);
          }
        }
      });
      double* to = partial.data() + index * l.c * 2;
      for (std::int64_t j = 0; j < width; ++j) {
        to[2 * (j % l.c)] += 2 * product[j];
        to[2 * (j % l.c) + 1] += sum[j];
      }
    });
    *out.data<T>() = static_cast<T>(mean_miss(l, partial, smooth, fractions.data<double>()));
  });
}

void dice_backward_cpu(const Tensor& dy, const Tensor& input, const Tensor& target, const Tensor& fractions,
                       Tensor& dx) {
  dispatch_floating(input.dtype(), "dice_loss", [&]<class T>() {
    const ImageRows l(input);
    const T *x = input.data<T>(), *t = target.data<T>();
    T* to = dx.data<T>();
    const double upstream = static_cast<double>(*dy.data<T>()) / static_cast<double>(l.images * l.c);
    const std::int64_t width = vector_row(l.c);
    l.for_chunks([&](std::int64_t image, std::int64_t, std::int64_t begin, std::int64_t end) {
      // The coefficient's slope in p is (2 t - numerator / denominator) / denominator.
      const double* sums = fractions.data<double>() + image * l.c * 2;
      std::vector<T> of_truth, offset;
      for (std::int64_t k = 0; k < l.c; ++k) {
        of_truth.push_back(static_cast<T>(-upstream * 2 / sums[2 * k + 1]));
        offset.push_back(static_cast<T>(upstream * sums[2 * k] / (sums[2 * k + 1] * sums[2 * k + 1])));
      }
      of_truth = repeated(of_truth, width);
      offset = repeated(offset, width);
      const T *a = of_truth.data(), *b = offset.data();
      cpu::vectorized([=] {
        for (std::int64_t first = begin; first < end; first += width) {
          const std::int64_t n = std::min(width, end - first);
          for (std::int64_t j = 0; j < n; ++j) {
            const functors::Logit<T> logit(x[first + j]);
            to[first + j] = (a[j] * t[first + j] + b[j]) * (logit.p * logit.q);
          }
        }
      });
    });
  });
}

}  // namespace

constinit decltype(kernels::bce_with_logits) kernels::bce_with_logits{"bce_with_logits", bce_cpu};
constinit decltype(kernels::bce_with_logits_backward) kernels::bce_with_logits_backward{
    "bce_with_logits_backward", bce_backward_cpu};
constinit decltype(kernels::focal_loss) kernels::focal_loss{"focal_loss", focal_cpu};
constinit decltype(kernels::focal_loss_backward) kernels::focal_loss_backward{"focal_loss_backward",
                                                                              focal_backward_cpu};
constinit decltype(kernels::mse_loss) kernels::mse_loss{"mse_loss", mse_cpu};
constinit decltype(kernels::mse_loss_backward) kernels::mse_loss_backward{"mse_loss_backward",
                                                                          mse_backward_cpu};
constinit decltype(kernels::l1_loss) kernels::l1_loss{"l1_loss", l1_cpu};
constinit decltype(kernels::l1_loss_backward) kernels::l1_loss_backward{"l1_loss_backward", l1_backward_cpu};
constinit decltype(kernels::dice_loss) kernels::dice_loss{"dice_loss", dice_cpu};
constinit decltype(kernels::dice_loss_backward) kernels::dice_loss_backward{"dice_loss_backward",
                                                                            dice_backward_cpu};

}  // namespace karyon
