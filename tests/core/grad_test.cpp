// grad(), graphs that are kept or recorded, and hooks that go again.
#include <catch2/catch.hpp>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/gradcheck.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/function.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>

using namespace karyon;
using Catch::Contains;

namespace {

Tensor leaf(double value) { return tensor({value}, {.dtype = f64}).requires_grad_(); }

// x^2 by a gradient that is not recordable.
Tensor once(const Tensor& x) {
  return record("once", square(x.detach()), {x},
                [x = SavedTensor(x)](const Tensor& dy) { return std::vector{mul(dy, x.get()) * 2}; });
}

}  // namespace

TEST_CASE("grad gives gradients and leaves those of leaves alone") {
  const Tensor x = leaf(3), y = leaf(5);
  const Tensor product = x * y, sum = product + x;
  const auto grads = grad({sum}, {x, product, y}, {}, {.retain_graph = true});
  CHECK(grads[0].item<double>() == 6);
  CHECK(grads[1].item<double>() == 1);
  CHECK(grads[2].item<double>() == 3);
  CHECK_FALSE(x.grad().defined());
  const auto both = grad({sum, product}, {x}, {tensor({2.0}, {.dtype = f64}), {}});
  CHECK(both[0].item<double>() == 17);
  CHECK_FALSE(y.grad().defined());
}

TEST_CASE("grad computes only what lies between outputs and inputs") {
  const Tensor x = leaf(2);
  int calls = 0;
  const Tensor before = x * 3, middle = before * before;
  before.node()->hooks.push_back(std::make_shared<TensorHook>([&](const Tensor&) {
    ++calls;
    return Tensor();
  }));
  CHECK(grad({middle * 2}, {middle}, {}, {.retain_graph = true})[0].item<double>() == 2);
  CHECK(calls == 0);
  CHECK(grad({middle}, {x})[0].item<double>() == 36);
  CHECK(calls == 1);
}

TEST_CASE("grad says which input no output depends on") {
  const Tensor x = leaf(2), y = leaf(3);
  const Tensor z = x * 2;
  CHECK_THROWS_WITH(grad({z}, {x, y}, {}, {.retain_graph = true}), Contains("no output depends on input 1"));
  const auto grads = grad({z}, {x, y}, {}, {.allow_unused = true});
  CHECK(grads[0].item<double>() == 2);
  CHECK_FALSE(grads[1].defined());
}

TEST_CASE("grad refuses what has no gradient") {
  const Tensor x = leaf(2), plain = ones({1}, {.dtype = f64});
  CHECK_THROWS_WITH(grad({plain}, {x}), Contains("grad: output 0 does not require a gradient"));
  CHECK_THROWS_WITH(grad({x * 1}, {plain}), Contains("grad: input 0 does not require a gradient"));
  CHECK_THROWS_WITH(grad({x * 1}, {x}, {plain, plain}),
                    Contains("expects one of grad_outputs for each of 1"));
  const Tensor two = x * tensor({1.0, 2.0}, {.dtype = f64});
  CHECK_THROWS_WITH(grad({two}, {x}), Contains("grad: a tensor of shape [2] needs an explicit grad_output"));
}

TEST_CASE("retain_graph keeps the graph for another pass") {
  const Tensor x = leaf(3);
  const Tensor y = x * x;
  y.backward({}, {.retain_graph = true});
  CHECK(x.grad().item<double>() == 6);
  y.backward();
  CHECK(x.grad().item<double>() == 12);
  CHECK_THROWS_WITH(y.backward(), Contains("graph that is already freed"));
  CHECK_THROWS_WITH(grad({y}, {x}), Contains("graph that is already freed"));
}

TEST_CASE("create_graph gives gradients of gradients, and theirs") {
  const Tensor x = leaf(2);
  const Tensor y = x * x * x * x;
  const Tensor first = grad({y}, {x}, {}, {.create_graph = true})[0];
  const Tensor second = grad({first}, {x}, {}, {.create_graph = true})[0];
  const Tensor third = grad({second}, {x}, {}, {.create_graph = true})[0];
  CHECK(first.item<double>() == 32);
  CHECK(second.item<double>() == 48);
  CHECK(third.item<double>() == 48);
  CHECK(grad({third}, {x})[0].item<double>() == 24);
}

TEST_CASE("create_graph knows what an operation saved: a leaf, an input, its output") {
  const Tensor x = leaf(0.5);
  const Tensor inner = sin(x), y = exp(inner);
  const Tensor first = grad({y}, {x}, {}, {.create_graph = true})[0];
  const double s = std::sin(0.5), c = std::cos(0.5), e = std::exp(s);
  CHECK(first.item<double>() == Approx(e * c));
  CHECK(grad({first}, {x})[0].item<double>() == Approx(e * (c * c - s)));
}

TEST_CASE("backward with create_graph leaves a graph in the gradients of leaves") {
  Tensor x = leaf(3);
  (x * x * x).backward({}, {.create_graph = true});
  const Tensor first = x.grad();
  REQUIRE(first.requires_grad());
  x.set_grad({});
  (first * first).backward();
  CHECK(x.grad().item<double>() == 2 * 27 * 18);
  (x * 2).backward();  // adds to what is there, without a graph
  CHECK(x.grad().item<double>() == 2 * 27 * 18 + 2);
  CHECK_FALSE(x.grad().requires_grad());
}

TEST_CASE("gradients are recorded only for create_graph") {
  const Tensor x = leaf(3);
  CHECK_FALSE(grad({x * x}, {x})[0].requires_grad());
  const NoGradGuard no_grad;
  Tensor y;
  {
    const EnableGradGuard on;
    y = x * x;
  }
  CHECK_FALSE(grad_enabled());
  CHECK(grad({y}, {x}, {}, {.create_graph = true})[0].requires_grad());
}

TEST_CASE("a gradient that cannot be recorded is an error with its name") {
  const Tensor x = leaf(3);
  const Tensor y = once(x) * 2;
  CHECK_THROWS_WITH(grad({y}, {x}, {}, {.create_graph = true}),
                    Contains("once: has no gradient of its gradient"));
  CHECK(grad({y}, {x})[0].item<double>() == 12);
}

TEST_CASE("a value of a kernel can have the gradient of a composition") {
  const Tensor x = leaf(2);
  const Tensor y =
      record_as("cube", tensor({8.0}, {.dtype = f64}), {x, x}, [](const std::vector<Tensor>& in) {
        return in[0] * in[0] * in[1];  // an input that is given twice has both its gradients
      });
  const Tensor first = grad({y}, {x}, {}, {.create_graph = true})[0];
  CHECK(first.item<double>() == 12);
  CHECK(grad({first}, {x})[0].item<double>() == 12);
}

TEST_CASE("the first gradients have the same bits with create_graph") {
  Generator generator(3);
  const Tensor x = randn({4, 6, 5}, generator).requires_grad_(), w = randn({5}, generator).requires_grad_();
  const auto loss = [&] {
    return sum(softmax(layer_norm(gelu(x), {5}, w, {}, {}), -1) * tanh(x) / (square(x) + 1.0));
  };
  const auto plain = grad({loss()}, {x, w}), recorded = grad({loss()}, {x, w}, {}, {.create_graph = true});
  for (std::size_t i = 0; i < 2; ++i) CHECK(plain[i].to_vector<float>() == recorded[i].to_vector<float>());
}

TEST_CASE("a recorded pass casts nothing by itself under an AutocastGuard") {
  Generator generator(4);
  const Tensor x = randn({3, 4}, generator).requires_grad_(), w = randn({4, 2}, generator).requires_grad_();
  const AutocastGuard guard(bf16);
  const Tensor y = matmul(x, w).to(f32);
  const Tensor first = grad({sum(y * y)}, {x}, {}, {.create_graph = true})[0];
  CHECK(first.dtype() == f32);
  CHECK(grad({sum(first * first)}, {w})[0].dtype() == f32);
}

TEST_CASE("an in-place change is also found in a recorded pass") {
  Tensor x = leaf(3);
  const Tensor y = exp(x * x);
  {
    const NoGradGuard no_grad;
    x.add_(ones({1}, {.dtype = f64}));
  }
  CHECK_THROWS_WITH(grad({y}, {x}, {}, {.create_graph = true}), Contains("changed in place"));
}

TEST_CASE("a hook is removed by its handle") {
  Tensor x = leaf(1), y = x * 2;
  int leaf_calls = 0, inner_calls = 0;
  HookHandle on_leaf = x.register_hook([&](const Tensor&) {
    ++leaf_calls;
    return Tensor();
  });
  HookHandle on_inner;
  on_inner = y.register_hook([&](const Tensor&) {
    ++inner_calls;
    on_inner.remove();  // by itself, as it runs
    return Tensor();
  });
  y.backward({}, {.retain_graph = true});
  on_leaf.remove();
  on_leaf.remove();
  y.backward();
  CHECK(leaf_calls == 1);
  CHECK(inner_calls == 1);
  x.register_hook([](const Tensor&) { return Tensor(); });
  CHECK(x.impl()->hooks.size() == 1);
  y = Tensor();
  on_inner.remove();  // its tensor is gone
  HookHandle().remove();
}

TEST_CASE("hooks see the gradients that grad returns, unless they shall not") {
  Tensor x = leaf(1), y = x * 3;
  x.register_hook([](const Tensor& g) { return g * 2; });
  y.register_hook([](const Tensor& g) { return g * 5; });
  const auto with = grad({y}, {x, y}, {}, {.retain_graph = true});
  CHECK(with[0].item<double>() == 30);
  CHECK(with[1].item<double>() == 5);
  CHECK(grad({y}, {x}, {}, {.hooks = false})[0].item<double>() == 15);
}

TEST_CASE("gradgradcheck finds a wrong gradient of a gradient") {
  // Its gradient is right, and the gradient of that is not.
  const auto wrong = [](const std::vector<Tensor>& in) {
    return record(
        "wrong", exp(in[0].detach()), {in[0]}, twice_differentiable,
        [x = SavedTensor(in[0])](const Tensor& dy) { return std::vector{dy * exp(x.get().detach())}; });
  };
  const auto right = [](const std::vector<Tensor>& in) { return exp(in[0]); };
  const std::vector<Tensor> inputs{tensor({0.5, -1.0, 2.0})};
  for (const bool fast : {false, true}) {
    CHECK(gradcheck(wrong, inputs, {.fast_mode = fast}));
    CHECK_FALSE(gradgradcheck(wrong, inputs, {.fast_mode = fast}));
    CHECK(gradgradcheck(right, inputs, {.fast_mode = fast}));
  }
}

TEST_CASE("recorded passes leave nothing behind") {
  std::weak_ptr<Node> first, second;
  {
    const Tensor x = leaf(0.3);
    const Tensor y = tanh(exp(x)) * x;
    first = y.node();
    const Tensor dx = grad({y}, {x}, {}, {.create_graph = true})[0];
    second = dx.node();
    grad({dx}, {x}, {}, {.retain_graph = true});
  }
  CHECK(first.expired());
  CHECK(second.expired());
}
