#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/layers/init.h>

namespace karyon {
namespace {

double kaiming_std(const Tensor& weight, const KaimingOptions& options) {
  const Fans f = fans(weight);
  const auto fan = static_cast<double>(options.mode == FanMode::in ? f.in : f.out);
  return std::sqrt(2 / (1 + options.negative_slope * options.negative_slope) / fan);
}

double xavier_std(const Tensor& weight, double gain) {
  const Fans f = fans(weight);
  return gain * std::sqrt(2 / static_cast<double>(f.in + f.out));
}

}  // namespace

Fans fans(const Tensor& weight) {
  const Shape& shape = weight.shape();
  check(shape.dims() >= 2 && weight.numel() > 0, "fans: expects weights of 2 dimensions or more, got ",
        shape);
  return {weight.numel() / shape[0], weight.numel() / shape[shape.dims() - 1]};
}

void kaiming_uniform_(Tensor& weight, const KaimingOptions& options, Generator& generator) {
  const NoGradGuard no_grad;
  const double bound = std::sqrt(3.0) * kaiming_std(weight, options);
  uniform_(weight, -bound, bound, generator);
}

void kaiming_normal_(Tensor& weight, const KaimingOptions& options, Generator& generator) {
  const NoGradGuard no_grad;
  normal_(weight, 0, kaiming_std(weight, options), generator);
}

void xavier_uniform_(Tensor& weight, double gain, Generator& generator) {
  const NoGradGuard no_grad;
  const double bound = std::sqrt(3.0) * xavier_std(weight, gain);
  uniform_(weight, -bound, bound, generator);
}

void xavier_normal_(Tensor& weight, double gain, Generator& generator) {
  const NoGradGuard no_grad;
  normal_(weight, 0, xavier_std(weight, gain), generator);
}

void default_init_(Tensor& weight, Tensor& bias, Generator& generator) {
  const NoGradGuard no_grad;
  const double bound = 1 / std::sqrt(static_cast<double>(fans(weight).in));
  uniform_(weight, -bound, bound, generator);
  if (bias.defined()) uniform_(bias, -bound, bound, generator);
}

}  // namespace karyon
