// The families that are limited by memory, on activations of a U-Net's first level. These have 8 images of
// 256 x 256 with 32 channels: 64 MiB, more than any cache holds. And matmul, which is limited by arithmetic.
#include <functional>
#include <memory>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/dropout.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/resize.h>
#include <karyon/core/optim/adam.h>
#include <karyon/core/random.h>

#include "register.h"

namespace karyon::bench {
namespace {

constexpr std::int64_t batch = 8, size = 256, channels = 32;
constexpr double whole = 4.0 * batch * size * size * channels;  // bytes of one such tensor

Tensor image(std::int64_t edge = size, std::int64_t c = channels) {
  Generator generator(1);
  return rand({batch, edge, edge, c}, generator);
}

using Make = std::function<std::function<Tensor()>()>;

// passes: how many times the memory of `image()` has to be read or written.
void forward(const std::string& name, double passes, const Make& make) {
  register_bytes("karyon/" + name, passes * whole, [make]() -> std::function<void()> {
    const std::function<Tensor()> op = make();
    return [op] {
      const NoGradGuard no_grad;
      benchmark::DoNotOptimize(op());
    };
  });
}

void kernel(const std::string& name, double passes, const Prepare& prepare) {
  register_bytes("karyon/" + name, passes * whole, prepare);
}

void elementwise() {
  forward("add", 3, [] { return [a = image(), b = image()] { return a + b; }; });
  forward("add_bias", 2, [] { return [a = image(), b = ones({channels})] { return a + b; }; });
  forward("relu", 2, [] { return [a = image()] { return relu(a); }; });
  forward("sigmoid", 2, [] { return [a = image()] { return sigmoid(a); }; });
  forward("gelu", 2, [] { return [a = image()] { return gelu(a); }; });
  forward("dropout", 2, [] { return [a = image()] { return dropout(a, 0.5); }; });
  kernel("relu_backward", 3, [] {
    return [dy = image(), y = image(), dx = image()]() mutable {
      kernels::activation_backward(kernels::Activation::relu, 0, 0, dy, y, dx);
    };
  });
}

void reductions() {
  forward("sum", 1, [] { return [a = image()] { return sum(a); }; });
  forward("sum_over_pixels", 1, [] { return [a = image()] { return sum(a, {0, 1, 2}); }; });
  forward("softmax", 2, [] { return [a = image()] { return softmax(a, -1); }; });
}

void layout() {
  forward("cat", 4, [] { return [a = image(), b = image()] { return cat({a, b}, -1); }; });
  forward("permute", 2, [] { return [a = image()] { return permute(a, {0, 3, 1, 2}); }; });
  forward("pad_reflect", 2, [] {
    return [a = image()] { return pad(a, {.top = 1, .bottom = 1, .left = 1, .right = 1}, PadMode::reflect); };
  });
}

void norms() {
  struct Norm {
    Tensor x = image(), dy = image(), y = image(), weight = ones({channels}), bias = zeros({channels}),
           running_mean = zeros({channels}), running_var = ones({channels}), mean = zeros({channels}),
           rstd = ones({channels}), dweight = zeros({channels}), dbias = zeros({channels});
  };
  // Statistics, then the result: the input is read twice.
  forward("batch_norm_relu", 3, [] {
    return [n = Norm()] {
      return batch_norm(n.x, n.weight, n.bias, n.running_mean, n.running_var,
                        {.training = true, .relu = true});
    };
  });
  // Sums over dy and x, then dx from both.
  kernel("batch_norm_relu_backward", 5, [] {
    return [n = Norm()]() mutable {
      kernels::batch_norm_backward(n.dy, n.x, n.weight, n.bias, n.mean, n.rstd, true, true, n.y, n.dweight,
                                   n.dbias);
    };
  });
  forward("group_norm", 3, [] { return [a = image()] { return group_norm(a, 8); }; });
  forward("layer_norm", 2, [] { return [a = image()] { return layer_norm(a, {channels}); }; });
}

// Half the bytes.
void in_bf16() {
  const auto narrow = [] { return image().to(bf16); };
  forward("relu_bf16", 1, [narrow] { return [a = narrow()] { return relu(a); }; });
  forward("max_pool2d_bf16", 0.625, [narrow] { return [a = narrow()] { return max_pool2d(a); }; });
  forward("batch_norm_relu_bf16", 1.5, [narrow] {
    return [a = narrow(), weight = ones({channels}), bias = zeros({channels})] {
      return batch_norm(a, weight, bias, {}, {}, {.training = true, .relu = true});
    };
  });
  forward("to_bf16", 1.5, [] { return [a = image()] { return a.to(bf16); }; });
}

void pools() {
  forward("max_pool2d", 1.25, [] { return [a = image()] { return max_pool2d(a); }; });
  forward("avg_pool2d", 1.25, [] { return [a = image()] { return avg_pool2d(a); }; });
  forward("interpolate_nearest", 1.25, [] {
    return [a = image(size / 2)] { return interpolate(a, {size, size}); };
  });
  forward("interpolate_bilinear", 1.25, [] {
    return [a = image(size / 2)] {
      return interpolate(a, {size, size}, {.mode = InterpolateMode::bilinear});
    };
  });
}

void training() {
  forward("bce_with_logits", 2, [] { return [a = image(), t = image()] { return bce_with_logits(a, t); }; });
  forward("dice_loss", 2, [] { return [a = image(), t = image()] { return dice_loss(a, t); }; });
  // Gradient, weight and both moments are read, all but the gradient written.
  kernel("adamw_step", 7, []() -> std::function<void()> {
    Tensor p = image();
    p.requires_grad_(true);
    sum(p).backward();
    return [optimizer = std::make_shared<AdamW>(std::vector<Tensor>{p})] { optimizer->step(); };
  });
}

void matmuls() {
  for (const std::int64_t n : {256, 1024, 2048})
    register_flops("karyon/matmul/" + std::to_string(n),
                   2.0 * static_cast<double>(n) * static_cast<double>(n) * static_cast<double>(n), [n] {
                     Generator generator(1);
                     return [a = rand({n, n}, generator), b = rand({n, n}, generator)] {
                       benchmark::DoNotOptimize(matmul(a, b));
                     };
                   });
}

const int registered = [] {
  for (const auto family : {elementwise, reductions, layout, norms, in_bf16, pools, training, matmuls})
    family();
  return 0;
}();

}  // namespace
}  // namespace karyon::bench
