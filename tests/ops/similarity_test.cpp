#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/similarity.h>

#include "losses.h"

using namespace karyon;
using namespace karyon::test;

namespace {

double cosine_of(const std::vector<double>& a, const std::vector<double>& b, std::size_t row, std::size_t n) {
  double both = 0, aa = 0, bb = 0;
  for (std::size_t i = row * n; i < (row + 1) * n; ++i) {
    both += a[i] * b[i];
    aa += a[i] * a[i];
    bb += b[i] * b[i];
  }
  return both / std::sqrt(aa * bb);
}

}  // namespace

TEST_CASE("cosine_similarity of rows and columns, which broadcast") {
  for (const Shape& shape : {Shape{7}, Shape{3, 5}, Shape{2, 3, 17}, Shape{4, 1}})
    check_op(
        "cosine_similarity", [](const auto& x) { return cosine_similarity(x[0], x[1]); },
        [&](const auto& x) {
          const auto a = x[0].template to_vector<double>(), b = x[1].template to_vector<double>();
          Shape rows;
          for (int d = 0; d + 1 < shape.dims(); ++d) rows.push_back(shape[d]);
          std::vector<double> out;
          for (std::int64_t i = 0; i < rows.numel(); ++i)
            out.push_back(cosine_of(a, b, static_cast<std::size_t>(i),
                                    static_cast<std::size_t>(shape[shape.dims() - 1])));
          return tensor(out, rows, {.dtype = f64});
        },
        {random(shape, 1), random(shape, 2)}, {.bf16_gradient_tolerance = 0.05});
  const Tensor a = tensor({1, 0, 0, 2, 3, 4}, {2, 3}), b = tensor({5, 0, 0}, {1, 3});
  CHECK(difference(cosine_similarity(a, b), tensor({1, 2 / std::sqrt(29.0)})) < 1e-6);
  CHECK(difference(cosine_similarity(a, a, {.dim = 0}), ones({3})) < 1e-6);
  CHECK(cosine_similarity(tensor(2.0), tensor(-3.0), {.dim = 0}).item() == Approx(-1));
  Tensor nothing = zeros({2, 3}).requires_grad_();
  const Tensor y = cosine_similarity(nothing, a);
  CHECK(y.to_vector<float>() == std::vector<float>{0, 0});
  y.backward(ones({2}));
  CHECK(isfinite(nothing.grad()).to_vector<bool>()[0]);
  CHECK_THROWS_WITH(cosine_similarity(a, zeros({2})), Catch::Contains("cosine_similarity: shapes"));
  CHECK_THROWS_WITH(cosine_similarity(arange(3), arange(3)),
                    "cosine_similarity: expects f32, f64 or bf16, got i64");
  CHECK_THROWS_WITH(cosine_similarity(a, a, {.dim = 2}), Catch::Contains("cosine_similarity"));
}

TEST_CASE("cosine_embedding_loss") {
  for (const Shape& rows : {Shape{}, Shape{1}, Shape{13}})
    for (const double margin : {0.0, 0.3, -0.5})
      for (const Reduction reduction : reductions) {
        Shape shape = rows;
        shape.push_back(5);
        Tensor t = empty(rows, {.dtype = i64});
        for (std::int64_t i = 0; i < t.numel(); ++i) t.data<std::int64_t>()[i] = i % 3 == 0 ? 1 : -1;
        check_op(
            "cosine_embedding_loss",
            [&](const auto& x) {
              return cosine_embedding_loss(x[0], x[1], there(t, x[0]),
                                           {.margin = margin, .reduction = reduction});
            },
            [&](const auto& x) {
              const auto a = x[0].template to_vector<double>(), b = x[1].template to_vector<double>();
              std::vector<double> losses;
              for (std::size_t i = 0; i < a.size() / 5; ++i) {
                const double cosine = cosine_of(a, b, i, 5);
                losses.push_back(i % 3 == 0 ? 1 - cosine : std::max(0.0, cosine - margin));
              }
              return reduced(losses, rows, reduction, static_cast<double>(losses.size()));
            },
            {random(shape, 1), random(shape, 2)},
            {.bf16_forward_tolerance = 0.01, .bf16_gradient_tolerance = 0.05});
      }
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH(
      cosine_embedding_loss(x, x, zeros({3})),
      "cosine_embedding_loss: expects two inputs [..., D] and a target [...], got [2, 3], [2, 3] and [3]");
}
