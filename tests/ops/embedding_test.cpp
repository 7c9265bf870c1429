#include <catch2/catch.hpp>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/embedding.h>
#include <karyon/core/ops/reduce.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

Tensor numbers(const Shape& shape, std::int64_t below, std::uint64_t seed = 4) {
  Generator generator(seed);
  std::vector<std::int64_t> values;
  for (std::int64_t i = 0; i < shape.numel(); ++i) values.push_back(generator.below(below));
  return tensor(values, shape);
}

}  // namespace

TEST_CASE("embedding takes rows of its table over odd shapes") {
  Generator generator(1);
  for (const auto& [shape, rows, size] : std::vector<std::tuple<Shape, std::int64_t, std::int64_t>>{
           {{5}, 3, 4}, {{2, 7}, 9, 33}, {{}, 1, 1}, {{2, 3, 4}, 2, 5}, {{0, 3}, 4, 2}})
    check_op(
        "embedding", [](const std::vector<Tensor>& x) { return embedding(x[1], x[0]); },
        [](const std::vector<Tensor>& x) {
          const auto table = x[0].to_vector<double>();
          const auto at = x[1].to_vector<std::int64_t>();
          const std::int64_t n = x[0].size(1);
          std::vector<double> y;
          for (const std::int64_t row : at)
            for (std::int64_t i = 0; i < n; ++i) y.push_back(table[static_cast<std::size_t>(row * n + i)]);
          Shape result = x[1].shape();
          result.push_back(n);
          return tensor(y, result, {.dtype = f64});
        },
        {randn({rows, size}, generator), numbers(shape, rows)});
}

TEST_CASE("embedding: the row of padding has no gradient, and equal indices add up in order") {
  for (const std::int64_t padding : {1, -3}) {
    Tensor weight = ones({4, 2}).to(device()).requires_grad_();
    const Tensor at = tensor<std::int64_t>({1, 0, 3, 0, 1}).to(device());
    sum(embedding(at, weight, {.padding_idx = padding})).backward();
    CHECK(weight.grad().to_vector<double>() == std::vector<double>{2, 2, 0, 0, 0, 0, 1, 1});
  }
  CHECK(same_for_any_thread_count([] {
    Generator generator(1);
    Tensor weight = randn({17, 9}, generator).requires_grad_();
    const Tensor y = embedding(numbers({40, 50}, 17), weight);
    sum(y * randn(y.shape(), generator)).backward();
    return std::vector{weight.grad()};
  }));
}

TEST_CASE("embedding and one_hot refuse what does not fit") {
  const Tensor weight = ones({4, 2});
  CHECK_THROWS_WITH(embedding(tensor<std::int64_t>({4}), weight), Contains("index 4 is out of range"));
  CHECK_THROWS_WITH(embedding(tensor<std::int64_t>({-1}), weight), Contains("index -1 is out of range"));
  CHECK_THROWS_WITH(embedding(tensor({1.0F}), weight), Contains("an index of i64"));
  CHECK_THROWS_WITH(embedding(tensor<std::int64_t>({0}), ones({4})), Contains("a weight of [V, D]"));
  CHECK_THROWS_WITH(embedding(tensor<std::int64_t>({0}), weight, {.padding_idx = 4}),
                    Contains("padding_idx inside the 4 rows, got 4"));
  CHECK_THROWS_WITH(one_hot(tensor<std::int64_t>({0, -2})), Contains("at least 0, got -2"));
  CHECK_THROWS_WITH(one_hot(tensor<std::int64_t>({0, 3}), 3), Contains("below 3, got 3"));
  CHECK_THROWS_WITH(one_hot(tensor({1.0F})), Contains("expects i64"));
  CHECK_THROWS_WITH(one_hot(zeros({0}, {.dtype = i64})), Contains("num_classes for nothing"));
  CHECK_THROWS_WITH(one_hot(tensor<std::int64_t>({0}), -2), Contains("at least -1, got -2"));
}

TEST_CASE("one_hot is 1 at the place that each number names") {
  const Tensor x = tensor<std::int64_t>({0, 2, 1, 2}, {2, 2}).to(device());
  const Tensor y = one_hot(x);
  CHECK(y.shape() == Shape{2, 2, 3});
  CHECK(y.dtype() == i64);
  CHECK(y.to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 0, 0, 0, 0, 1, 0, 1, 0, 0, 0, 1});
  CHECK(one_hot(x, 5).shape() == Shape{2, 2, 5});
  CHECK(one_hot(tensor<std::int64_t>(1).to(device()), 2).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 1});
  CHECK(one_hot(zeros({0}, {.dtype = i64}).to(device()), 4).shape() == Shape{0, 4});
}
