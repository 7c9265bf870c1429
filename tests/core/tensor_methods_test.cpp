#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/scan.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/ops/statistics.h>
#include <karyon/core/random.h>
#include <karyon/core/version.h>

using namespace karyon;
using Catch::Contains;

namespace {
void same(const Tensor& a, const Tensor& b) {
  CHECK(a.shape() == b.shape());
  CHECK(a.dtype() == b.dtype());
  CHECK(a.to_vector<double>() == b.to_vector<double>());
}
}  // namespace

TEST_CASE("tensor methods are the free functions") {
  const Tensor x = rand({3, 4, 5}), w = randn({5, 2});
  same(x.sum(), sum(x));
  same(x.sum({0, 2}, true), sum(x, {0, 2}, true));
  same(x.mean({1}), mean(x, {1}));
  same(x.max({-1}), max(x, {-1}));
  same(amax(x, {-1}, true), max(x, {-1}, true));
  same(x.min({-1}), min(x, {-1}));
  same(x.prod({0, 1}), prod(x, {0, 1}));
  same(x.norm(), norm(x));
  same(x.norm(1, {2}, true), norm(x, 1, {2}, true));
  same(x.argmax(1), argmax(x, 1));
  same(x.argmin(1), argmin(x, 1));
  same(x.any({1}), any(x, {1}));
  same(x.all(), all(x));
  same(x.cumsum(1), cumsum(x, 1));
  same(x.exp(), exp(x));
  same(x.log(), log(x));
  same(x.sqrt(), sqrt(x));
  same((x - 0.5).abs(), abs(x - 0.5));
  same(x.pow(3), pow(x, 3));
  same(x.pow(x), pow(x, x));
  same((x - 0.5).relu(), relu(x - 0.5));
  same(x.sigmoid(), sigmoid(x));
  same(x.softmax(1), softmax(x, 1));
  same(x.matmul(w), matmul(x, w));
  same(x.permute({2, 0, 1}), permute(x, {2, 0, 1}));
  same(x.transpose(0, -1), transpose(x, 0, 2));
  same(x.unsqueeze(-1), unsqueeze(x, 3));
  same(x.unsqueeze(0).unsqueeze(0).squeeze(), x);
  same(x.unsqueeze(1).squeeze(1), x);
  same(x.flatten(), flatten(x));
  same(x.flatten(1, 2), flatten(x, 1, 2));
  same(x.expand({2, -1, 4, 5}), expand(x, {2, 3, 4, 5}));
  same(x.repeat({2, 1, 3}), repeat(x, {2, 1, 3}));
  same(x.flip({0, 2}), flip(x, {0, 2}));
  same(x.cpu(), x);
  Tensor leaf = rand({3}).requires_grad_();
  (leaf * leaf).sum().backward();
  same(leaf.grad(), leaf.detach() * 2.0);
}

TEST_CASE("tensor methods: x[i] is a slice in the memory of x") {
  Tensor x = arange(24, {.dtype = f32}).reshape({2, 3, 4});
  CHECK(x[1].shape() == Shape{3, 4});
  CHECK(x[1][2][3].item() == 23);
  CHECK(x[-1][0].to_vector<float>() == std::vector<float>{12, 13, 14, 15});
  x[0][1] += 100.0;
  CHECK(x[0][1].to_vector<float>() == std::vector<float>{104, 105, 106, 107});
  CHECK(x[0][2].to_vector<float>() == std::vector<float>{8, 9, 10, 11});
  CHECK_THROWS_WITH(x[2], Contains("select: index 2 of dimension 0 of [2, 3, 4]"));
  CHECK_THROWS_AS(x[0][0][0][0], Error);
  x.requires_grad_();
  x[1].sum().backward();
  CHECK(x.grad()[0].sum().item() == 0);
  CHECK(x.grad()[1].sum().item() == 12);
}

TEST_CASE("tensor methods: assignment changes the memory") {
  Tensor x = tensor({1, 2, 3, 4}, {2, 2});
  const Tensor handle = x;
  x += tensor({10, 20, 30, 40}, {2, 2});
  x -= tensor({1, 2});  // broadcast
  CHECK(handle.to_vector<float>() == std::vector<float>{10, 20, 32, 42});
  x *= tensor({2, 3});
  x /= tensor({10, 2});
  CHECK(handle.to_vector<float>() == std::vector<float>{2, 30, 6.4f, 63});
  x += 1;
  x -= 0.5;
  x *= 4;
  x /= 2;
  CHECK(handle.to_vector<float>() == std::vector<float>{5, 61, 13.8f, 127});
  Tensor counts = arange(3);
  counts += ones_like(counts);
  counts -= 2;
  CHECK(counts.to_vector<std::int64_t>() == std::vector<std::int64_t>{-1, 0, 1});
  Tensor truths = ones({2}, {.dtype = boolean});
  CHECK_THROWS_WITH(truths -= ones({2}, {.dtype = boolean}), Contains("sub: expects f32"));
  CHECK_THROWS_WITH(x += zeros({3, 2, 2}), Contains("expects shape [2, 2]"));
  Tensor leaf = ones({2}).requires_grad_();
  CHECK_THROWS_WITH(leaf += 1, Contains("requires a gradient"));
  CHECK_THROWS_WITH(x *= leaf, Contains("requires a gradient"));
  const NoGradGuard no_grad;
  leaf -= 0.25;
  CHECK(leaf.requires_grad());
  CHECK(leaf.to_vector<float>() == std::vector<float>{0.75, 0.75});
}

TEST_CASE("the version is three numbers") {
  CHECK_THAT(version(), Catch::Matches("[0-9]+\\.[0-9]+\\.[0-9]+"));
}
