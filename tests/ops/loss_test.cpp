#include <catch2/catch.hpp>

#include "losses.h"

using namespace karyon;
using namespace karyon::test;

TEST_CASE("bce_with_logits, all reductions and weights that broadcast") {
  for (const Shape& shape : shapes)
    for (Reduction reduction : reductions) {
      const Tensor t = probabilities(shape, 2);
      check_op(
          "bce_with_logits",
          [&](const std::vector<Tensor>& x) {
            return bce_with_logits(x[0], as(t, x[0]), {.reduction = reduction});
          },
          [&](const std::vector<Tensor>& x) {
            return pointwise(x[0], as(t, x[0]), reduction, [](double v, double y, std::int64_t) {
              return -(y * std::log(p(v)) + (1 - y) * std::log(1 - p(v)));
            });
          },
          {random(shape, 1)});
    }
  const Shape shape{2, 3, 4};
  const Tensor t = labels(shape, 3);
  // Of the same shape, the end of it, one number, and a broadcast inside.
  for (const Shape& ws : {Shape{2, 3, 4}, Shape{4}, Shape{3, 4}, Shape{1}, Shape{}, Shape{3, 1},
                          Shape{2, 1, 4}, Shape{1, 1, 4}}) {
    const Tensor w = probabilities(ws, 4), pw = probabilities(Shape{2, 3, 1}, 5);
    check_op(
        "bce_with_logits, weighted",
        [&](const std::vector<Tensor>& x) {
          return bce_with_logits(x[0], as(t, x[0]), {.weight = as(w, x[0]), .pos_weight = as(pw, x[0])});
        },
        [&](const std::vector<Tensor>& x) {
          return pointwise(x[0], as(t, x[0]), Reduction::mean, [&](double v, double y, std::int64_t i) {
            const std::int64_t index[] = {i / 12, i / 4 % 3, i % 4};
            std::int64_t at = 0;
            for (int d = 0; d < ws.dims(); ++d) at = at * ws[d] + (ws[d] == 1 ? 0 : index[3 - ws.dims() + d]);
            const double weight = w.to_vector<double>()[static_cast<std::size_t>(at)];
            const double positive = pw.to_vector<double>()[static_cast<std::size_t>(i / 4)];
            return -weight * (positive * y * std::log(p(v)) + (1 - y) * std::log(1 - p(v)));
          });
        },
        {random(shape, 6)});
  }
}

TEST_CASE("losses of extreme logits are finite and exact") {
  for (DType dtype : {f32, f64}) {
    const TensorOptions o{.dtype = dtype, .device = dtype == f32 ? device() : Device::cpu()};
    const Tensor t = tensor({0, 1, 0, 1}, {1, 4}, o);
    Tensor x = tensor({1e4, 1e4, -1e4, -1e4}, {1, 4}, o).requires_grad_();
    const Tensor bce = bce_with_logits(x, t, {.reduction = Reduction::none});
    CHECK(bce.to_vector<double>() == std::vector<double>{1e4, 0, 0, 1e4});
    bce.backward(ones_like(bce));
    CHECK(x.grad().to_vector<double>() == std::vector<double>{1, 0, 0, -1});

    x.set_grad({});
    const Tensor focal = focal_loss(x, t, {.alpha = -1, .gamma = 0.5, .reduction = Reduction::none});
    CHECK(focal.to_vector<double>() == std::vector<double>{1e4, 0, 0, 1e4});
    focal.backward(ones_like(focal));
    CHECK(x.grad().to_vector<double>() == std::vector<double>{1, 0, 0, -1});

    x.set_grad({});
    const Tensor entropy = cross_entropy(x, tensor({2}, {.dtype = i64, .device = o.device}));
    CHECK(entropy.item<double>() == Approx(2e4).epsilon(1e-4));
    entropy.backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>{0.5, 0.5, -1, 0});

    x.set_grad({});
    const Tensor dice = dice_loss(x.reshape({1, 4, 1}), t.reshape({1, 4, 1}), {.smooth = 0});
    CHECK(dice.item<double>() == 0.5);
    dice.backward();
    CHECK(x.grad().to_vector<double>() == std::vector<double>(4, 0));
  }
}

TEST_CASE("focal_loss") {
  for (double alpha : {0.25, -1.0})
    for (double gamma : {2.0, 0.0, 0.5, 1.0})
      for (Reduction reduction : reductions) {
        const Shape shape{3, 5};
        const Tensor t = gamma == 1 ? probabilities(shape, 1) : labels(shape, 1);
        check_op(
            "focal_loss",
            [&](const std::vector<Tensor>& x) {
              return focal_loss(x[0], as(t, x[0]), {alpha, gamma, reduction});
            },
            [&](const std::vector<Tensor>& x) {
              return pointwise(x[0], as(t, x[0]), reduction, [&](double v, double y, std::int64_t) {
                const double correct = y * p(v) + (1 - y) * (1 - p(v));
                const double bce = -(y * std::log(p(v)) + (1 - y) * std::log(1 - p(v)));
                const double weight = alpha < 0 ? 1 : y * alpha + (1 - y) * (1 - alpha);
                return weight * std::pow(1 - correct, gamma) * bce;
              });
            },
            {random(shape, 2)});
      }
}

TEST_CASE("dice_loss") {
  for (const Shape& shape : std::vector<Shape>{{2, 3, 5, 1}, {1, 1}, {3, 4}, {2, 17, 3, 4}, {2, 0, 3, 2}})
    for (double smooth : {1.0, 0.5}) {
      const Tensor t = probabilities(shape, 1);
      check_op(
          "dice_loss",
          [&](const std::vector<Tensor>& x) { return dice_loss(x[0], as(t, x[0]), {.smooth = smooth}); },
          [&](const std::vector<Tensor>& x) {
            const std::int64_t n = shape[0], c = shape[shape.dims() - 1], image = shape.numel() / n;
            double loss = 0;
            for (std::int64_t i = 0; i < n; ++i)
              for (std::int64_t k = 0; k < c; ++k) {
                double both = 0, predicted = 0, truth = 0;
                for (std::int64_t j = i * image + k; j < (i + 1) * image; j += c) {
                  const double y = t.to_vector<double>()[static_cast<std::size_t>(j)];
                  both += p(x[0].data<double>()[j]) * y;
                  predicted += p(x[0].data<double>()[j]);
                  truth += y;
                }
                loss += 1 - (2 * both + smooth) / (predicted + truth + smooth);
              }
            return full({}, loss / static_cast<double>(n * c), {.dtype = f64});
          },
          {random(shape, 2)});
    }
}

TEST_CASE("mse_loss and l1_loss, in input and target") {
  for (const Shape& shape : shapes)
    for (Reduction reduction : reductions) {
      const Tensor x = random(shape, 1), t = random(shape, 2);
      check_op(
          "mse_loss", [&](const std::vector<Tensor>& in) { return mse_loss(in[0], in[1], reduction); },
          [&](const std::vector<Tensor>& in) {
            return pointwise(in[0], in[1], reduction,
                             [](double a, double b, std::int64_t) { return (a - b) * (a - b); });
          },
          {x, t});
      check_op(
          "l1_loss", [&](const std::vector<Tensor>& in) { return l1_loss(in[0], in[1], reduction); },
          [&](const std::vector<Tensor>& in) {
            return pointwise(in[0], in[1], reduction,
                             [](double a, double b, std::int64_t) { return std::abs(a - b); });
          },
          {x, t});
    }
  Tensor t = tensor({1, 2, 3}).requires_grad_();
  l1_loss(tensor({1, 3, 1}), t, Reduction::sum).backward();
  CHECK(t.grad().to_vector<float>() == std::vector<float>{0, -1, 1});
}

TEST_CASE("cross_entropy with class weights and ignored targets") {
  for (Shape shape : std::vector<Shape>{{4}, {5, 3}, {2, 3, 2, 7}, {3, 1}})
    for (Reduction reduction : reductions)
      for (bool weighted : {false, true}) {
        const std::int64_t c = shape[shape.dims() - 1], rows = shape.numel() / c;
        Shape row_shape;
        for (int d = 0; d + 1 < shape.dims(); ++d) row_shape.push_back(shape[d]);
        std::vector<double> classes;
        for (std::int64_t i = 0; i < rows; ++i)
          classes.push_back(i % 4 == 3 ? -7 : static_cast<double>(i * 5 % c));
        const Tensor target = tensor(classes, row_shape, {.dtype = i64}), weight = probabilities({c}, 3);
        check_op(
            "cross_entropy",
            [&](const std::vector<Tensor>& x) {
              return cross_entropy(x[0], target.to(x[0].device()),
                                   {.weight = weighted ? as(weight, x[0]) : Tensor(),
                                    .ignore_index = -7,
                                    .reduction = reduction});
            },
            [&](const std::vector<Tensor>& x) {
              std::vector<double> losses;
              double total = 0;
              for (std::int64_t i = 0; i < rows; ++i) {
                const auto k = static_cast<std::int64_t>(classes[static_cast<std::size_t>(i)]);
                if (k == -7) {
                  losses.push_back(0);
                  continue;
                }
                double sum = 0;
                for (std::int64_t j = 0; j < c; ++j) sum += std::exp(x[0].data<double>()[i * c + j]);
                const double w = weighted ? weight.to_vector<double>()[static_cast<std::size_t>(k)] : 1;
                losses.push_back(-w * std::log(std::exp(x[0].data<double>()[i * c + k]) / sum));
                total += w;
              }
              return reduced(losses, row_shape, reduction, total);
            },
            {random(shape, 1)});
      }
}

TEST_CASE("cross_entropy agrees with PyTorch") {
  // x = torch.arange(12.).reshape(4, 3).sin().requires_grad_(); t = torch.tensor([2, 0, 1, 2])
  // torch.nn.functional.cross_entropy(x, t, weight=torch.tensor([1., 2., 3.]), ignore_index=1)
  std::vector<double> values;
  for (int i = 0; i < 12; ++i) values.push_back(std::sin(i));
  Tensor x = tensor(values, {4, 3}, {.device = device()}).requires_grad_();
  const Tensor loss = cross_entropy(x, tensor({2, 0, 1, 2}, {.dtype = i64, .device = device()}),
                                    {.weight = tensor({1, 2, 3}, {.device = device()}), .ignore_index = 1});
  CHECK(loss.item() == Approx(1.2570468));
  loss.backward();
  CHECK(difference(x.grad(), tensor({0.073861644, 0.17134254, -0.24520418, -0.060768146, 0.033444304,
                                     0.027323846, 0, 0, 0, 0.26324981, 0.10118636, -0.36443618},
                                    {4, 3})) < 1e-6);
}

TEST_CASE("losses of nothing") {
  const TensorOptions there{.device = device()};
  const Tensor x = zeros({2, 3}, there), ignored = full({2}, -100, {.dtype = i64, .device = device()});
  CHECK(std::isnan(cross_entropy(x, ignored).item()));
  CHECK(cross_entropy(x, ignored, {.reduction = Reduction::sum}).item() == 0);
  CHECK(cross_entropy(x, ignored, {.reduction = Reduction::none}).to_vector<float>() ==
        std::vector<float>{0, 0});
  const Tensor none = zeros({0, 3}, there);
  CHECK(std::isnan(mse_loss(none, none).item()));
  CHECK(bce_with_logits(none, none, {.reduction = Reduction::sum}).item() == 0);
  CHECK(focal_loss(none, none, {.reduction = Reduction::none}).shape() == Shape{0, 3});
  CHECK(std::isnan(dice_loss(none, none).item()));
}

TEST_CASE("losses give the same bits with any number of threads") {
  const Shape shape{3, 47, 53, 5};
  const Tensor x = random(shape, 1), t = labels(shape, 2);
  Tensor target = empty({3, 47, 53}, {.dtype = i64});
  for (std::int64_t i = 0; i < target.numel(); ++i) target.data<std::int64_t>()[i] = i * i % 5;
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (int which = 0; which < 6; ++which) {
      Tensor in = x.clone().requires_grad_();
      const Tensor loss = which == 0   ? bce_with_logits(in, t)
                          : which == 1 ? dice_loss(in, t)
                          : which == 2 ? focal_loss(in, t)
                          : which == 3 ? mse_loss(in, t)
                          : which == 4 ? l1_loss(in, t, Reduction::sum)
                                       : cross_entropy(in, target);
      loss.backward();
      out.push_back(loss);
      out.push_back(in.grad());
    }
    return out;
  }));
}

TEST_CASE("loss errors say what was expected and what came") {
  using Catch::Contains;
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH(bce_with_logits(x, zeros({2, 1})),
                    Contains("bce_with_logits: expects a target like the input f32[2, 3], got f32[2, 1]"));
  CHECK_THROWS_WITH(mse_loss(x, x.to(f64)), Contains("f64[2, 3]"));
  CHECK_THROWS_WITH(l1_loss(x.to(i64), x.to(i64)), Contains("l1_loss: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(bce_with_logits(x, x, {.weight = zeros({2})}),
                    Contains("[2] and [2, 3] do not broadcast"));
  CHECK_THROWS_WITH(bce_with_logits(x, x, {.pos_weight = zeros({4, 2, 3})}),
                    Contains("pos_weight [4, 2, 3] does not broadcast"));
  CHECK_THROWS_WITH(bce_with_logits(x, x, {.weight = zeros({3}, {.dtype = f64})}),
                    Contains("weight expects f32, got f64"));
  CHECK_THROWS_WITH(dice_loss(zeros({3}), zeros({3})), Contains("one channel, got [3]"));
  CHECK_THROWS_WITH(focal_loss(x, x, {.gamma = -1}), Contains("gamma >= 0"));
  const Tensor t = tensor({0, 3}, {.dtype = i64});
  CHECK_THROWS_WITH(cross_entropy(x, t), Contains("target 3 at position 1 is not a class in [0, 3)"));
  CHECK_THROWS_WITH(cross_entropy(x, tensor({-1, 0}, {.dtype = i64})), Contains("target -1 at position 0"));
  CHECK_NOTHROW(cross_entropy(x, t, {.ignore_index = 3}));
  CHECK_THROWS_WITH(cross_entropy(x, zeros({2})), Contains("target of i64 or i32, got f32"));
  CHECK_THROWS_WITH(cross_entropy(x, zeros({3}, {.dtype = i64})), Contains("[2, 3] and [3]"));
  CHECK_THROWS_WITH(cross_entropy(x, t, {.weight = zeros({2})}),
                    Contains("weight expects f32[3], got f32[2]"));
}

TEST_CASE("losses refuse what would silently get no gradient") {
  Tensor wanting = ones({2, 3}).requires_grad_();
  const Tensor x = zeros({2, 3}).requires_grad_();
  CHECK_THROWS_WITH(bce_with_logits(x, wanting),
                    Catch::Contains("bce_with_logits: the target requires a gradient"));
  CHECK_THROWS_WITH(bce_with_logits(x, ones({2, 3}), {.weight = wanting}),
                    Catch::Contains("the weight requires"));
  CHECK_THROWS_WITH(bce_with_logits(x, ones({2, 3}), {.pos_weight = wanting}),
                    Catch::Contains("pos_weight requires"));
  CHECK_THROWS_WITH(dice_loss(x, wanting), Catch::Contains("dice_loss: the target requires a gradient"));
  CHECK_THROWS_WITH(focal_loss(x, wanting), Catch::Contains("focal_loss: the target requires a gradient"));
  CHECK_THROWS_WITH(dice_loss(zeros({2, 3, 0}), zeros({2, 3, 0})), Catch::Contains("one channel"));
  const NoGradGuard no_grad;
  CHECK(bce_with_logits(x, wanting).item() == Approx(std::log(2)));
}
