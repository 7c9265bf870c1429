#include <catch2/catch.hpp>
#include <cmath>
#include <functional>
#include <memory>

#include <karyon/core/autograd.h>
#include <karyon/core/optim/adam.h>
#include <karyon/core/optim/foreach.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/random.h>
#include <karyon/core/serialize.h>

#include "op_check.h"
#include "temp_folder.h"

using namespace karyon;
using Doubles = std::vector<double>;
using Floats = std::vector<float>;
using Make = std::function<std::unique_ptr<Optimizer>(std::vector<Tensor>)>;

namespace {

/// The gradient of sum (p s - 1)^2 with s = 1, 2, 3.
void set_gradient(Tensor& p) {
  auto values = p.to_vector<double>();
  for (std::size_t i = 0; i < values.size(); ++i) {
    const double s = static_cast<double>(i % 3 + 1);
    values[i] = 2 * s * (values[i] * s - 1);
  }
  p.set_grad(tensor(values, p.shape(), {.dtype = p.dtype(), .device = p.device()}));
}

Doubles after_four_steps(const Make& make, DType dtype) {
  const Device device = dtype == f32 ? test::device() : Device::cpu();
  Tensor p = tensor({1, -2, 0.5}, {.dtype = dtype, .device = device}).requires_grad_();
  const auto optimizer = make({p});
  for (int i = 0; i < 4; ++i) {
    set_gradient(p);
    optimizer->step();
  }
  return p.to_vector<double>();
}

template <class O, class Options>
Make maker(Options options) {
  return [options](std::vector<Tensor> p) { return std::make_unique<O>(std::move(p), options); };
}

}  // namespace

TEST_CASE("optimizers: four steps equal PyTorch's") {
  const std::tuple<const char*, Make, Doubles> cases[] = {
      {"sgd", maker<SGD>(SGDOptions{.lr = 0.01}), {1.0, -1.2909824, 0.40868696}},
      {"sgd with weight decay",
       maker<SGD>(SGDOptions{.lr = 0.01, .weight_decay = 0.1}),
       {0.9961242452610001, -1.284978063082, 0.40730701510050005}},
      {"sgd with momentum, dampening and weight decay",
       maker<SGD>(SGDOptions{.lr = 0.01, .momentum = 0.9, .dampening = 0.3, .weight_decay = 0.1}),
       {0.992814753200523, -0.6498562376291261, 0.3201448063574715}},
      {"sgd with nesterov momentum",
       maker<SGD>(SGDOptions{.lr = 0.01, .momentum = 0.9, .nesterov = true}),
       {1.0, -0.07529266303999978, 0.288092248616}},
      {"adam", maker<Adam>(AdamOptions{.lr = 0.01}), {1.0, -1.960009240685613, 0.46019083283842666}},
      {"adam with all options",
       maker<Adam>(AdamOptions{.lr = 0.01, .beta1 = 0.8, .beta2 = 0.95, .eps = 1e-3, .weight_decay = 0.1}),
       {0.9622343920978262, -1.9600169539881434, 0.46029248377273185}},
      {"adamw",
       maker<AdamW>(AdamWOptions{.lr = 0.01, .weight_decay = 0.1}),
       {0.9947823354736163, -1.952083079563495, 0.45826636589602093}},
  };
  for (const auto& [name, make, expected] : cases) {
    INFO(name);
    const Doubles exact = after_four_steps(make, f64), rounded = after_four_steps(make, f32);
    for (std::size_t i = 0; i < 3; ++i) {
      CHECK(exact[i] == Approx(expected[i]).epsilon(1e-12));
      CHECK(rounded[i] == Approx(expected[i]).epsilon(1e-5));
    }
  }
}

TEST_CASE("optimizers: the same bits with any number of threads") {
  for (const Make& make : {maker<SGD>(SGDOptions{.momentum = 0.9}), maker<Adam>(AdamOptions{})})
    CHECK(test::same_for_any_thread_count([&] {
      Generator generator(1);
      Tensor p = randn({70001}, generator).to(test::device()).requires_grad_();
      const auto optimizer = make({p});
      for (int i = 0; i < 3; ++i) {
        set_gradient(p);
        clip_grad_norm_({p}, 1);
        optimizer->step();
      }
      return p;
    }));
}

TEST_CASE("optimizers: a state saved to a file continues bit for bit") {
  const test::TempFolder folder;
  for (const Make& make : {maker<SGD>(SGDOptions{.momentum = 0.9}),
                           maker<Adam>(AdamOptions{.weight_decay = 0.1}), maker<AdamW>(AdamWOptions{})}) {
    Tensor a = tensor({1, 2, 3}, {.device = test::device()}).requires_grad_();
    Tensor b = tensor({4, 5}, {.device = test::device()}).requires_grad_();
    const auto first = make({a, b});
    first->set_lr(0.1 / 3);
    for (int i = 0; i < 5; ++i) {
      set_gradient(a);
      if (i > 2) set_gradient(b);  // b has seen fewer steps
      first->step();
    }
    save_safetensors(folder / "state", {.tensors = first->state_dict(), .metadata = {}});

    Tensor a2 = a.detach().clone().requires_grad_(), b2 = b.detach().clone().requires_grad_();
    const auto second = make({a2, b2});
    second->load_state_dict(load_safetensors(folder / "state").tensors);
    CHECK(second->lr() == first->lr());
    for (int i = 0; i < 3; ++i) {
      for (Tensor* p : {&a, &b, &a2, &b2}) set_gradient(*p);
      first->step();
      second->step();
    }
    CHECK(a.to_vector<float>() == a2.to_vector<float>());
    CHECK(b.to_vector<float>() == b2.to_vector<float>());
  }
}

TEST_CASE("optimizers: a state that does not fit is refused and changes nothing") {
  Tensor a = tensor({1, 2, 3}).requires_grad_();
  Adam adam({a}, {.lr = 0.5});
  set_gradient(a);
  adam.step();
  const auto good = adam.state_dict();
  auto bad = good;
  SECTION("shape") { bad["0.exp_avg"] = zeros({2}); }
  SECTION("type") { bad["0.exp_avg"] = zeros({3}, {.dtype = f64}); }
  SECTION("missing") { bad.erase("0.exp_avg_sq"); }
  SECTION("unexpected") { bad["1.step"] = arange(1); }
  SECTION("step") { bad["0.step"] = zeros({}, {.dtype = i64}); }
  SECTION("lr") { bad["lr"] = full({}, -1); }
  SECTION("no lr") { bad.erase("lr"); }
  CHECK_THROWS_WITH(adam.load_state_dict(bad), Catch::StartsWith("Adam::load_state_dict"));
  CHECK(adam.lr() == 0.5);
  CHECK(adam.state_dict().at("0.exp_avg").to_vector<float>() == good.at("0.exp_avg").to_vector<float>());
}

TEST_CASE("optimizers: parameters without a gradient stay, zero_grad clears, versions move") {
  Tensor a = tensor({1}).requires_grad_(), b = tensor({1}).requires_grad_();
  SGD sgd({a, b}, {.lr = 1, .weight_decay = 1});
  a.set_grad(tensor({0.5}));
  const std::uint64_t version_a = a.version(), version_b = b.version();
  sgd.step();
  CHECK(a.item() == -0.5f);
  CHECK(b.item() == 1);
  CHECK(a.version() > version_a);
  CHECK(b.version() == version_b);
  sgd.zero_grad();
  CHECK_FALSE(a.grad().defined());
}

TEST_CASE("optimizers: bad values are Errors that name them") {
  const std::vector<Tensor> p{tensor({1}).requires_grad_()};
  CHECK_THROWS_WITH(SGD(p, {.lr = -1}), Catch::StartsWith("SGD") && Catch::Contains("-1"));
  CHECK_THROWS_AS(SGD(p, {.lr = NAN}), Error);
  CHECK_THROWS_AS(SGD(p, {.momentum = -0.1}), Error);
  CHECK_THROWS_AS(SGD(p, {.nesterov = true}), Error);
  CHECK_THROWS_WITH(Adam(p, {.beta1 = 1}), Catch::StartsWith("Adam"));
  CHECK_THROWS_WITH(AdamW(p, {.weight_decay = -1}), Catch::StartsWith("AdamW"));
  CHECK_THROWS_AS(Adam(p, {.eps = -1}), Error);
  CHECK_THROWS_WITH(SGD({p[0], p[0]}), Catch::Contains("twice"));
  CHECK_THROWS_AS(SGD({Tensor()}), Error);
  CHECK_THROWS_AS(SGD({arange(2)}), Error);
  SGD sgd(p);
  CHECK_THROWS_AS(sgd.set_lr(-1), Error);
}

TEST_CASE("clipping: the norm of all gradients together") {
  Tensor a = zeros({2}, {.device = test::device()}).requires_grad_();
  Tensor b = zeros({1}, {.dtype = f64}).requires_grad_();
  const Tensor c = zeros({1}).requires_grad_();  // without a gradient
  a.set_grad(tensor({3, 0}, {.device = test::device()}));
  b.set_grad(tensor({4}, {.dtype = f64}));
  CHECK(clip_grad_norm_({a, b, c}, 10).item<double>() == Approx(5));
  CHECK(a.grad().to_vector<float>() == Floats{3, 0});
  CHECK(clip_grad_norm_({a, b, c}, 1).item<double>() == Approx(5));
  CHECK(a.grad().to_vector<float>()[0] == Approx(0.6));
  CHECK(b.grad().item<double>() == Approx(0.8));
  b.set_grad(tensor({INFINITY}, {.dtype = f64}));
  CHECK(clip_grad_norm_({a, b}, 1).item<double>() == INFINITY);
  CHECK(a.grad().to_vector<float>()[0] == Approx(0.6));
  CHECK_THROWS_AS(clip_grad_norm_({a}, -1), Error);
  CHECK(clip_grad_norm_({}, 1).item<double>() == 0);
}

TEST_CASE("clipping: many gradients of all sizes, on the device they are on") {
  Generator generator(3);
  std::vector<Tensor> parameters, before;
  double squares = 0;
  for (int i = 0; i < 70; ++i) {
    const Tensor grad = randn({1 + i * i * 7}, generator);
    for (const double v : grad.to_vector<double>()) squares += v * v;
    parameters.push_back(zeros(grad.shape(), {.device = test::device()}).requires_grad_());
    parameters.back().set_grad(grad.clone().to(test::device()));
    before.push_back(grad);
  }
  const Tensor norm = clip_grad_norm_(parameters, 2);
  CHECK(norm.device() == test::device());
  CHECK(norm.item<double>() == Approx(std::sqrt(squares)).epsilon(1e-12));
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    const auto got = parameters[i].grad().to_vector<double>(), was = before[i].to_vector<double>();
    double worst = 0;
    for (std::size_t k = 0; k < got.size(); ++k)
      worst = std::max(worst, std::abs(got[k] - was[k] * 2 / (std::sqrt(squares) + 1e-6)));
    CHECK(worst < 1e-7);
  }
}

TEST_CASE("many tensors move towards others, of both types, at once") {
  Generator generator(4);
  std::vector<Tensor> to, from, before;
  for (int i = 0; i < 70; ++i) {
    const DType dtype = i % 7 == 3 && test::device() == Device::cpu() ? f64 : f32;
    before.push_back(randn({1 + 31 * i}, generator).to(dtype));
    from.push_back(randn({1 + 31 * i}, generator).to(dtype).to(test::device()));
    to.push_back(before.back().to(test::device()).clone());
  }
  foreach_lerp_(to, from, 0.25);
  for (std::size_t i = 0; i < to.size(); ++i) {
    const auto got = to[i].to_vector<double>(), a = before[i].to_vector<double>(),
               b = from[i].to_vector<double>();
    double worst = 0;
    for (std::size_t k = 0; k < got.size(); ++k)
      worst = std::max(worst, std::abs(got[k] - (0.75 * a[k] + 0.25 * b[k])));
    CHECK(worst < 1e-6);
  }
  CHECK_THROWS_WITH(foreach_lerp_({zeros({2})}, {zeros({3})}, 0.5),
                    Catch::Contains("of one shape and device"));
  CHECK_THROWS_WITH(foreach_lerp_({zeros({2})}, {}, 0.5), Catch::Contains("1 and 0"));
}

TEST_CASE("clipping: every element") {
  Tensor a = zeros({4}, {.device = test::device()}).requires_grad_();
  a.set_grad(tensor({-3, -0.5, 0.5, 3}, {.device = test::device()}));
  clip_grad_value_({a, zeros({1}).requires_grad_()}, 1);
  CHECK(a.grad().to_vector<float>() == Floats{-1, -0.5, 0.5, 1});
  CHECK_THROWS_AS(clip_grad_value_({a}, NAN), Error);
}
