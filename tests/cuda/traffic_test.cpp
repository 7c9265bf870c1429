// Runs the kernels on shapes that a network has, whole vectors and some that are not, so that the emulator
// can count what each moves (GPUEMU_COUNTERS); scripts/cuda_gates judges the counts. Compares nothing: the
// tests of the operations do.
#include <catch2/catch.hpp>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

const Device cuda = Device::cuda();

Tensor random(const Shape& shape, DType dtype = f32) { return randn(shape).to(dtype).to(cuda); }
Tensor leaf(const Shape& shape, DType dtype = f32) { return random(shape, dtype).requires_grad_(); }
void back(const Tensor& y) { y.backward(ones_like(y)); }

}  // namespace

TEST_CASE("traffic of elementwise operations, activations and dropout", "[.][traffic]") {
  const Shape shape{2, 16, 16, 32};
  for (const DType dtype : {f32, bf16}) {
    for (const auto& f : std::initializer_list<Tensor (*)(const Tensor&)>{
             karyon::exp, karyon::log, karyon::sqrt, karyon::abs, karyon::neg, relu, sigmoid, karyon::tanh,
             silu, gelu}) {
      Tensor x = abs(random(shape, dtype)).requires_grad_();
      back(f(x));
    }
    Tensor x = abs(random(shape, dtype)).requires_grad_(), y = abs(random(shape, dtype)).requires_grad_();
    back(clamp(x, 0.2, 0.8) + pow(x, 3) + pow(x, 2) + pow(x, -1) + leaky_relu(x, 0.1) + softplus(x));
    back(x * y + x / y + maximum(x, y) + minimum(x, y) - x * 2 + 1);
    back(pow(x, y));
    const Tensor row = leaf({32}, dtype);
    back(x * row + leaf({2, 1, 1, 32}, dtype) - leaf({}, dtype));
    back(x / row + maximum(x, row) + minimum(row, x));
    back(where(gt(x, y), x, y));
    for (const auto& f :
         std::initializer_list<Tensor (*)(const Tensor&, const Tensor&)>{eq, ne, lt, le, gt, ge})
      f(x, y);
    back(dropout(x));
  }
}

TEST_CASE("traffic of copies and layout", "[.][traffic]") {
  const Tensor x = random({2, 16, 16, 32});
  for (const DType from : {f32, bf16, i64, u8})
    for (const DType to : {f32, bf16, i64, u8, boolean}) x.to(from).to(to);
  Tensor y = x.clone();
  y.add_(x, 2).mul_(3);
  Tensor half = y.to(bf16);
  half.add_(half.clone(), 2).mul_(3);
  cat({half, half}, 3);
  permute(half, {0, 3, 1, 2});
  cat({x, x}, 3);
  cat({x, x}, 0);
  crop(pad(x, {1, 1, 1, 1}), 1, 1, {16, 16});
  Tensor reflected = leaf({2, 16, 16, 32});
  back(pad(reflected, {2, 2, 2, 2}, PadMode::reflect));
  permute(x, {0, 3, 1, 2});
  permute(x, {1, 0, 2, 3});
}

TEST_CASE("traffic of reductions, softmax and losses", "[.][traffic]") {
  for (const Shape& shape : {Shape{2, 16, 16, 32}, Shape{2, 32, 32, 1}, Shape{2, 16, 16, 4}}) {
    Tensor x = leaf(shape);
    back(sum(x));
    back(sum(x, {0, 1, 2}));
    back(mean(x, {1, 2}));
    back(max(x, {3}));
    argmax(x, 3);
    back(softmax(x, 3));
    back(log_softmax(x, 1));
    const Tensor t = gt(random(shape), 0.0).to(f32);
    bce_with_logits(x, t).backward();
    bce_with_logits(x, t, {.pos_weight = abs(random({shape[3]}))}).backward();
    dice_loss(x, t).backward();
    focal_loss(x, t).backward();
    mse_loss(x, t).backward();
    l1_loss(x, t).backward();
    Tensor target = zeros({shape[0], shape[1], shape[2]}, {.dtype = i64, .device = cuda});
    cross_entropy(x, target).backward();
  }
}

TEST_CASE("traffic of a training step and of inference", "[.][traffic]") {
  const auto step = [](Norm norm, DType precision) {
    const AutocastGuard autocast(precision);
    // A pixel's channels are whole sectors of 32 bytes.
    const std::int64_t width = precision == bf16 ? 16 : 8, side = precision == bf16 ? 16 : 32;
    const int depth = precision == bf16 ? 1 : 2;
    UNet net({.in_channels = 3, .out_channels = 1, .base_width = width, .depth = depth, .norm = norm});
    net.to(cuda);
    const Tensor x = random({2, side, side, 3}), target = gt(random({2, side, side, 1}), 0.0).to(f32);
    for (const bool adam : {true, false}) {
      std::unique_ptr<Optimizer> optimizer;
      if (adam) optimizer = std::make_unique<Adam>(net.parameters());
      if (!adam) optimizer = std::make_unique<SGD>(net.parameters(), SGDOptions{.momentum = 0.9});
      bce_with_logits(net(x), target).backward();
      clip_grad_norm_(net.parameters(), 1);
      clip_grad_value_(net.parameters(), 1);
      optimizer->step();
    }
    net.eval();
    const NoGradGuard no_grad;
    net(x);
  };
  for (const DType precision : {f32, bf16})
    for (const Norm norm : {Norm::batch, Norm::group}) step(norm, precision);
}

TEST_CASE("traffic of layer norm, pools and resampling", "[.][traffic]") {
  for (const DType dtype : {f32, bf16}) {
    Tensor x = leaf({2, 16, 16, 32}, dtype), w = leaf({32}), b = leaf({32});
    back(layer_norm(x, {32}, w, b));
    back(max_pool2d(x, {.kernel_size = 2}));
    back(avg_pool2d(x, {.kernel_size = 2}));
    back(adaptive_avg_pool2d(x, 4));
    back(interpolate(x, 2, {.mode = InterpolateMode::bilinear}));
    back(interpolate(x, 2));
    back(linear(x, leaf({64, 32}, dtype), leaf({64})));
  }
}
