#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/layers/ema.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>

using namespace karyon;

namespace {

double weight_of(const Module& module) { return module.named_parameters()[0].second.to_vector<double>()[0]; }

void set_weight(Module& module, double value) {
  const NoGradGuard no_grad;
  module.named_parameters()[0].second.fill_(value);
}

}  // namespace

TEST_CASE("ema: the average follows the module, as AveragedModel") {
  Sequential net;
  net.add<Linear>(2, 2);
  net.add<BatchNorm1d>(2);
  EMA ema(net, {.decay = 0.75});
  CHECK(weight_of(ema.module()) == weight_of(net));
  double expected = 0;
  for (int i = 0; i < 4; ++i) {
    set_weight(net, i + 1);
    net.named_buffers()[0].second.fill_(i + 1);
    ema.update(net);
    expected = i == 0 ? 1 : 0.75 * expected + 0.25 * (i + 1);
    CHECK(weight_of(ema.module()) == Approx(expected));
    CHECK(ema.module().named_buffers()[0].second.to_vector<double>()[0] == Approx(expected));
  }
  CHECK(ema.updates() == 4);
  CHECK(weight_of(net) == 4);
  for (const Tensor& p : ema.module().parameters()) CHECK_FALSE(p.requires_grad());
}

TEST_CASE("ema: a warm-up forgets the start sooner") {
  Linear net(2, 2);
  EMA ema(net, {.decay = 0.5, .warmup = true});
  const double decays[] = {0.1, 2.0 / 11, 3.0 / 12, 4.0 / 13};
  for (const double decay : decays) {
    CHECK(ema.decay() == Approx(decay));
    ema.update(net);
  }
  for (int i = 0; i < 20; ++i) ema.update(net);
  CHECK(ema.decay() == 0.5);
  CHECK_THROWS_WITH(EMA(net, {.decay = 1.5}), "EMA: expects a decay in [0, 1], got 1.5");
}
