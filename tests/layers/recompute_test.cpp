// Parts of a network that backward computes again.
#include <catch2/catch.hpp>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/karyon.h>

using namespace karyon;
using Catch::Contains;

namespace {

struct Block : Module {
  Block() {
    register_module("conv", conv);
    register_module("norm", norm);
    register_module("drop", drop);
  }
  Tensor forward(Tensor x) override { return relu(drop(norm(conv(std::move(x))))); }

  Conv2d conv{8, 8, 3, {.padding = 1, .bias = false}};
  BatchNorm2d norm{8, {.relu = true}};
  Dropout drop{0.3};
};

struct Net : Module {
  explicit Net(int depth) {
    for (int i = 0; i < depth; ++i) blocks.add();
    register_module("blocks", blocks);
  }
  Tensor run(Tensor x, bool saves_memory) {
    for (Block& block : blocks) x = saves_memory ? checkpoint(block, x) : block(std::move(x));
    return x;
  }
  ModuleList<Block> blocks;
};

// Gradients of x and all parameters, then the buffers, as values.
std::vector<std::vector<float>> trained(bool saves_memory, bool x_grad, int depth = 4,
                                        std::size_t* peak = nullptr) {
  manual_seed(5);
  Net net(depth);
  Tensor x = randn({2, 16, 16, 8}).requires_grad_(x_grad);
  const std::size_t before = memory_stats().current;
  reset_peak_memory_stats();
  const Tensor y = net.run(x, saves_memory);
  (y * y).backward(ones_like(y));
  if (peak) *peak = memory_stats().peak - before;
  std::vector<std::vector<float>> values;
  if (x_grad) values.push_back(x.grad().to_vector<float>());
  for (const Tensor& p : net.parameters()) values.push_back(p.grad().to_vector<float>());
  for (const auto& [name, buffer] : net.named_buffers()) values.push_back(buffer.to_vector<float>());
  values.push_back(rand({4}).to_vector<float>());  // where the generator stands
  return values;
}

}  // namespace

TEST_CASE("checkpoint gives the same bits: gradients, running statistics, random numbers") {
  for (const bool x_grad : {true, false}) CHECK(trained(true, x_grad) == trained(false, x_grad));
}

TEST_CASE("checkpoint lowers the peak of memory") {
  std::size_t with = 0, without = 0;
  trained(true, true, 16, &with);
  trained(false, true, 16, &without);
  CHECK(with < without * 3 / 4);
}

TEST_CASE("checkpoint of a function has several inputs, and names forgotten leaves") {
  const Tensor w = tensor({2.0}).requires_grad_(), a = tensor({3.0}).requires_grad_(),
               b = tensor({5.0}).requires_grad_();
  const auto f = [&](const std::vector<Tensor>& in) { return in[0] * in[1] * w + in[2] * in[0]; };
  CHECK_THROWS_WITH(checkpoint(f, {a, b, a}), Contains("checkpoint: the function uses a leaf of shape [1]"));
  checkpoint(f, {a, b, a}, {.parameters = {w}}).backward();
  CHECK(a.grad().item() == 10 + 6);  // w b + 2 a
  CHECK(b.grad().item() == 6);
  CHECK(w.grad().item() == 15);
}

TEST_CASE("checkpoint: grad(), hooks and gradients of gradients go through") {
  Tensor w = tensor({2.0}, {.dtype = f64}).requires_grad_(),
         x = tensor({3.0}, {.dtype = f64}).requires_grad_();
  int calls = 0;
  w.register_hook([&](const Tensor&) {
    ++calls;
    return Tensor();
  });
  const auto f = [&](const std::vector<Tensor>& in) { return in[0] * in[0] * in[0] * w; };
  const Tensor y = checkpoint(f, {x}, {.parameters = {w}});
  const auto first = grad({y}, {x, w}, {}, {.create_graph = true});
  CHECK(first[0].item<double>() == 54);
  CHECK(first[1].item<double>() == 27);
  CHECK(calls == 1);
  CHECK(grad({first[0]}, {x}, {}, {.retain_graph = true})[0].item<double>() == 36);
  CHECK(grad({first[0]}, {w})[0].item<double>() == 27);
}

TEST_CASE("checkpoint without recording only calls the module") {
  manual_seed(6);
  Block block;
  const NoGradGuard no_grad;
  CHECK_FALSE(checkpoint(block, randn({1, 4, 4, 8})).requires_grad());
}

TEST_CASE("checkpoint: what was changed in place since is an error") {
  manual_seed(7);
  Block block;
  Tensor x = randn({1, 4, 4, 8});
  const Tensor y = checkpoint(block, x);
  {
    const NoGradGuard no_grad;
    block.conv.weight.mul_(2);
  }
  CHECK_THROWS_WITH(y.backward(ones_like(y)), Contains("changed in place"));
}
