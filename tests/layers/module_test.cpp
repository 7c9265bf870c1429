#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/random.h>
#include <karyon/core/serialize.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/ema.h>
#include <karyon/layers/linear.h>
#include <karyon/layers/norm.h>
#include <karyon/layers/sequential.h>
#include <karyon/layers/weights.h>

#include "temp_folder.h"

using namespace karyon;
using Catch::Contains;

namespace {

struct Block : Module {
  Block() {
    register_parameter("scale", scale);
    register_module("conv", conv);
    register_module("norm", norm);
  }
  Tensor forward(Tensor x) override { return norm(conv(std::move(x))); }

  Tensor scale = ones({1});
  Conv2d conv{2, 4, 3};
  BatchNorm2d norm{4};
};

template <class Pairs>
std::vector<std::string> names(const Pairs& pairs) {
  std::vector<std::string> out;
  for (const auto& [name, value] : pairs) out.push_back(name);
  return out;
}
using Names = std::vector<std::string>;

StateDict cloned(const Module& module) {
  StateDict out;
  for (const auto& [name, x] : module.state_dict()) out.emplace(name, x.clone());
  return out;
}
bool same(const StateDict& a, const StateDict& b) {
  if (names(a) != names(b)) return false;
  for (const auto& [name, x] : a)
    if (x.to_vector<double>() != b.at(name).to_vector<double>()) return false;
  return true;
}

}  // namespace

TEST_CASE("module: parameters, buffers and modules go by PyTorch's names") {
  Block block;
  CHECK(names(block.named_parameters()) ==
        Names{"scale", "conv.weight", "conv.bias", "norm.weight", "norm.bias"});
  CHECK(names(block.named_buffers()) ==
        Names{"norm.running_mean", "norm.running_var", "norm.num_batches_tracked"});
  CHECK(names(block.named_modules()) == Names{"", "conv", "norm"});
  CHECK(names(block.named_children()) == Names{"conv", "norm"});
  CHECK(block.state_dict().size() == 8);
  CHECK(block.type() == "Block");
  CHECK(block.conv.type() == "Conv2d");
  for (const Tensor& p : block.parameters()) CHECK(p.requires_grad());

  Sequential net;
  net.add<Conv2d>(1, 2, 3, {.padding = 1, .bias = false});
  net.add<ReLU>();
  net.add<Linear>(2, 3);
  CHECK(names(net.state_dict()) == Names{"0.weight", "2.bias", "2.weight"});
  CHECK(net.size() == 3);
  CHECK(net[1].type() == "ReLU");
  CHECK_THROWS_AS(net[3], Error);
}

TEST_CASE("module: names are taken once, and one-input modules alone have a forward") {
  struct Twice : Module {
    Twice() {
      register_parameter("a", a);
      register_buffer("a", a);
    }
    Tensor a = zeros({1});
  };
  CHECK_THROWS_WITH(Twice(), Contains("'a' is registered already"));
  struct Bare : Module {};
  CHECK_THROWS_WITH(Bare()(zeros({1})), Contains("Bare"));
}

TEST_CASE("module: a name has no dot and is not empty") {
  struct Named : Module {
    explicit Named(const char* name) { register_parameter(name, a); }
    Tensor a = zeros({1});
  };
  CHECK_THROWS_WITH(Named(""), Contains("expects a name"));
  CHECK_THROWS_WITH(Named("a.b"), Contains("got 'a.b'"));
}

TEST_CASE("module: a member that was not registered is found when it is called") {
  struct Forgetful : Module {
    explicit Forgetful(bool freeze = false) {
      register_module("known", known);
      if (freeze) forgotten.requires_grad_(false);
    }
    Tensor forward(Tensor x) override { return ReLU()(forgotten(known(std::move(x)))); }
    Linear known{2, 2}, forgotten{2, 2};
  } net;
  const Tensor x = ones({1, 2});
  const char* const message =
      "Forgetful calls a Linear that it did not register: call register_module(\"name\", member) in its "
      "constructor";
  CHECK_THROWS_WITH(net(x), Contains(message));
  CHECK_THROWS_WITH(net(x), Contains(message));  // an error leaves nothing behind
  {
    const NoGradGuard no_grad;
    CHECK(net(x).shape() == Shape{1, 2});
  }
  Forgetful frozen(true);  // a teacher, say
  CHECK(frozen(x).shape() == Shape{1, 2});
  CHECK(net.forgotten(x).shape() == Shape{1, 2});  // no other module calls it

  struct Outer : Module {
    Outer() { register_module("inner", inner); }
    Tensor forward(Tensor y) override { return inner(std::move(y)); }
    struct Inner : Module {
      Tensor forward(Tensor y) override { return deep(std::move(y)); }
      Sequential deep;
    } inner;
  } outer;
  outer.inner.deep.add<ReLU>();
  CHECK(outer(x).shape() == Shape{1, 2});  // nothing to train
  outer.inner.deep.add<Linear>(2, 2);
  CHECK_THROWS_WITH(outer(x), Contains("Inner calls a Sequential that it did not register"));
}

TEST_CASE("module: what is registered twice is one parameter, and bf16 is for activations") {
  struct Twice : Module {
    Linear inner{3, 3};
    Twice() {
      register_module("a", inner);
      register_module("b", inner);
    }
  } twice;
  CHECK(twice.parameters().size() == 2);
  CHECK(twice.state_dict().size() == 4);  // by either name
  CHECK_THROWS_WITH(twice.to(bf16), Catch::Contains("use AutocastGuard(bf16)"));
}

TEST_CASE("module: no module is below itself") {
  struct Self : Module {
    Self() { register_module("me", *this); }
  };
  CHECK_THROWS_WITH(Self(), Contains("Self: 'me' is the module itself"));
  struct Parent : Module {
    void hold(Module& child) { register_module("child", child); }
  } a, b, c;
  a.hold(b);
  b.hold(c);
  CHECK_THROWS_WITH(c.hold(a), Contains("'child' is a Parent that holds this module: modules cannot form a"));
  CHECK_THROWS_WITH(b.hold(c), Contains("'child' is registered already"));
  CHECK(names(a.named_modules()) == Names{"", "child", "child.child"});
}

TEST_CASE("module: what has two names is listed once and saved by both") {
  struct Shared : Module {
    Shared() {
      register_parameter("a", a);
      register_parameter("b", a);
      register_parameter("c", c);
      register_buffer("d", d);
      register_buffer("e", d);
      register_module("f", f);
      register_module("g", f);
    }
    Tensor a = ones({1}), c = a, d = zeros({1});
    ReLU f;
  } shared;
  CHECK(names(shared.named_parameters()) == Names{"a"});
  CHECK(names(shared.named_buffers()) == Names{"d"});
  CHECK(names(shared.named_modules()) == Names{"", "f"});
  CHECK(names(shared.state_dict()) == Names{"a", "b", "c", "d", "e"});
  SGD(shared.parameters()).step();
}

TEST_CASE("module: train and eval reach all below") {
  Block block;
  CHECK(block.norm.is_training());
  block.eval();
  CHECK_FALSE(block.is_training());
  CHECK_FALSE(block.norm.is_training());
  block.train();
  CHECK(block.conv.is_training());
}

TEST_CASE("module: a state dict shares memory and loads back") {
  Block a, b;
  CHECK_FALSE(same(a.state_dict(), b.state_dict()));
  b.load_state_dict(a.state_dict());
  CHECK(same(a.state_dict(), b.state_dict()));
  a.state_dict().at("scale").fill_(3);
  CHECK(a.scale.item() == 3);
  CHECK(b.scale.item() == 1);
  CHECK_FALSE(a.state_dict().at("scale").requires_grad());
}

TEST_CASE("module: a state that does not fit is refused, listed and changes nothing") {
  Block block;
  const StateDict before = cloned(block);
  StateDict state = cloned(Block());
  state.erase("conv.bias");
  state.erase("scale");
  state["extra"] = zeros({1});
  state["norm.bias"] = zeros({5});
  CHECK_THROWS_WITH(block.load_state_dict(state), Contains("2 missing: scale, conv.bias") &&
                                                      Contains("1 unexpected: extra") &&
                                                      Contains("norm.bias expects [4], got [5]"));
  CHECK_THROWS_WITH(block.load_state_dict(state, false), !Contains("missing") && Contains("norm.bias"));
  CHECK(same(block.state_dict(), before));
  state.erase("norm.bias");
  block.load_state_dict(state, false);
  CHECK(block.conv.weight.to_vector<float>() == state.at("conv.weight").to_vector<float>());
  CHECK(block.scale.item() == 1);
}

TEST_CASE("module: files hold PyTorch's layout and come back bit for bit") {
  const test::TempFolder folder;
  Sequential a, b;
  for (Sequential* net : {&a, &b}) {
    net->add<Conv2d>(4, 6, Pair{3, 2}, {.groups = 2});
    net->add<BatchNorm2d>(6);
    net->add<ConvTranspose2d>(6, 4, Pair{2, 5}, {.groups = 2});
    net->add<Linear>(4, 2);
  }
  save_weights(a, folder / "w", {{"note", "hello"}});
  const TensorFile file = load_safetensors(folder / "w");
  const Tensor stored = file.tensors.at("0.weight"), held = a.state_dict().at("0.weight");
  REQUIRE(stored.shape() == Shape{6, 2, 3, 2});
  REQUIRE(held.shape() == Shape{6, 3, 2, 2});
  for (int o = 0; o < 6; ++o)
    for (int i = 0; i < 2; ++i)
      for (int y = 0; y < 3; ++y)
        for (int x = 0; x < 2; ++x)
          CHECK(stored.data<float>()[((o * 2 + i) * 3 + y) * 2 + x] ==
                held.data<float>()[((o * 3 + y) * 2 + x) * 2 + i]);
  CHECK(file.tensors.at("2.weight").shape() == Shape{6, 2, 2, 5});
  CHECK(file.tensors.at("3.weight").shape() == Shape{2, 4});
  CHECK(file.tensors.at("1.num_batches_tracked").dtype() == i64);
  CHECK(file.tensors.at("1.num_batches_tracked").shape() == Shape{});
  CHECK(load_weights(b, folder / "w") == std::map<std::string, std::string>{{"note", "hello"}});
  CHECK(same(a.state_dict(), b.state_dict()));
}

TEST_CASE("module: weights that are not finite are refused by name") {
  const test::TempFolder folder;
  Block block;
  const StateDict before = cloned(block);
  for (const double bad : {std::nan(""), -HUGE_VAL})
    for (const DType dtype : {f32, f64, bf16}) {
      StateDict state = cloned(Block());
      state["norm.running_var"] = tensor({1, 1, bad, 1}, {.dtype = dtype});
      save_safetensors(folder / "w", {.tensors = state, .metadata = {}});
      CHECK_THROWS_WITH(load_weights(block, folder / "w"), Contains("'norm.running_var' holds a NaN"));
    }
  CHECK(same(block.state_dict(), before));
  save_weights(Linear(1, 2), folder / "other");
  CHECK_THROWS_WITH(load_weights(block, folder / "other"), Contains("other") && Contains("8 missing"));
}

TEST_CASE("module: to() converts in place, under handles that others hold") {
  Block block;
  const Tensor handle = block.conv.weight;
  block.conv.weight.set_grad(ones_like(handle));
  block.to(f64);
  CHECK(handle.dtype() == f64);
  CHECK(handle.requires_grad());
  CHECK(handle.grad().dtype() == f64);
  CHECK(block.norm.running_var.dtype() == f64);
  CHECK(block.norm.num_batches_tracked.dtype() == i64);
  CHECK(block(zeros({2, 5, 5, 2}, {.dtype = f64})).dtype() == f64);
  block.to(Device::cpu());
  CHECK_THROWS_AS(block.to(i64), Error);
  block.zero_grad();
  CHECK_FALSE(handle.grad().defined());
  block.requires_grad_(false);
  CHECK_FALSE(block(zeros({2, 5, 5, 2}, {.dtype = f64})).requires_grad());
}

TEST_CASE("module: a small network learns a line") {
  manual_seed(3);
  Sequential net;
  net.add<Linear>(1, 8);
  net.add<Tanh>();
  net.add<Linear>(8, 1);
  SGD sgd(net.parameters(), {.lr = 0.1, .momentum = 0.9});
  const Tensor x = tensor({-1, -0.5, 0, 0.5, 1}, {5, 1}), y = tensor({-2, -1, 0, 1, 2}, {5, 1});
  double last = 0;
  for (int i = 0; i < 200; ++i) {
    sgd.zero_grad();
    const Tensor d = net(x) - y;
    const Tensor loss = mean(d * d);
    loss.backward();
    sgd.step();
    last = loss.item();
  }
  CHECK(last < 1e-2);
}

TEST_CASE("module: a moving average follows its network and refuses another") {
  manual_seed(4);
  Sequential net, average, other;
  for (Sequential* m : {&net, &average}) {
    m->add<Conv2d>(2, 3, 3);
    m->add<BatchNorm2d>(3);
  }
  other.add<Conv2d>(2, 4, 3);
  const auto at = [](const Module& m, const char* name) {
    return m.state_dict().at(name).to_vector<double>()[0];
  };
  const double before = at(average, "0.weight"), target = at(net, "0.weight");
  net.state_dict().at("1.running_mean").fill_(8);
  lerp_state_(average, net, 0.25);
  CHECK(at(average, "0.weight") == Approx(0.75 * before + 0.25 * target));
  CHECK(at(average, "1.running_mean") == Approx(2));
  CHECK(at(net, "0.weight") == target);
  lerp_state_(average, net, 1);
  for (const auto& [name, tensor] : net.state_dict())
    CHECK(average.state_dict().at(name).to_vector<double>() == tensor.to_vector<double>());
  CHECK_THROWS_AS(lerp_state_(other, net, 0.5), Error);
  CHECK_THROWS_AS(lerp_state_(average, net, 1.5), Error);
}
