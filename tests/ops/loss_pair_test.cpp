// Losses of an input and a target alone.
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>

#include "losses.h"

using namespace karyon;
using namespace karyon::test;

TEST_CASE("huber_loss and smooth_l1_loss, in input and target") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions)
      for (const double limit : {1.0, 0.5, 3.0}) {
        const auto huber = [=](double a, double b, std::int64_t) {
          const double d = std::abs(a - b);
          return d <= limit ? d * d / 2 : limit * (d - limit / 2);
        };
        check_op(
            "huber_loss",
            [=](const auto& in) {
              return huber_loss(in[0], in[1], {.delta = limit, .reduction = reduction});
            },
            [=](const auto& in) { return pointwise(in[0], in[1], reduction, huber); },
            {random(shape, 1), random(shape, 2)});
        check_op(
            "smooth_l1_loss",
            [=](const auto& in) {
              return smooth_l1_loss(in[0], in[1], {.beta = limit, .reduction = reduction});
            },
            [=](const auto& in) {
              return pointwise(in[0], in[1], reduction,
                               [=](double a, double b, std::int64_t i) { return huber(a, b, i) / limit; });
            },
            {random(shape, 1), random(shape, 2)});
      }
  const Tensor x = random({7}, 1), t = random({7}, 2);
  CHECK(smooth_l1_loss(x, t, {.beta = 0}).item() == l1_loss(x, t).item());
  CHECK(std::isnan(huber_loss(tensor({NAN}), tensor({0})).item()));
  CHECK(huber_loss(tensor({1e30}), tensor({0})).item() == 1e30f);
}

TEST_CASE("kl_div of probabilities and of their logarithms") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions)
      for (const bool log_target : {false, true}) {
        const Tensor t = log_target ? random(shape, 2, 1) : probabilities(shape, 2);
        check_op(
            "kl_div",
            [&](const auto& in) {
              return kl_div(in[0], as(t, in[0]), {.log_target = log_target, .reduction = reduction});
            },
            [&](const auto& in) {
              return pointwise(in[0], as(t, in[0]), reduction, [=](double x, double y, std::int64_t) {
                return log_target ? std::exp(y) * (y - x) : y * (std::log(y) - x);
              });
            },
            {random(shape, 1)});
      }
  const Tensor x = random({3, 5}, 1), t = probabilities({3, 5}, 2);
  CHECK(kl_div(x, t, {.batchmean = true}).item() ==
        Approx(kl_div(x, t, {.reduction = Reduction::sum}).item() / 3));
  CHECK(kl_div(tensor({-2}), tensor({0})).item() == 0);
  CHECK(kl_div(tensor(-2.0), tensor(1.0), {.batchmean = true}).item() == 2);
}

TEST_CASE("binary_cross_entropy, weighted and at the ends") {
  for (const Shape& shape : shapes)
    for (const Reduction reduction : reductions)
      for (const bool weighted : {false, true}) {
        const Tensor t = probabilities(shape, 2), w = probabilities({shape[shape.dims() - 1]}, 3);
        const Tensor x = probabilities(shape, 1) * 0.9 + 0.05;
        check_op(
            "binary_cross_entropy",
            [&](const auto& in) {
              return binary_cross_entropy(
                  in[0], as(t, in[0]),
                  {.weight = weighted ? as(w, in[0]) : Tensor(), .reduction = reduction});
            },
            [&](const auto& in) {
              const auto weights = w.to_vector<double>();
              return pointwise(in[0], as(t, in[0]), reduction, [&](double v, double y, std::int64_t i) {
                const double weight = weighted ? weights[static_cast<std::size_t>(i) % weights.size()] : 1;
                return -weight * (y * std::log(v) + (1 - y) * std::log(1 - v));
              });
            },
            {x}, {.bf16_gradient_tolerance = 0.05});
      }
  Tensor ends = tensor({0, 1, 0, 1}).requires_grad_();
  const Tensor loss = binary_cross_entropy(ends, tensor({0, 1, 1, 0}), {.reduction = Reduction::none});
  CHECK(loss.to_vector<float>() == std::vector<float>{0, 0, 100, 100});
  loss.backward(ones({4}));
  CHECK(ends.grad().to_vector<float>() == std::vector<float>{0, 0, -1e12f, 1e12f});
}

TEST_CASE("losses of pairs: nothing, threads and errors") {
  using Catch::Contains;
  const Tensor none = zeros({0, 3});
  CHECK(std::isnan(huber_loss(none, none).item()));
  CHECK(kl_div(none, none, {.reduction = Reduction::sum}).item() == 0);
  CHECK(binary_cross_entropy(none, none, {.reduction = Reduction::none}).shape() == Shape{0, 3});
  const Tensor big = random({70001}, 1), other = probabilities({70001}, 2);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (int which = 0; which < 3; ++which) {
      Tensor in = which == 2 ? sigmoid(big).detach().requires_grad_() : big.clone().requires_grad_();
      const Tensor loss = which == 0   ? huber_loss(in, other)
                          : which == 1 ? kl_div(in, other)
                                       : binary_cross_entropy(in, other);
      loss.backward();
      out.push_back(loss);
      out.push_back(in.grad());
    }
    return out;
  }));
  const Tensor x = zeros({2, 3}), wanting = zeros({2, 3}).requires_grad_();
  CHECK_THROWS_WITH(huber_loss(x, zeros({3})),
                    Contains("huber_loss: expects a target like the input f32[2, 3], got f32[3]"));
  CHECK_THROWS_WITH(huber_loss(x, x, {.delta = 0}), Contains("huber_loss: expects delta > 0, got 0"));
  CHECK_THROWS_WITH(smooth_l1_loss(x, x, {.beta = -1}),
                    Contains("smooth_l1_loss: expects beta >= 0, got -1"));
  CHECK_THROWS_WITH(kl_div(x, wanting), Contains("kl_div: the target requires a gradient"));
  CHECK_THROWS_WITH(kl_div(x.to(i64), x.to(i64)), Contains("kl_div: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(binary_cross_entropy(tensor({0, 1.5}), zeros({2})),
                    Contains("input 1.5 at position 1 is not in [0, 1]"));
  CHECK_THROWS_WITH(binary_cross_entropy(tensor({NAN}), zeros({1})),
                    Contains("at position 0 is not in [0, 1]"));
  CHECK_THROWS_WITH(binary_cross_entropy(x, wanting), Contains("the target requires a gradient"));
  CHECK_THROWS_WITH(binary_cross_entropy(x, x, {.weight = zeros({2})}), Contains("do not broadcast"));
  CHECK_THROWS_WITH(binary_cross_entropy(x, x, {.weight = zeros({4, 2, 3})}),
                    Contains("weight [4, 2, 3] does not broadcast to [2, 3]"));
}
