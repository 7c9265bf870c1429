// The kernel of matrix products, in the forms that no operation asks for.
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/random.h>

#include <catch2/catch.hpp>
#include <vector>

#include "op_check.h"

using namespace karyon;

TEST_CASE("the kernel of products takes either side transposed, and adds to what is there") {
  constexpr std::int64_t m = 13, n = 9, k = 11;
  const DType dtype = GENERATE(f32, f64, bf16);
  const bool transpose_a = GENERATE(false, true), transpose_b = GENERATE(false, true),
             accumulate = GENERATE(false, true);
  INFO(dtype << ", transposed " << transpose_a << transpose_b << ", accumulated " << accumulate);
  Generator generator(5);
  const Tensor a = randn(transpose_a ? Shape{k, m} : Shape{m, k}, generator).to(dtype),
               b = randn(transpose_b ? Shape{n, k} : Shape{k, n}, generator).to(dtype);
  Tensor y = randn({m, n}, generator).to(dtype);
  const auto left = a.to_vector<double>(), right = b.to_vector<double>();
  std::vector<double> expected = accumulate ? y.to_vector<double>() : std::vector<double>(m * n);
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j)
      for (std::int64_t s = 0; s < k; ++s)
        expected[static_cast<std::size_t>(i * n + j)] +=
            left[static_cast<std::size_t>(transpose_a ? s * m + i : i * k + s)] *
            right[static_cast<std::size_t>(transpose_b ? j * k + s : s * n + j)];
  kernels::matmul(transpose_a, transpose_b, accumulate, a, b, y);
  const Tensor reference = tensor(expected, {m, n}, {.dtype = f64});
  CHECK(test::difference(y, reference) < (dtype == bf16 ? 0.02 : dtype == f32 ? 1e-5 : 1e-12));
}
