// Losses of class indices.
#include <karyon/core/ops/reduce.h>

#include "losses.h"

using namespace karyon;
using namespace karyon::test;

namespace {

// Rows of losses f(row, class) -> what the reduction returns, with weights and ignored targets.
template <class F>
Tensor by_row(const Tensor& x, const Tensor& target, const Tensor& weight, Reduction reduction, F f) {
  const auto t = target.to_vector<std::int64_t>();
  const auto w = weight.defined() ? weight.to_vector<double>()
                                  : std::vector<double>(static_cast<std::size_t>(x.size(-1)), 1);
  std::vector<double> losses;
  double total = 0;
  for (std::size_t i = 0; i < t.size(); ++i) {
    losses.push_back(t[i] == -7 ? 0 : f(i, static_cast<std::size_t>(t[i]), w));
    total += t[i] == -7 ? 0 : w[static_cast<std::size_t>(t[i])];
  }
  return reduced(losses, target.shape(), reduction, total);
}

}  // namespace

TEST_CASE("nll_loss, all reductions, weights and ignored targets") {
  for (const auto& [shape, c] :
       std::vector<std::pair<Shape, std::int64_t>>{{{2, 3}, 5}, {{}, 3}, {{17}, 1}, {{4, 1, 3}, 33}})
    for (const Reduction reduction : reductions)
      for (const bool weighted : {false, true}) {
        Shape rows = shape;
        rows.push_back(c);
        const Tensor t = classes(shape, c, true), weight = weighted ? probabilities({c}, 3) : Tensor();
        check_op(
            "nll_loss",
            [&](const auto& x) {
              return nll_loss(x[0], there(t, x[0]),
                              {.weight = weighted ? as(weight, x[0]) : Tensor(),
                               .ignore_index = -7,
                               .reduction = reduction});
            },
            [&](const auto& x) {
              const auto v = x[0].template to_vector<double>();
              return by_row(x[0], t, weight, reduction, [&](std::size_t i, std::size_t k, const auto& w) {
                return -w[k] * v[i * w.size() + k];
              });
            },
            {random(rows, 1)});
      }
  const Tensor x = random({5, 7}, 1);
  CHECK(nll_loss(log_softmax(x, -1), classes({5}, 7)).item() ==
        Approx(cross_entropy(x, classes({5}, 7)).item()));
  CHECK_THROWS_WITH(nll_loss(x, full({5}, 7, {.dtype = i64})), Catch::Contains("nll_loss: target"));
  CHECK_THROWS_WITH(nll_loss(x, zeros({5})),
                    Catch::Contains("nll_loss: expects a target of i64 or i32, got f32"));
}

TEST_CASE("cross_entropy with label smoothing") {
  for (const auto& [shape, c] :
       std::vector<std::pair<Shape, std::int64_t>>{{{2, 3}, 5}, {{}, 3}, {{17}, 1}, {{4, 1, 3}, 33}})
    for (const Reduction reduction : reductions)
      for (const bool weighted : {false, true})
        for (const double smoothing : {0.1, 1.0}) {
          Shape rows = shape;
          rows.push_back(c);
          const Tensor t = classes(shape, c, true), weight = weighted ? probabilities({c}, 3) : Tensor();
          check_op(
              "cross_entropy",
              [&](const auto& x) {
                return cross_entropy(x[0], there(t, x[0]),
                                     {.weight = weighted ? as(weight, x[0]) : Tensor(),
                                      .ignore_index = -7,
                                      .reduction = reduction,
                                      .label_smoothing = smoothing});
              },
              [&](const auto& x) {
                const auto p = softmax_rows(x[0]);
                return by_row(x[0], t, weight, reduction, [&](std::size_t i, std::size_t k, const auto& w) {
                  double loss = 0;
                  for (std::size_t j = 0; j < w.size(); ++j)
                    loss -= ((j == k ? 1 - smoothing : 0) + smoothing / static_cast<double>(w.size())) *
                            w[j] * std::log(p[i * w.size() + j]);
                  return loss;
                });
              },
              {random(rows, 1)});
        }
  CHECK_THROWS_WITH(cross_entropy(zeros({2, 3}), classes({2}, 3), {.label_smoothing = 1.5}),
                    Catch::Contains("cross_entropy: expects label_smoothing in [0, 1], got 1.5"));
}

TEST_CASE("losses of classes give the same bits with any number of threads") {
  const Tensor x = random({9001, 5}, 1), t = classes({9001}, 5, true);
  CHECK(same_for_any_thread_count([&] {
    std::vector<Tensor> out;
    for (const bool nll : {true, false}) {
      Tensor in = x.clone().requires_grad_();
      const Tensor loss = nll ? nll_loss(in, t, {.ignore_index = -7})
                              : cross_entropy(in, t, {.ignore_index = -7, .label_smoothing = 0.2});
      loss.backward();
      out.push_back(loss);
      out.push_back(in.grad());
    }
    return out;
  }));
}
