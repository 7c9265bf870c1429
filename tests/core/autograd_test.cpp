#include <catch2/catch.hpp>
#include <thread>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/random.h>

using namespace karyon;

namespace {
// A minimal operation of our own, as a user would write one.
Tensor twice(const Tensor& x) {
  Tensor y = x.detach().clone();
  y.mul_(2);
  return record("twice", y, {x}, [](const Tensor& dy) {
    Tensor dx = dy.clone();
    dx.mul_(2);
    return std::vector{dx};
  });
}
Tensor plus(const Tensor& a, const Tensor& b) {
  Tensor y = a.detach().clone();
  y.add_(b.detach());
  return record("plus", y, {a, b}, [](const Tensor& dy) { return std::vector{dy, dy}; });
}
Tensor squared(const Tensor& x) {
  Tensor y = x.detach().clone();
  for (std::int64_t i = 0; i < y.numel(); ++i) y.data<float>()[i] *= y.data<float>()[i];
  return record("square", y, {x}, [x = SavedTensor(x)](const Tensor& dy) {
    Tensor dx = dy.clone();
    for (std::int64_t i = 0; i < dx.numel(); ++i) dx.data<float>()[i] *= 2 * x.get().data<float>()[i];
    return std::vector{dx};
  });
}
using Floats = std::vector<float>;
}  // namespace

TEST_CASE("a diamond sums the gradients of every path") {
  Tensor x = tensor({1, 2}).requires_grad_();
  const Tensor a = twice(x), b = plus(a, a), c = plus(b, a);
  c.backward(tensor({1, 10}));
  CHECK(x.grad().to_vector<float>() == Floats{6, 60});
}

TEST_CASE("gradients accumulate over backward calls, in memory of their own") {
  Tensor x = tensor({1, 2}).requires_grad_();
  const Tensor seed = tensor({1, 1});
  plus(x, x).backward(seed);
  plus(x, x).backward(seed);
  CHECK(x.grad().to_vector<float>() == Floats{4, 4});
  CHECK(seed.to_vector<float>() == Floats{1, 1});
  const Tensor held = x.grad();
  twice(x).backward(seed);
  CHECK(held.to_vector<float>() == Floats{4, 4});
  CHECK(x.grad().to_vector<float>() == Floats{6, 6});
}

TEST_CASE("a graph of 200,000 nodes runs backward, and dies undone, without recursion") {
  Tensor x = tensor({1}).requires_grad_();
  Tensor y = x;
  for (int i = 0; i < 200000; ++i) y = plus(y, x);
  y.backward();
  CHECK(x.grad().item() == 200001);
  for (int i = 0; i < 200000; ++i) y = i == 0 ? twice(x) : plus(y, x);
  y = Tensor();
  SUCCEED();
}

TEST_CASE("the graph is freed as it is walked and cannot be walked twice") {
  Tensor x = tensor({3}).requires_grad_();
  const Tensor y = squared(x);
  y.backward();
  CHECK(x.grad().item() == 6);
  CHECK_THROWS_AS(y.backward(), Error);
}

TEST_CASE("detach, NoGradGuard and leaves that want nothing cut the graph") {
  Tensor x = tensor({3}).requires_grad_();
  CHECK_FALSE(twice(x.detach()).requires_grad());
  {
    const NoGradGuard guard;
    CHECK_FALSE(twice(x).requires_grad());
  }
  CHECK(twice(x).requires_grad());
  CHECK_FALSE(twice(tensor({1})).requires_grad());
  CHECK_THROWS_WITH(tensor({1}).backward(), Catch::Contains("computed under a NoGradGuard, or from"));
}

TEST_CASE("hooks see whole gradients and may replace them") {
  Tensor x = tensor({1}).requires_grad_();
  Tensor y = twice(x);
  std::vector<float> seen;
  y.register_hook([&](const Tensor& g) {
    seen.push_back(g.item());
    return full({1}, 5);
  });
  x.register_hook([&](const Tensor& g) {
    seen.push_back(g.item());
    return Tensor();
  });
  y.retain_grad();
  y.retain_grad();  // once is enough
  plus(plus(y, y), x).backward();
  CHECK(seen == std::vector<float>{2, 11});
  CHECK(x.grad().item() == 11);
  CHECK(y.grad().item() == 5);
}

TEST_CASE("a saved tensor changed in place is an error, not a wrong gradient") {
  Tensor x = tensor({3}).requires_grad_();
  const Tensor y = squared(x);
  {
    const NoGradGuard guard;
    x.add_(tensor({1}));
  }
  CHECK_THROWS_WITH(y.backward(), Catch::Contains("changed in place"));
  CHECK_THROWS_AS(x.add_(tensor({1})), Error);
}

TEST_CASE("what can be made again is not kept: batch norm with ReLU before a convolution") {
  Generator generator(8);
  const Tensor x0 = randn({4, 64, 64, 16}, generator), w0 = randn({8, 1, 1, 16}, generator);
  auto run = [&](bool keep, std::size_t* held) {
    Tensor x = x0.clone().requires_grad_(), w = w0.clone().requires_grad_(),
           gamma = ones({16}).requires_grad_();
    const std::size_t before = memory_stats().current;
    Tensor z = batch_norm(x, gamma, {}, {}, {}, {.training = true, .relu = true});
    if (keep) z = z + 0.0;  // an operation that offers nothing
    const Tensor y = conv2d(z, w);
    z = Tensor();
    *held = memory_stats().current - before;
    y.backward(y.detach());
    return std::vector{x.grad().to_vector<float>(), w.grad().to_vector<float>(),
                       gamma.grad().to_vector<float>()};
  };
  std::size_t without = 0, with = 0;
  CHECK(run(false, &without) == run(true, &with));
  CHECK(without + x0.numel() * sizeof(float) <= with);
}

TEST_CASE("what was changed in place is kept as it was changed, not made again") {
  Generator generator(9);
  const Tensor x = randn({8, 3}, generator).requires_grad_();
  Tensor z = batch_norm(x, {}, {}, {}, {}, {.training = true, .relu = true});
  {
    const NoGradGuard no_grad;
    z.fill_(2);
  }
  Tensor w = ones({3}).requires_grad_();
  (z * w).backward(ones({8, 3}));
  CHECK(w.grad().to_vector<float>() == std::vector<float>{16, 16, 16});
}

TEST_CASE("errors name what was expected") {
  Tensor x = tensor({1, 2}).requires_grad_();
  CHECK_THROWS_WITH(twice(x).backward(), Catch::Contains("explicit grad_output"));
  CHECK_THROWS_WITH(twice(x).backward(tensor({1})), Catch::Contains("[2]"));
  CHECK_THROWS_AS(tensor({1}, {.dtype = i64}).requires_grad_(), Error);
  CHECK_THROWS_AS(Tensor().shape(), Error);
}

TEST_CASE("threads may share the leaves of their graphs") {
  Tensor w = zeros({1}).requires_grad_();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([w] {
      for (int i = 0; i < 5000; ++i) w.backward(ones({1}));
    });
  for (std::thread& thread : threads) thread.join();
  CHECK(w.grad().item() == 20000);
}

TEST_CASE("a hook is a function") {
  Tensor x = ones({1}).requires_grad_();
  CHECK_THROWS_WITH(x.register_hook({}), Catch::Contains("register_hook: expects a function"));
}
