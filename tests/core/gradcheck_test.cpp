// The checker of gradients can fail, and says where.
#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/core/gradcheck.h>
#include <karyon/core/ops/elementwise.h>

using namespace karyon;
using Catch::Contains;

namespace {

// x^2, whose gradient in the second element is wrong by `fault`.
Tensor square(const Tensor& x, double fault) {
  return record("square", mul(x.detach(), x.detach()), {x}, [x = x.detach(), fault](const Tensor& dy) {
    Tensor dx = mul(mul(x, 2), dy).detach().clone();
    dx.data<double>()[1] *= 1 + fault;
    return std::vector{dx};
  });
}

}  // namespace

TEST_CASE("gradcheck: a gradient that is wrong in one element is found, and named") {
  const std::vector<Tensor> inputs{{}, tensor({1, 2}, {.dtype = i64}), tensor({1.5, -2, 3})};
  const auto check_with = [&](double fault) {
    return gradcheck([&](const std::vector<Tensor>& in) { return square(in[2], fault); }, inputs);
  };
  const GradcheckResult right = check_with(0);
  CHECK(right.ok);
  CHECK(right.message.empty());
  CHECK(right.worst < 1e-6);
  for (const double fault : {1e-3, -1.0}) {
    const GradcheckResult wrong = check_with(fault);
    CHECK_FALSE(wrong);
    CHECK(wrong.worst > 1e-4);
    CHECK_THAT(wrong.message, Contains("input 2 [3], element 1: backward gives") && Contains("differences"));
  }
}

TEST_CASE("gradcheck: what leaves f64 cannot be checked") {
  CHECK_THROWS_WITH(gradcheck([](const std::vector<Tensor>& in) { return in[0].to(f32); }, {ones({2})}),
                    Contains("expects f to give f64 for f64 inputs, got f32"));
}
