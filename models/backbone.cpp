#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/pool.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/init.h>
#include <karyon/layers/linear.h>
#include <karyon/models/backbone.h>

namespace karyon {

Tensor Backbone::forward(Tensor x) { return classify(extract(std::move(x), nullptr)); }

std::vector<Tensor> Backbone::features(Tensor x) {
  std::vector<Tensor> pyramid;
  extract(std::move(x), &pyramid);
  return pyramid;
}

void Backbone::check_options(const char* type, std::int64_t num_classes, std::int64_t in_channels) {
  check(num_classes >= 0 && in_channels >= 1, type, ": expects num_classes >= 0 and in_channels >= 1, got ",
        num_classes, " and ", in_channels);
}

Tensor global_mean(const Tensor& x) { return adaptive_avg_pool2d(x, 1).reshape({x.size(0), x.size(3)}); }

std::int64_t make_divisible(double channels, std::int64_t divisor) {
  const auto step = static_cast<double>(divisor);
  const double rounded = std::max(step, std::floor((channels + step / 2) / step) * step);
  return static_cast<std::int64_t>(rounded < 0.9 * channels ? rounded + step : rounded);
}

void init_network_(Module& network, const NetworkInit& init) {
  const NoGradGuard no_grad;
  for (auto& [name, module] : network.named_modules()) {
    Tensor bias;
    if (auto* const conv = dynamic_cast<Conv2d*>(module)) {
      if (init.conv_std > 0) {
        normal_(conv->weight, 0, init.conv_std);
      } else {
        kaiming_normal_(conv->weight, {.mode = FanMode::out});
      }
      bias = conv->bias;
    }
    if (auto* const linear = dynamic_cast<Linear*>(module); linear && init.linear_std > 0) {
      normal_(linear->weight, 0, init.linear_std);
      bias = linear->bias;
    }
    if (bias.defined()) bias.zero_();
  }
}

}  // namespace karyon
