#include <catch2/catch.hpp>

#include <karyon/core/ops/dropout.h>

#include "bf16_check.h"

using namespace karyon;
using namespace karyon::test;

TEST_CASE("dropout takes element i's mask from word i % 4 of the generator's group i / 4") {
  for (const Shape& shape : {Shape{3, 7}, Shape{1}, Shape{2, 3, 5, 4}, Shape{5}})
    for (double p : {0.1, 0.5, 0.75}) {
      Generator values(1);
      check_op(
          "dropout",
          [&](const std::vector<Tensor>& x) {
            Generator generator(9, 1000);
            return dropout(x[0], p, true, generator);
          },
          [&](const std::vector<Tensor>& x) {
            Tensor y = x[0].clone();
            for (std::int64_t i = 0; i < y.numel(); ++i) {
              const std::uint32_t word =
                  philox(9, 1000 + static_cast<std::uint64_t>(i) / 4)[static_cast<std::size_t>(i % 4)];
              y.data<double>()[i] *= static_cast<double>(to_uniform(word)) >= p ? 1 / (1 - p) : 0;
            }
            return y;
          },
          {randn(shape, values)});
    }
}

TEST_CASE("dropout moves the generator on, keeps the mean and drops a share p") {
  Generator generator(4);
  const Tensor x = ones({100001});
  const auto a = dropout(x, 0.3, true, generator).to_vector<double>();
  CHECK(generator.position() == 25001);
  const auto b = dropout(x, 0.3, true, generator).to_vector<double>();
  double kept = 0, both = 0, off = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    kept += a[i] > 0;
    both += a[i] > 0 && b[i] > 0;
    if (a[i] > 0) off = std::max(off, std::abs(a[i] - 1 / 0.7));
  }
  CHECK(off < 1e-6);
  CHECK(kept / 100001 == Approx(0.7).margin(0.01));
  CHECK(both / 100001 == Approx(0.49).margin(0.01));
}

TEST_CASE("dropout's ends: evaluation, p = 0 and p = 1") {
  Generator generator(4);
  Tensor x = ones({8}).requires_grad_();
  CHECK(dropout(x, 0.5, false, generator).data_ptr() == x.data_ptr());
  CHECK(dropout(x, 0, true, generator).data_ptr() == x.data_ptr());
  CHECK(generator.position() == 0);
  const Tensor none = dropout(x, 1, true, generator);
  CHECK(none.to_vector<float>() == std::vector<float>(8, 0));
  none.backward(ones({8}));
  CHECK(x.grad().to_vector<float>() == std::vector<float>(8, 0));
  CHECK(dropout(zeros({0, 3}), 0.5, true, generator).shape() == Shape{0, 3});
  CHECK_THROWS_WITH(dropout(x, 1.5), Catch::Contains("dropout: expects p in [0, 1], got 1.5"));
  CHECK_THROWS_WITH(dropout(x, NAN), Catch::Contains("got nan"));
  CHECK_THROWS_WITH(dropout(x.to(i64)), Catch::Contains("f32, f64 or bf16, got i64"));
}

TEST_CASE("dropout gives the same bits with any number of threads") {
  CHECK(same_for_any_thread_count([] {
    Generator generator(5);
    Tensor x = ones({3, 50021}).requires_grad_();
    const Tensor y = dropout(x, 0.4, true, generator);
    y.backward(ones(y.shape()));
    CHECK(y.to_vector<float>() == x.grad().to_vector<float>());
    return y;
  }));
}

TEST_CASE("bf16 dropout keeps what f32 keeps", "[cpu]") {
  Generator generator(1), again(1);
  const Tensor x = ones({1000}, {.dtype = bf16});
  CHECK(relative_error(dropout(x, 0.25, true, generator), dropout(x.to(f64), 0.25, true, again)) <
        rounded_once);
}
