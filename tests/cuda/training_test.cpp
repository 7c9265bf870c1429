// A whole training step on the device against the same on the CPU, in f32 and in bf16.
#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

struct Run {
  std::vector<double> losses;
  std::vector<std::vector<double>> grads, weights;  // by parameter: of the first step, after the last
};

Run train(Device device, const UNetOptions& options, DType precision = f32) {
  manual_seed(11);
  UNet net(options);
  const Tensor x = randn({2, 32, 32, options.in_channels}).to(device);
  const Tensor target = gt(randn({2, 32, 32, options.out_channels}), 0.5).to(f32).to(device);
  net.to(device);
  Adam adam(net.parameters(), {.lr = 1e-2});
  Run run;
  for (int step = 0; step < 3; ++step) {
    adam.zero_grad();
    const AutocastGuard autocast(precision);
    const Tensor loss = bce_with_logits(net(x), target);
    loss.backward();
    if (step == 0)
      for (const Tensor& p : net.parameters()) {
        CHECK(p.grad().dtype() == f32);
        run.grads.push_back(p.grad().to_vector<double>());
      }
    adam.step();
    run.losses.push_back(loss.item<double>());
  }
  for (const Tensor& p : net.parameters()) {
    CHECK(p.dtype() == f32);
    run.weights.push_back(p.to_vector<double>());
  }
  return run;
}

// The norm of a - b relative to that of b.
double distance(const std::vector<double>& a, const std::vector<double>& b) {
  double error = 0, size = 0;
  for (std::size_t i = 0; i < b.size(); ++i) {
    error += (a[i] - b[i]) * (a[i] - b[i]);
    size += b[i] * b[i];
  }
  return std::sqrt(error / std::max(size, 1e-30));
}

std::vector<double> joined(const std::vector<std::vector<double>>& parts) {
  std::vector<double> out;
  for (const auto& part : parts) out.insert(out.end(), part.begin(), part.end());
  return out;
}

}  // namespace

TEST_CASE("a small U-Net learns as on the CPU: losses, every gradient, weights after three steps") {
  for (const Norm norm : {Norm::batch, Norm::group}) {
    INFO((norm == Norm::batch ? "batch norm" : "group norm"));
    const UNetOptions options{
        .in_channels = 3, .out_channels = 1, .base_width = 4, .depth = 2, .norm = norm, .dropout = 0.25};
    const Run here = train(Device::cpu(), options), there = train(Device::cuda(), options);
    double largest = 0;  // of all gradients: those that are 0 but for rounding have no digits to compare
    for (const auto& g : here.grads)
      for (const double v : g) largest = std::max(largest, std::abs(v));
    for (std::size_t i = 0; i < here.losses.size(); ++i)
      CHECK(there.losses[i] == Approx(here.losses[i]).epsilon(1e-4));
    for (std::size_t i = 0; i < here.grads.size(); ++i) {
      INFO("parameter " << i);
      double scale = 0;
      for (const double v : here.grads[i]) scale = std::max(scale, std::abs(v));
      if (scale > 1e-5 * largest) CHECK(distance(there.grads[i], here.grads[i]) < 1e-4);
    }
    for (std::size_t i = 0; i < here.weights.size(); ++i) {
      INFO("parameter " << i);
      CHECK(distance(there.weights[i], here.weights[i]) < 1e-4);
    }
  }
}

// Images and labels are noise, so gradients nearly cancel over the pixels, and what bf16 rounds (2^-9 of an
// activation on average) does not: a parameter's gradient is off by 0.1 to 0.4 of its size, all of them
// together, where the large ones count, by 0.08. A term that is missing or wrong would be off by 1. Adam's
// first steps have the size of the rate whatever the gradient's, so weights are as far apart as gradients.
TEST_CASE("a small U-Net under autocast learns what it learns in f32, with weights and gradients of f32") {
  const UNetOptions options{
      .in_channels = 3, .out_channels = 1, .base_width = 4, .depth = 2, .dropout = 0.25};
  const Run wide = train(Device::cpu(), options), narrow = train(Device::cuda(), options, bf16);
  for (std::size_t i = 0; i < wide.losses.size(); ++i) {
    CHECK(narrow.losses[i] == Approx(wide.losses[i]).epsilon(0.01));
    CHECK(narrow.losses[i] != Approx(wide.losses[i]).epsilon(1e-6));  // else it was not bf16
  }
  for (std::size_t i = 0; i < wide.grads.size(); ++i) {
    INFO("parameter " << i);
    CHECK(distance(narrow.grads[i], wide.grads[i]) < 0.5);
  }
  CHECK(distance(joined(narrow.grads), joined(wide.grads)) < 0.12);
  CHECK(distance(joined(narrow.weights), joined(wide.weights)) < 0.12);
}
