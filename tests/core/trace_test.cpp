#include <catch2/catch.hpp>

#include <karyon/karyon.h>

using namespace karyon;
using Catch::Contains;

TEST_CASE("Under a TraceGuard nodes keep options and constants; else they do not") {
  const Tensor x = randn({2, 3}).requires_grad_(), constant = randn({2, 3});
  CHECK(softmax(x, -1).node()->trace == nullptr);
  const TraceGuard guard;
  const Tensor y = softmax(x, -1);
  REQUIRE(y.node()->trace != nullptr);
  CHECK(std::get<std::int64_t>(y.node()->trace->options.at("dim")) == 1);
  const Tensor sum = x + constant;
  REQUIRE(sum.node()->trace->constants.size() == 2);
  CHECK_FALSE(sum.node()->trace->constants[0].defined());
  CHECK(all(eq(sum.node()->trace->constants[1], constant)).item<bool>());
  CHECK(sum.node()->trace->options.empty());
}

TEST_CASE("Under a TraceGuard a composed operation is one node, without a gradient") {
  const Tensor x = randn({1, 4, 4, 8}).requires_grad_();
  const Tensor expected = pixel_shuffle(x, 2);
  const TraceGuard guard;
  const Tensor y = pixel_shuffle(x, 2);
  CHECK(all(eq(y, expected)).item<bool>());
  CHECK(std::string(y.node()->name) == "pixel_shuffle");
  CHECK(y.node()->edges.size() == 1);
  CHECK_THROWS_WITH(sum(y).backward(), Contains("recorded under a TraceGuard"));
}
