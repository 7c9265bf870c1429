#include <catch2/catch.hpp>
#include <thread>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>

#include "op_check.h"

// Which type computes in which, and what is refused; the values are the kernels' tests.

using namespace karyon;

namespace {

Tensor numbers(const Shape& shape, DType dtype = f32) {
  Generator generator(3);
  return randn(shape, generator).to(dtype);
}

}  // namespace

TEST_CASE("The guard is a scope of one thread") {
  CHECK(autocast_dtype() == f32);
  {
    const AutocastGuard on(bf16);
    CHECK(autocast_dtype() == bf16);
    {
      const AutocastGuard off(f32);
      CHECK(autocast_dtype() == f32);
    }
    CHECK(autocast_dtype() == bf16);
    DType elsewhere = bf16;
    std::thread([&] { elsewhere = autocast_dtype(); }).join();
    CHECK(elsewhere == f32);
    CHECK_THROWS_WITH(AutocastGuard(f64), Catch::Contains("expects bf16, or f32 to switch it off, got f64"));
    CHECK(autocast_dtype() == bf16);
  }
  CHECK(autocast_dtype() == f32);
}

TEST_CASE("Only f32 is cast, and the cast passes gradients back as f32") {
  const AutocastGuard on(bf16);
  Tensor x = numbers({5}).requires_grad_();
  const Tensor cast = autocast(x);
  CHECK(cast.dtype() == bf16);
  cast.backward(ones({5}, {.dtype = bf16}));
  CHECK(x.grad().dtype() == f32);
  CHECK(autocast(numbers({2}, f64)).dtype() == f64);
  CHECK(autocast(ones({2}, {.dtype = i64})).dtype() == i64);
  CHECK(!autocast(Tensor()).defined());
  CHECK(widen(cast).dtype() == f32);
  CHECK(widen(numbers({2}, f64)).dtype() == f64);
  CHECK(!widen(Tensor()).defined());
}

TEST_CASE("bf16 beside f32 becomes f32, and each input gets its gradient in its own type") {
  Tensor a = numbers({2, 3}, bf16).requires_grad_(), b = numbers({3}).requires_grad_();
  for (const Tensor& y :
       {add(a, b), sub(b, a), mul(a, b), div(a, b), maximum(a, b), minimum(b, a), pow(a, b)}) {
    CHECK(y.dtype() == f32);
    y.backward(ones({2, 3}));
    CHECK(a.grad().dtype() == bf16);
    CHECK(b.grad().dtype() == f32);
    a.set_grad({}), b.set_grad({});
  }
  CHECK(where(gt(a, b), a, b).dtype() == f32);
  CHECK(eq(a, a.to(f32)).to_vector<double>() == std::vector<double>(6, 1));
  CHECK_THROWS_WITH(add(a, numbers({3}, f64)), Catch::Contains("expects one dtype, got bf16 and f64"));
}

TEST_CASE("Reductions, softmax, exp, log, sqrt, pow and losses of bf16 are f32") {
  Tensor x = abs(numbers({4, 3})).to(bf16).requires_grad_();
  const Tensor wide = x.detach().to(f32);
  const auto same = [&](const Tensor& got, const Tensor& expected) {
    CHECK(got.dtype() == f32);
    CHECK(got.to_vector<double>() == expected.to_vector<double>());
    got.backward(ones_like(got));
    CHECK(x.grad().dtype() == bf16);
    x.set_grad({});
  };
  same(sum(x, {1}), sum(wide, {1}));
  same(mean(x), mean(wide));
  same(max(x, {0}), max(wide, {0}));
  same(softmax(x, 1), softmax(wide, 1));
  same(log_softmax(x, 0), log_softmax(wide, 0));
  same(exp(x), exp(wide));
  same(log(x), log(wide));
  same(sqrt(x), sqrt(wide));
  same(pow(x, 3), pow(wide, 3));
  const Tensor target = full({4, 3}, 0.25), class_of = ones({4}, {.dtype = i64});
  same(bce_with_logits(x, target), bce_with_logits(wide, target));
  same(bce_with_logits(x, target.to(bf16)), bce_with_logits(wide, target));
  same(dice_loss(x, target), dice_loss(wide, target));
  same(focal_loss(x, target), focal_loss(wide, target));
  same(mse_loss(x, target), mse_loss(wide, target));
  same(l1_loss(x, target), l1_loss(wide, target));
  same(cross_entropy(x, class_of), cross_entropy(wide, class_of));
  CHECK(argmax(x, 1).to_vector<double>() == argmax(wide, 1).to_vector<double>());
  CHECK(sum_to(x, {3}).dtype() == bf16);
}

TEST_CASE("A bias of bf16 beside bf16 is added in f32, and its gradient is bf16") {
  const Tensor x = numbers({1, 4, 4, 3}, bf16), w = numbers({2, 3, 3, 3}, bf16), b = numbers({2}, bf16),
               wide = b.to(f32);
  const auto check_bias = [&](auto f) {
    Tensor bias = b.clone().requires_grad_(), reference = wide.clone().requires_grad_();
    const Tensor y = f(bias), expected = f(reference);
    CHECK(y.to_vector<float>() == expected.to_vector<float>());
    y.backward(ones_like(y));
    expected.backward(ones_like(y));
    CHECK(bias.grad().dtype() == bf16);
    CHECK(bias.grad().to_vector<float>() == reference.grad().to(bf16).to_vector<float>());
  };
  check_bias([&](const Tensor& bias) { return conv2d(x, w, bias); });
  check_bias([&](const Tensor& bias) { return conv_transpose2d(x, numbers({3, 2, 2, 2}, bf16), bias); });
  check_bias([&](const Tensor& bias) { return linear(numbers({5, 4}, bf16), numbers({2, 4}, bf16), bias); });
  check_bias([&](const Tensor& bias) {
    return linear(zeros({5, 0}, {.dtype = bf16}), zeros({2, 0}, {.dtype = bf16}), bias);
  });
  const NoGradGuard no_grad;
  CHECK(conv2d_affine(x, w, b, b).to_vector<float>() == conv2d_affine(x, w, wide, wide).to_vector<float>());
}

TEST_CASE("linear of no inputs is its bias, in every type") {
  for (const DType dtype : {f32, f64, bf16}) {
    const Tensor x = zeros({2, 0}, {.dtype = dtype}), weight = zeros({3, 0}, {.dtype = dtype});
    const Tensor bias = tensor({1, 2, 3}, {.dtype = parameter_dtype(dtype)});
    CHECK(linear(x, weight, bias).to_vector<float>() == std::vector<float>{1, 2, 3, 1, 2, 3});
    CHECK(linear(x, weight).to_vector<float>() == std::vector<float>(6, 0));
  }
}

TEST_CASE("Types that do not go together are named") {
  const Tensor x = numbers({1, 4, 4, 3}), w = numbers({2, 3, 3, 3}), b = numbers({2});
  const auto half = [](const Tensor& t) { return t.to(bf16); };
  CHECK_THROWS_WITH(conv2d(half(x), w),
                    Catch::Contains("conv2d: x is bf16 but weight is f32; cast one of them"));
  CHECK_THROWS_WITH(conv2d(half(x), half(w), half(numbers({3}))),
                    Catch::Contains("conv2d: expects bias f32 [2] beside bf16, got f32 [3]"));
  CHECK_THROWS_WITH(conv2d(x, w, half(b)), Catch::Contains("conv2d: expects bias f32 [2], got bf16 [2]"));
  CHECK_THROWS_WITH(conv_transpose2d(half(x), numbers({3, 2, 2, 2}, bf16), b.to(f64)),
                    Catch::Contains("expects bias f32 [2] beside bf16"));
  CHECK_THROWS_WITH(matmul(half(b.reshape({1, 2})), numbers({2, 2})),
                    Catch::Contains("got bf16 and f32; cast"));
  CHECK_THROWS_WITH(linear(numbers({1, 4}, bf16), numbers({2, 4}, bf16), b.to(f64)),
                    Catch::Contains("linear: expects a bias of f32 [2] beside bf16, got f64 [2]"));
  {
    const AutocastGuard on(bf16);
    CHECK_THROWS_WITH(conv2d(x, w.to(f64)), Catch::Contains("x is bf16 but weight is f64"));
    CHECK_THROWS_WITH(conv2d(x.to(f64), w), Catch::Contains("x is f64 but weight is bf16"));
    CHECK_THROWS_WITH(conv2d(x, w, b.to(f64)), Catch::Contains("expects bias f32 [2] beside bf16, got f64"));
    CHECK_THROWS_WITH(conv2d(x.to(i64), w), Catch::Contains("conv2d: expects f32, f64 or bf16, got i64"));
    const NoGradGuard no_grad;
    CHECK_THROWS_WITH(conv2d_affine(x, w, b.to(f64), b),
                      Catch::Contains("expects scale f32 [2] beside bf16"));
  }
  const Tensor c = numbers({3});
  CHECK_THROWS_WITH(batch_norm(half(x), half(c), c, {}, {}, {.training = true}),
                    Catch::Contains("batch_norm: weight expects f32[3], got bf16[3]"));
  CHECK_THROWS_WITH(batch_norm(half(x), c, c, half(c), half(c)),
                    Catch::Contains("running_mean expects f32[3]"));
  CHECK_THROWS_WITH(group_norm(half(x), 1, c, half(c)), Catch::Contains("group_norm: bias expects f32"));
  CHECK_THROWS_WITH(layer_norm(half(x), {3}, c.to(f64), c),
                    Catch::Contains("layer_norm: weight expects f32"));
  CHECK_THROWS_WITH(mse_loss(half(x), x.to(f64)), Catch::Contains("expects a target like the input f32"));
  CHECK_THROWS_WITH(cat({x, x.to(f64)}, 3), Catch::Contains("cat: expects one dtype, got f32 and f64"));
}

TEST_CASE("A gradient of another type is an error, not another number") {
  Tensor x = numbers({3}, bf16).requires_grad_();
  const Tensor y = widen(x);
  CHECK_THROWS_WITH(y.backward(ones({3}, {.dtype = bf16})), Catch::Contains("grad_output expects f32"));
  x.register_hook([](const Tensor& grad) { return grad.to(f32); });
  CHECK_THROWS_WITH(y.backward(ones({3})),
                    Catch::Contains("hook: expects a gradient of bf16[3], got f32[3]"));
}

TEST_CASE("Images of bf16 join those of f32 as f32") {
  Tensor a = numbers({1, 2, 2, 3}).requires_grad_(), b = numbers({1, 2, 2, 4}, bf16).requires_grad_();
  const Tensor joined = cat({a, b}, -1);
  CHECK(joined.dtype() == f32);
  CHECK(joined.to_vector<float>() == cat({a.detach(), b.detach().to(f32)}, -1).to_vector<float>());
  CHECK(cat({b, a}, -1).dtype() == f32);
  joined.backward(ones({1, 2, 2, 7}));
  CHECK(a.grad().dtype() == f32);
  CHECK(b.grad().dtype() == bf16);
}

TEST_CASE("Without gradients a cast weight is kept until it changes") {
  Generator generator(5);
  Tensor weight = randn({20, 1, 1, 18}, generator);
  const Tensor x = randn({3, 5, 4, 18}, generator);
  const NoGradGuard no_grad;
  const AutocastGuard bf(bf16);
  CHECK(autocast_weight(weight).data_ptr() != autocast_weight(weight).data_ptr());  // not for a single use
  CHECK(autocast_weight(weight).data_ptr() == autocast_weight(weight).data_ptr());
  CHECK(autocast_weight(weight.reshape({20, 18})).shape() == Shape{20, 18});
  const auto expected = [&] { return conv2d(x.to(bf16), weight.to(bf16)).to(f64); };
  for (int i = 0; i < 3; ++i) CHECK(test::difference(conv2d(x, weight).to(f64), expected()) == 0);
  weight.mul_(2);  // packed and cast forms are made anew
  for (int i = 0; i < 3; ++i) CHECK(test::difference(conv2d(x, weight).to(f64), expected()) == 0);
}
