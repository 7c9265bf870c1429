// Products of small matrices.
#include <karyon/core/cpu/simd/product.h>
#include <karyon/core/random.h>

#include <catch2/catch.hpp>
#include <vector>

#include "op_check.h"

using namespace karyon;

namespace {

// c [m, n] with rows of n + 1 elements, whose last is not touched.
template <class T>
void check_product(std::int64_t m, std::int64_t n, std::int64_t depth, bool transposed, bool add) {
  INFO(m << " x " << n << " x " << depth << ", transposed " << transposed << ", added " << add);
  Generator generator(3);
  const DType dtype = dtype_of<T>;
  const Tensor a = randn({m, depth}, generator).to(dtype), b = randn({depth, n}, generator).to(dtype);
  Tensor c = randn({m, n + 1}, generator).to(dtype);
  auto expected = c.to_vector<double>();
  const auto left = a.to_vector<double>(), right = b.to_vector<double>();
  for (std::int64_t i = 0; i < m; ++i)
    for (std::int64_t j = 0; j < n; ++j) {
      double& sum = expected[static_cast<std::size_t>(i * (n + 1) + j)];
      if (!add) sum = 0;
      for (std::int64_t k = 0; k < depth; ++k)
        sum += left[static_cast<std::size_t>(transposed ? k * m + i : i * depth + k)] *
               right[static_cast<std::size_t>(k * n + j)];
    }
  cpu::multiply(cpu::Product<T>{
      .m = m,
      .n = n,
      .depth = depth,
      .a = transposed ? cpu::Strided<T>{a.data<T>(), 1, m} : cpu::Strided<T>{a.data<T>(), depth},
      .b = b.data<T>(),
      .b_row = n,
      .c = c.data<T>(),
      .c_row = n + 1,
      .add = add});
  CHECK(test::difference(c, tensor(expected, {m, n + 1}, {.dtype = f64})) < (dtype == f32 ? 1e-5 : 1e-12));
}

}  // namespace

TEST_CASE("small products over odd sizes, either side of a vector") {
  for (const std::int64_t m : {1, 2, 5, 6, 7, 13})
    for (const std::int64_t n : {1, 3, 4, 7, 8, 9, 16, 17, 31, 32, 33, 50})
      for (const std::int64_t depth : {0, 1, 9})
        for (const bool transposed : {false, true})
          for (const bool add : {false, true}) {
            check_product<float>(m, n, depth, transposed, add);
            check_product<double>(m, n, depth, transposed, add);
          }
}
