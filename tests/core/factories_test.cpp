#include <catch2/catch.hpp>

#include <karyon/core/factories.h>

using namespace karyon;
using Catch::Contains;

namespace {
using Floats = std::vector<float>;
using Wholes = std::vector<std::int64_t>;
}  // namespace

TEST_CASE("arange counts from start to end") {
  CHECK(arange(2, 5).dtype() == i64);
  CHECK(arange(2, 5).to_vector<std::int64_t>() == Wholes{2, 3, 4});
  CHECK(arange(7, 0, -3).to_vector<std::int64_t>() == Wholes{7, 4, 1});
  CHECK(arange(0, 7, 3).to_vector<std::int64_t>() == Wholes{0, 3, 6});
  CHECK(arange(0, 6, 3).to_vector<std::int64_t>() == Wholes{0, 3});
  CHECK(arange(3, 3).shape() == Shape{0});
  CHECK(arange(0, 3, 1, {.dtype = f32}).to_vector<float>() == Floats{0, 1, 2});
  CHECK(arange(0, 3, {.dtype = f64}).dtype() == f64);
  CHECK(arange(3).to_vector<std::int64_t>() == Wholes{0, 1, 2});
  CHECK(arange(3, {.dtype = f32}).dtype() == f32);
  const std::int64_t large = std::int64_t{1} << 60;
  CHECK(arange(large + 1, large + 3).to_vector<std::int64_t>() == Wholes{large + 1, large + 2});
  CHECK(arange(INT64_MIN, INT64_MAX, INT64_MAX).to_vector<std::int64_t>() ==
        Wholes{INT64_MIN, -1, INT64_MAX - 1});
  CHECK(arange(INT64_MAX, INT64_MIN, INT64_MIN).to_vector<std::int64_t>() == Wholes{INT64_MAX, -1});

  CHECK(arange(0.0, 1.0, 0.25).dtype() == f32);
  CHECK(arange(0, 1, 0.25).to_vector<float>() == Floats{0, 0.25f, 0.5f, 0.75f});
  CHECK(arange(1.0, 2.5).to_vector<float>() == Floats{1, 2});
  CHECK(arange(1, 0, -0.5, {.dtype = f64}).to_vector<double>() == std::vector<double>{1, 0.5});

  CHECK_THROWS_WITH(arange(0, 3, {.dtype = boolean}), Contains("got bool"));
  CHECK_THROWS_WITH(arange(0, 3, 0), Contains("a step other than 0"));
  CHECK_THROWS_WITH(arange(3, 0), Contains("a step towards the end, got 3 to 0 by 1"));
  CHECK_THROWS_WITH(arange(0.0, 1.0, -0.5), Contains("a step towards the end"));
  CHECK_THROWS_WITH(arange(0.0, INFINITY), Contains("expects finite numbers"));
  CHECK_THROWS_WITH(arange(0.0, 1e300), Contains("too long"));
  CHECK_THROWS_WITH(arange(INT64_MIN, INT64_MAX), Contains("too long"));
}

TEST_CASE("linspace meets both ends") {
  CHECK(linspace(0, 1, 5).to_vector<float>() == Floats{0, 0.25f, 0.5f, 0.75f, 1});
  CHECK(linspace(3, -3, 3).to_vector<float>() == Floats{3, 0, -3});
  CHECK(linspace(2, 5, 1).to_vector<float>() == Floats{2});
  CHECK(linspace(2, 5, 0).shape() == Shape{0});
  const auto thirds = linspace(0.1, 0.7, 100, {.dtype = f64}).to_vector<double>();
  CHECK(thirds.front() == 0.1);
  CHECK(thirds.back() == 0.7);
  CHECK(linspace(0, 1, 3, {.dtype = bf16}).dtype() == bf16);
  CHECK_THROWS_WITH(linspace(0, 1, -1), Contains("steps of at least 0, got -1"));
  CHECK_THROWS_WITH(linspace(0, 1, 2, {.dtype = i64}), Contains("expects f32, f64, bf16 or f16, got i64"));
}

TEST_CASE("eye has ones on the diagonal") {
  CHECK(eye(2).to_vector<float>() == Floats{1, 0, 0, 1});
  CHECK(eye(2, 3).to_vector<float>() == Floats{1, 0, 0, 0, 1, 0});
  CHECK(eye(2, 1, {.dtype = i64}).to_vector<std::int64_t>() == Wholes{1, 0});
  CHECK(eye(2, {.dtype = bf16}).dtype() == bf16);
  CHECK(eye(0).shape() == Shape{0, 0});
  CHECK_THROWS_WITH(eye(-1), Contains("sizes of at least 0, got -1"));
}

TEST_CASE("tensors like another have its shape and dtype") {
  const Tensor x = zeros({2, 3}, {.dtype = f64});
  CHECK(full_like(x, 2.5).to_vector<double>() == std::vector<double>(6, 2.5));
  CHECK(full_like(x.to(i64), 7).to_vector<std::int64_t>() == Wholes(6, 7));
  Generator a(3), b(3);
  CHECK(rand_like(x, a).to_vector<double>() == rand({2, 3}, b, {.dtype = f64}).to_vector<double>());
  CHECK(randn_like(x, a).to_vector<double>() == randn({2, 3}, b, {.dtype = f64}).to_vector<double>());
  CHECK_THROWS_WITH(rand_like(x.to(i64)), Contains("expects f32 or f64, got i64"));
}
