#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/autocast.h>
#include <karyon/core/backend.h>
#include <karyon/core/ops/attention.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

struct Case {
  Shape batch;
  std::int64_t queries, keys, size, value_size;
};
// Tails in every direction, one element, and more than one tile of queries and of keys.
const std::vector<Case> cases{{{2}, 3, 5, 4, 4},    {{1}, 1, 1, 1, 1},       {{2, 3}, 7, 4, 8, 3},
                              {{}, 9, 17, 16, 33},  {{1, 2}, 65, 130, 3, 2}, {{2}, 5, 0, 4, 3},
                              {{0, 2}, 3, 4, 5, 6}, {{2}, 0, 4, 3, 2}};

Shape with_matrix(Shape batch, std::int64_t rows, std::int64_t columns) {
  batch.push_back(rows);
  batch.push_back(columns);
  return batch;
}
std::vector<Tensor> inputs_of(const Case& c, std::uint64_t seed = 1) {
  Generator generator(seed);
  return {randn(with_matrix(c.batch, c.queries, c.size), generator),
          randn(with_matrix(c.batch, c.keys, c.size), generator),
          randn(with_matrix(c.batch, c.keys, c.value_size), generator)};
}

// What weight [row of all queries, j] is multiplied with.
using Drop = std::function<double(std::int64_t row, std::int64_t j, std::int64_t keys)>;

// softmax(q k^T scale + mask) v by loops over double; q, k and v have the same leading sizes.
Tensor reference(const Tensor& q, const Tensor& k, const Tensor& v, const Tensor& mask, double scale,
                 bool causal, const Drop& drop = nullptr) {
  const std::int64_t l = q.size(-2), e = q.size(-1), s = k.size(-2), ev = v.size(-1);
  Shape shape = q.shape();
  shape[q.dim() - 1] = s;
  std::vector<double> added(static_cast<std::size_t>(shape.numel()));
  if (mask.defined()) {
    const auto values = expand(mask.detach(), shape).to_vector<double>();
    for (std::size_t i = 0; i < added.size(); ++i)
      added[i] = mask.dtype() == boolean ? (values[i] != 0 ? 0 : -INFINITY) : values[i];
  }
  shape[q.dim() - 1] = ev;
  Tensor y = zeros(shape, {.dtype = f64});
  const double *qs = q.data<double>(), *ks = k.data<double>(), *vs = v.data<double>();
  for (std::int64_t row = 0; row < q.numel() / e; ++row) {
    const std::int64_t n = row / l;
    std::vector<double> weights;
    double sum = 0;
    for (std::int64_t j = 0; j < s; ++j) {
      double dot = 0;
      for (std::int64_t i = 0; i < e; ++i) dot += qs[row * e + i] * ks[(n * s + j) * e + i];
      const bool seen = !causal || j <= row % l;
      weights.push_back(seen ? std::exp(dot * scale + added[static_cast<std::size_t>(row * s + j)]) : 0);
      sum += weights.back();
    }
    for (std::int64_t j = 0; sum > 0 && j < s; ++j)
      for (std::int64_t i = 0; i < ev; ++i)
        y.data<double>()[row * ev + i] += weights[static_cast<std::size_t>(j)] / sum *
                                          (drop ? drop(row, j, s) : 1) * vs[(n * s + j) * ev + i];
  }
  return y;
}

Tensor attend(const std::vector<Tensor>& x, const AttentionOptions& options = {}) {
  return scaled_dot_product_attention(x[0], x[1], x[2], options);
}

// bf16 weights and their gradients have the roundings of the values and of the results.
const OpCheckOptions tolerances{.bf16_gradient_tolerance = 0.03};

void check_masked(const Case& c, const Tensor& mask) {
  auto inputs = inputs_of(c);
  inputs.push_back(mask);
  check_op(
      "attention with a mask",
      [](const std::vector<Tensor>& x) { return attend(x, {.attn_mask = x[3], .scale = 0.3}); },
      [](const std::vector<Tensor>& x) { return reference(x[0], x[1], x[2], x[3], 0.3, false); }, inputs,
      tolerances);
}

}  // namespace

TEST_CASE("scaled_dot_product_attention over odd shapes") {
  for (const Case& c : cases)
    for (const bool causal : {false, true})
      check_op(
          "attention", [=](const std::vector<Tensor>& x) { return attend(x, {.is_causal = causal}); },
          [=](const std::vector<Tensor>& x) {
            return reference(x[0], x[1], x[2], {}, 1 / std::sqrt(static_cast<double>(c.size)), causal);
          },
          inputs_of(c), tolerances);
}

TEST_CASE("scaled_dot_product_attention with masks of truth values and of numbers") {
  Generator generator(2);
  for (const auto& [c, mask] : std::vector<std::pair<Case, Shape>>{{{{2}, 3, 5, 4, 4}, {2, 3, 5}},
                                                                   {{{2}, 3, 5, 4, 4}, {3, 1}},
                                                                   {{{2, 3}, 7, 4, 8, 3}, {2, 1, 1, 4}},
                                                                   {{{2, 3}, 7, 4, 8, 3}, {3, 7, 4}},
                                                                   {{{}, 66, 131, 2, 2}, {66, 131}},
                                                                   {{{2}, 3, 5, 4, 4}, {}}}) {
    check_masked(c, randn(mask, generator));
    check_masked(c, gt(rand(mask, generator), 0.4));
  }
}

TEST_CASE("scaled_dot_product_attention of a query that sees no key is 0, and so are its gradients") {
  auto x = inputs_of({{1}, 3, 4, 5, 2});
  for (Tensor& one : x) one = one.to(device()).requires_grad_();
  const Tensor mask =
      tensor({true, true, true, true, false, false, false, false, false, true, false, false}, {3, 4})
          .to(device());
  const Tensor y = attend(x, {.attn_mask = mask});
  y.backward(ones_like(y));
  const auto rows = y.to_vector<double>(), dq = x[0].grad().to_vector<double>();
  CHECK((rows[2] == 0 && rows[3] == 0));
  for (std::size_t i = 5; i < 10; ++i) CHECK(dq[i] == 0);
  // The last query sees one key: it takes its value.
  CHECK(rows[4] == x[2].to_vector<double>()[2]);
}

TEST_CASE("scaled_dot_product_attention drops weights by words of the generator") {
  for (const Case& c : cases)
    for (const double p : {0.3, 1.0})
      check_op(
          "attention with dropout",
          [=](const std::vector<Tensor>& x) {
            Generator generator(9, 100);
            return attend(x, {.dropout_p = p, .scale = 0.5, .generator = &generator});
          },
          [=](const std::vector<Tensor>& x) {
            return reference(x[0], x[1], x[2], {}, 0.5, false,
                             [=](std::int64_t row, std::int64_t j, std::int64_t keys) {
                               const auto group = static_cast<std::uint64_t>(row * ((keys + 3) / 4) + j / 4);
                               const auto word = philox(9, 100 + group)[static_cast<std::size_t>(j % 4)];
                               return static_cast<double>(to_uniform(word)) >= p ? 1 / (1 - p) : 0;
                             });
          },
          inputs_of(c), tolerances);
  Generator generator(1);
  attend(inputs_of({{2}, 3, 5, 4, 4}), {.dropout_p = 0.1, .generator = &generator});
  CHECK(generator.position() == 2 * 3 * 2);
}

TEST_CASE("scaled_dot_product_attention broadcasts, and repeats heads for enable_gqa") {
  Generator generator(3);
  const Tensor q = randn({2, 4, 3, 5}, generator), k = randn({1, 4, 6, 5}, generator),
               v = randn({4, 6, 2}, generator);
  const auto full = [](const Tensor& x, std::int64_t rows, std::int64_t columns) {
    return expand(x.to(f64), {2, 4, rows, columns});
  };
  CHECK(difference(scaled_dot_product_attention(q.to(device()), k.to(device()), v.to(device())),
                   reference(full(q, 3, 5), full(k, 6, 5), full(v, 6, 2), {}, 1 / std::sqrt(5.0), false)) <
        1e-5);
  const Tensor few_k = randn({2, 2, 6, 5}, generator), few_v = randn({2, 2, 6, 3}, generator);
  CHECK(difference(scaled_dot_product_attention(q.to(device()), few_k.to(device()), few_v.to(device()),
                                                {.enable_gqa = true}),
                   reference(q.to(f64), repeat_interleave(few_k, 2, 1).to(f64),
                             repeat_interleave(few_v, 2, 1).to(f64), {}, 1 / std::sqrt(5.0), false)) < 1e-5);
}

TEST_CASE("memory of scaled_dot_product_attention grows linearly with the length") {
  const auto peak = [](std::int64_t length) {
    std::vector<Tensor> x;
    for (int i = 0; i < 3; ++i) x.push_back(randn({1, 2, length, 16}).to(device()).requires_grad_());
    reset_peak_memory_stats(device());
    const std::size_t before = memory_stats(device()).current;
    const Tensor y = attend(x, {.is_causal = true});
    sum(y).backward();
    return static_cast<double>(memory_stats(device()).peak - before);
  };
  const bool emulated = device() != Device::cpu();   // slow
  const std::int64_t length = emulated ? 64 : 1024;  // from here on the keys are cut into as many groups
  const double one = peak(length), four = peak(4 * length);
  CHECK(four < 4.1 * one);
  const auto long_one = static_cast<double>(4 * length);
  if (!emulated) CHECK(four < 0.1 * 2 * 4 * long_one * long_one);  // far below the scores of two heads in f32
}

TEST_CASE("scaled_dot_product_attention has the same bits with any number of threads", "[cpu]") {
  for (const Case& c : {Case{{}, 200, 300, 8, 8}, Case{{3, 7}, 20, 30, 4, 5}})
    CHECK(same_for_any_thread_count([&] {
      auto x = inputs_of(c);
      for (Tensor& one : x) one.requires_grad_();
      const Tensor y = attend(x);
      sum(y * y).backward();
      return std::vector{y.detach(), x[0].grad(), x[1].grad(), x[2].grad()};
    }));
}

TEST_CASE("scaled_dot_product_attention computes only the gradients that are wanted") {
  for (int wanted = 0; wanted < 3; ++wanted) {
    auto x = inputs_of({{2}, 3, 5, 4, 6});
    auto all = inputs_of({{2}, 3, 5, 4, 6});
    for (std::size_t i = 0; i < 3; ++i) {
      x[i] = x[i].to(device()).requires_grad_(static_cast<int>(i) == wanted);
      all[i] = all[i].to(device()).requires_grad_();
    }
    sum(attend(x)).backward();
    sum(attend(all)).backward();
    const auto one = static_cast<std::size_t>(wanted);
    CHECK(x[one].grad().to_vector<float>() == all[one].grad().to_vector<float>());
  }
}

TEST_CASE("scaled_dot_product_attention under autocast is bf16") {
  const auto x = inputs_of({{2}, 3, 5, 4, 6});
  const AutocastGuard autocast(bf16);
  const Tensor y = scaled_dot_product_attention(x[0].to(device()), x[1].to(device()), x[2].to(device()));
  CHECK(y.dtype() == bf16);
}

TEST_CASE("scaled_dot_product_attention refuses what does not fit") {
  const auto with = [](const Shape& q, const Shape& k, const Shape& v, const AttentionOptions& options = {}) {
    return scaled_dot_product_attention(zeros(q), zeros(k), zeros(v), options);
  };
  CHECK_THROWS_WITH(with({2, 3, 4}, {2, 5, 3}, {2, 5, 4}), Contains("queries and keys of one size"));
  CHECK_THROWS_WITH(with({2, 3, 4}, {2, 5, 4}, {2, 6, 4}), Contains("as many keys as values"));
  CHECK_THROWS_WITH(with({4}, {5, 4}, {5, 4}), Contains("at least 2 dimensions"));
  CHECK_THROWS_WITH(with({2, 3, 4}, {3, 5, 4}, {2, 5, 4}), Contains("do not broadcast"));
  CHECK_THROWS_WITH(with({3, 4}, {5, 4}, {5, 4}, {.dropout_p = 1.5}), Contains("dropout_p in [0, 1]"));
  CHECK_THROWS_WITH(with({3, 4}, {5, 4}, {5, 4}, {.attn_mask = zeros({3, 5}), .is_causal = true}),
                    Contains("attn_mask or is_causal, got both"));
  CHECK_THROWS_WITH(with({3, 4}, {5, 4}, {5, 4}, {.attn_mask = zeros({3, 5}, {.dtype = f64})}),
                    Contains("attn_mask of bool or f32"));
  CHECK_THROWS_WITH(with({3, 4}, {5, 4}, {5, 4}, {.attn_mask = zeros({2, 3, 5})}),
                    Contains("that broadcasts to [3, 5]"));
  CHECK_THROWS_WITH(with({2, 3, 3, 4}, {2, 2, 5, 4}, {2, 2, 5, 4}, {.enable_gqa = true}),
                    Contains("query heads divisible by 2"));
  CHECK_THROWS_WITH(scaled_dot_product_attention(zeros({3, 4}), zeros({5, 4}, {.dtype = f64}), zeros({5, 4})),
                    Contains("one dtype"));
  CHECK_THROWS_WITH(scaled_dot_product_attention(zeros({3, 4}, {.dtype = i64}), zeros({5, 4}), zeros({5, 4})),
                    Contains("expects f32, f64 or bf16"));
}
