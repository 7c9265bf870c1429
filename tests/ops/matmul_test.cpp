#include "bf16_check.h"

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/matmul.h>

using namespace karyon;
using namespace karyon::test;

namespace {

Tensor normal(const Shape& shape, std::uint64_t seed = 1, DType dtype = f32) {
  Generator generator(seed);
  return randn(shape, generator, {.dtype = dtype});
}

// Three loops for each matrix of the broadcast batch.
Tensor reference(const std::vector<Tensor>& in) {
  const Tensor &a = in[0], &b = in[1];
  auto batch_of = [](const Tensor& x) {
    return Shape(std::span(x.shape().begin(), static_cast<std::size_t>(x.dim() - 2)));
  };
  Shape shape = broadcast_shapes(batch_of(a), batch_of(b), "reference");
  const std::int64_t m = a.size(-2), k = a.size(-1), n = b.size(-1);
  // Which matrix of x each matrix of the batch reads.
  auto source = [&](const Tensor& x) {
    const Tensor index = arange(batch_of(x).numel(), {.dtype = f64}).reshape(batch_of(x));
    return add(index, zeros(shape, {.dtype = f64})).to_vector<std::int64_t>();
  };
  const auto from_a = source(a), from_b = source(b);
  const auto av = a.to_vector<double>(), bv = b.to_vector<double>();
  std::vector<double> out;
  for (std::size_t i = 0; i < from_a.size(); ++i)
    for (std::int64_t r = 0; r < m; ++r)
      for (std::int64_t c = 0; c < n; ++c) {
        double sum = 0;
        for (std::int64_t j = 0; j < k; ++j)
          sum += av[static_cast<std::size_t>(from_a[i] * m * k + r * k + j)] *
                 bv[static_cast<std::size_t>(from_b[i] * k * n + j * n + c)];
        out.push_back(sum);
      }
  shape.push_back(m);
  shape.push_back(n);
  return tensor(out, shape, {.dtype = f64});
}

}  // namespace

TEST_CASE("matmul and its gradients, batches broadcast in every position") {
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{1, 1}, {1, 1}},
                                                                 {{3, 5}, {5, 7}},
                                                                 {{1, 5}, {5, 1}},
                                                                 {{2, 3, 5}, {5, 2}},
                                                                 {{3, 5}, {2, 5, 2}},
                                                                 {{2, 3, 5}, {2, 5, 2}},
                                                                 {{2, 1, 3, 2}, {3, 2, 2}},
                                                                 {{2, 1, 3, 2}, {1, 3, 2, 2}},
                                                                 {{1, 3, 2}, {2, 2, 3}},
                                                                 {{0, 3}, {3, 2}},
                                                                 {{2, 0}, {0, 3}},
                                                                 {{2, 2, 0}, {0, 3}},
                                                                 {{0, 2, 3}, {3, 2}}})
    check_op("matmul", [](const auto& x) { return matmul(x[0], x[1]); }, reference,
             {normal(a, 1), normal(b, 2)});
}

TEST_CASE("a vector is a row on the left and a column on the right") {
  const auto with = [](const Tensor& x, bool vector, const Shape& shape) {
    return vector ? x.reshape(shape) : x;
  };
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{5}, {5}},
                                                                 {{5}, {5, 3}},
                                                                 {{3, 5}, {5}},
                                                                 {{5}, {2, 5, 3}},
                                                                 {{2, 3, 5}, {5}},
                                                                 {{0}, {0}},
                                                                 {{0}, {0, 2}}}) {
    const bool row = a.dims() == 1, column = b.dims() == 1;
    const std::int64_t k = b[column ? 0 : b.dims() - 2];
    check_op(
        "matmul", [](const auto& x) { return matmul(x[0], x[1]); },
        [&](const auto& x) {
          const Tensor y = reference({with(x[0], row, {1, k}), with(x[1], column, {k, 1})});
          Shape shape;
          for (int d = 0; d < y.dim(); ++d)
            if (!(row && d == y.dim() - 2) && !(column && d == y.dim() - 1)) shape.push_back(y.size(d));
          return y.reshape(shape);
        },
        {normal(a, 1), normal(b, 2)});
  }
}

TEST_CASE("linear and its gradients") {
  for (const Shape& leading : {Shape{}, Shape{1}, Shape{7}, Shape{2, 3}, Shape{0}})
    for (const bool with_bias : {true, false}) {
      Shape shape = leading;
      shape.push_back(5);
      check_op(
          "linear", [](const auto& x) { return linear(x[0], x[1], x[2]); },
          [](const auto& x) {
            const auto xv = x[0].template to_vector<double>(), wv = x[1].template to_vector<double>();
            const auto bv = x[2].defined() ? x[2].template to_vector<double>() : std::vector<double>(3);
            std::vector<double> out;
            for (std::size_t r = 0; r < xv.size() / 5; ++r)
              for (std::size_t o = 0; o < 3; ++o) {
                out.push_back(bv[o]);
                for (std::size_t i = 0; i < 5; ++i) out.back() += xv[r * 5 + i] * wv[o * 5 + i];
              }
            Shape out_shape = x[0].shape();
            out_shape[x[0].dim() - 1] = 3;
            return tensor(out, out_shape, {.dtype = f64});
          },
          {normal(shape, 1), normal({3, 5}, 2), with_bias ? normal({3}, 3) : Tensor()},
          {.parameters_from = 2});
    }
}

TEST_CASE("products larger than a block match the reference with any number of threads") {
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{301, 67}, {67, 131}},
                                                                 {{3, 70}, {70, 1100}},
                                                                 {{5, 131, 20}, {5, 20, 70}},
                                                                 {{3, 50, 30}, {30, 70}},
                                                                 {{1, 4096}, {4096, 33}},
                                                                 {{2, 200, 160}, {2, 160, 100}}}) {
    INFO(a << " and " << b);
    const Tensor x = normal(a, 1), y = normal(b, 2);
    const Tensor expected = reference({x, y});
    CHECK(test::difference(matmul(x, y), expected) <= 1e-5);
    CHECK(test::difference(matmul(x.to(f64), y.to(f64)), reference({x, y})) <= 1e-12);
    CHECK(same_for_any_thread_count([&] { return matmul(x, y); }));
    const auto gradient = [&](DType dtype, bool second) {
      Tensor p = x.to(dtype).detach().requires_grad_(), q = y.to(dtype).detach().requires_grad_();
      matmul(p, q).backward(normal(expected.shape(), 3).to(dtype));
      return second ? q.grad() : p.grad();
    };
    for (const bool second : {false, true}) {
      CHECK(same_for_any_thread_count([&] { return gradient(f32, second); }));
      CHECK(test::difference(gradient(f32, second), gradient(f64, second)) <= 1e-5);
    }
  }
}

TEST_CASE("a large linear layer adds its bias once") {
  const Tensor x = normal({130, 70}, 1), w = normal({64, 70}, 2), b = normal({64}, 3);
  CHECK(test::difference(linear(x, w, b), linear(x.to(f64), w.to(f64), b.to(f64))) <= 1e-5);
}

TEST_CASE("without gradients products keep the weight packed, and follow its changes") {
  Generator generator(6);
  Tensor w = randn({48, 80}, generator).to(device()), t = randn({80, 48}, generator).to(device());
  const std::int64_t rows = GENERATE(67, 2053);  // the second number has no divisor
  const Tensor x = randn({rows, 48}, generator).to(device()), bias = randn({80}, generator).to(device());
  const auto wide = [](const Tensor& on_device) { return on_device.to(Device::cpu()).to(f64); };
  const NoGradGuard no_grad;
  for (int call = 0; call < 6; ++call) {
    CHECK(difference(matmul(x, w), matmul(wide(x), wide(w))) < 1e-5);
    CHECK(difference(linear(x, t, bias), linear(wide(x), wide(t), wide(bias))) < 1e-5);
    if (call == 2) {
      w.mul_(-2);
      t.mul_(0.5);
    }
  }
}

TEST_CASE("only the side that wants a gradient gets one") {
  Tensor w = normal({3, 5}, 2).requires_grad_();
  linear(normal({2, 5}), w).backward(ones({2, 3}));
  CHECK(w.grad().shape() == Shape{3, 5});
  Tensor a = normal({2, 3}).requires_grad_();
  matmul(a, ones({3, 1})).backward(ones({2, 1}));
  CHECK(a.grad().to_vector<float>() == std::vector<float>(6, 1));
}

TEST_CASE("NaN and infinity pass through a product") {
  const auto y = matmul(tensor({NAN, 1, 0, 1}, {2, 2}), ones({2, 1})).to_vector<float>();
  CHECK(std::isnan(y[0]));
  CHECK(y[1] == 1);
  CHECK(matmul(tensor({INFINITY}, {1, 1}), ones({1, 1})).item() == INFINITY);
}

TEST_CASE("matmul misuse") {
  CHECK_THROWS_WITH(matmul(zeros({2, 3}), zeros({4, 2})),
                    Catch::Contains("matmul: [2, 3] has 3 columns, [4, 2] has 4 rows"));
  CHECK_THROWS_WITH(matmul(zeros({}), zeros({3, 2})),
                    Catch::Contains("matmul: expects at least one dimension"));
  CHECK_THROWS_WITH(matmul(zeros({3}), zeros({4})), Catch::Contains("has 3 columns, [4, 1] has 4 rows"));
  CHECK_THROWS_WITH(matmul(zeros({2, 1, 1}), zeros({3, 1, 1})),
                    Catch::Contains("matmul: shapes [2] and [3]"));
  CHECK_THROWS_WITH(matmul(zeros({1, 1}), zeros({1, 1}, {.dtype = f64})),
                    Catch::Contains("matmul: expects one dtype, got f32 and f64"));
  CHECK_THROWS_WITH(matmul(zeros({1, 1}, {.dtype = i64}), zeros({1, 1}, {.dtype = i64})),
                    Catch::Contains("matmul: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(linear(zeros({2, 3}), zeros({4, 2})),
                    Catch::Contains("linear: expects a weight of [out, 3] for x [2, 3], got [4, 2]"));
  CHECK_THROWS_WITH(linear(zeros({2, 3}), zeros({4, 3}), zeros({3})),
                    Catch::Contains("linear: expects a bias of f32 [4], got f32 [3]"));
  CHECK_THROWS_AS(linear(zeros({}), zeros({1, 1})), Error);
}

TEST_CASE("bf16 products", "[cpu]") {
  check_bf16("matmul", [](const auto& in) { return matmul(in[0], in[1]); }, {{{2, 70, 65}}, {{65, 80}}});
  check_bf16("linear", [](const auto& in) { return linear(in[0], in[1], in[2]); },
             {{{9, 33}}, {{17, 33}}, {{17}, f32}});
}
