// The bf16 kernels of convolution, matmul, norms, pools and resampling against the f32 ones of the CPU on the
// same, already rounded, inputs. What is left is that sums are in f32 in another order, and that the result
// is rounded to 8 significant bits: off by 2^-8 of a value at worst. An eighth is added for the f32 sums, and
// values are measured against the largest.
#include <array>
#include <catch2/catch.hpp>

#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/kernels/resize.h>
#include <karyon/karyon.h>

#include "../op_check.h"

using namespace karyon;
using karyon::test::difference;

namespace {

constexpr double once = 1.125 / 256;  // one rounding

const Device cuda = Device::cuda();

Tensor random(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return randn(shape, generator).to(bf16).to(f32);
}
Tensor on_device(const Tensor& x, DType dtype = bf16) { return x.to(dtype).to(cuda); }
Tensor room(const Shape& shape, DType dtype = bf16) { return empty(shape, {.dtype = dtype, .device = cuda}); }
double error(const Tensor& y, const Tensor& expected) { return difference(y.to(Device{}).to(f32), expected); }

// All three directions: vectors and odd channels, large and small tiles, groups, strides, tails.
const std::vector<ConvGeometry> geometries = {
    {.n = 1, .h = 1, .w = 1, .c = 1, .h_out = 1, .w_out = 1, .k = 1},
    {.n = 2, .h = 9, .w = 11, .c = 16, .h_out = 9, .w_out = 11, .k = 24, .kernel = 3, .padding = 1},
    {.n = 1, .h = 9, .w = 7, .c = 3, .h_out = 5, .w_out = 4, .k = 5, .kernel = 3, .stride = 2, .padding = 1},
    {.n = 1, .h = 10, .w = 12, .c = 32, .h_out = 5, .w_out = 6, .k = 64, .kernel = 2, .stride = 2},
    {.n = 1,
     .h = 8,
     .w = 8,
     .c = 32,
     .h_out = 8,
     .w_out = 8,
     .k = 16,
     .kernel = 3,
     .padding = 2,
     .dilation = 2,
     .groups = 2},
    {.n = 2, .h = 20, .w = 20, .c = 136, .h_out = 20, .w_out = 20, .k = 160},
};

std::string text(const ConvGeometry& g) {
  return std::to_string(g.c) + " to " + std::to_string(g.k) + " channels of " + std::to_string(g.h) + " x " +
         std::to_string(g.w);
}

}  // namespace

TEST_CASE("bf16 convolution, forward and both backwards") {
  for (const ConvGeometry& g : geometries) {
    INFO(text(g));
    const Shape input{g.n, g.h, g.w, g.c}, output{g.n, g.h_out, g.w_out, g.k};
    const Shape filters{g.k, g.kernel.h, g.kernel.w, g.c / g.groups};
    const Tensor x = random(input, 1), w = random(filters, 2), b = random({g.k}, 3), dy = random(output, 4);

    Tensor y = empty(output), y_device = room(output);
    kernels::conv2d(g, {}, x, w, b, y);
    kernels::conv2d(g, {}, on_device(x), on_device(w), on_device(b), y_device);
    CHECK(error(y_device, y) <= once);

    const Tensor scale = random({g.k}, 5), shift = random({g.k}, 6);  // f32: as a batch norm has them
    kernels::conv2d_affine(g, {}, x, w, scale, shift, {ActivationKind::relu}, y);
    kernels::conv2d_affine(g, {}, on_device(x), on_device(w), on_device(scale, f32), on_device(shift, f32),
                           {ActivationKind::relu}, y_device);
    CHECK(error(y_device, y) <= once);

    Tensor dx = empty(input), dx_device = room(input);
    kernels::conv2d_backward_data(g, {}, dy, w, {}, dx);
    kernels::conv2d_backward_data(g, {}, on_device(dy), on_device(w), {}, dx_device);
    CHECK(error(dx_device, dx) <= once);

    for (const DType dtype : {bf16, f32}) {
      Tensor dw = empty(filters), dw_device = room(filters, dtype);
      kernels::conv2d_backward_weight(g, x, dy, dw);
      kernels::conv2d_backward_weight(g, on_device(x), on_device(dy), dw_device);
      CHECK(error(dw_device, dw) <= (dtype == bf16 ? once : 1e-5));
      Tensor db = empty({g.k}), db_device = room({g.k}, dtype);
      kernels::conv2d_backward_bias(dy, db);
      kernels::conv2d_backward_bias(on_device(dy), db_device);
      CHECK(error(db_device, db) <= (dtype == bf16 ? once : 1e-5));
    }
  }
}

TEST_CASE("bf16 products, transposed, accumulated and with a sum cut into parts") {
  for (const auto& [m, n, k] :
       std::vector<std::array<std::int64_t, 3>>{{68, 52, 37}, {8, 16, 3000}, {136, 128, 64}})
    for (const bool transpose_a : {false, true})
      for (const bool transpose_b : {false, true})
        for (const bool accumulate : {false, true}) {
          INFO(m << " x " << n << " over " << k << (transpose_a ? ", a^T" : "")
                 << (transpose_b ? ", b^T" : "") << (accumulate ? ", accumulated" : ""));
          const Tensor a = random(transpose_a ? Shape{k, m} : Shape{m, k}, 1);
          const Tensor b = random(transpose_b ? Shape{n, k} : Shape{k, n}, 2), start = random({m, n}, 3);
          Tensor y = start.clone(), y_device = on_device(start);
          kernels::matmul(transpose_a, transpose_b, accumulate, a, b, y);
          kernels::matmul(transpose_a, transpose_b, accumulate, on_device(a), on_device(b), y_device);
          CHECK(error(y_device, y) <= once);
        }
}

namespace {

// Sizes for which each of the tiles is chosen, in each order of a and b.
struct Sizes {
  std::int64_t m, n, k;
  bool transpose_a, transpose_b;
};
const std::vector<Sizes> every_tile = {
    {16896, 128, 40, false, true},  {16896, 128, 40, false, false},
    {128, 128, 33792, true, false},                                 // 128 x 128
    {16896, 30, 24, false, true},   {16896, 30, 24, false, false},  // 128 x 32
    {30, 16896, 24, true, false},                                   // 32 x 128
};

double error_of(const Sizes& s, DType dtype) {
  const Tensor a = random(s.transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}, 1);
  const Tensor b = random(s.transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}, 2);
  Tensor y = empty({s.m, s.n}), y_device = room({s.m, s.n}, dtype);
  kernels::matmul(s.transpose_a, s.transpose_b, false, a, b, y);
  kernels::matmul(s.transpose_a, s.transpose_b, false, on_device(a, dtype), on_device(b, dtype), y_device);
  return error(y_device, y);
}

}  // namespace

TEST_CASE("products by every tile, in f32 and bf16") {
  for (const Sizes& s : every_tile) {
    INFO(s.m << " x " << s.n << " over " << s.k);
    CHECK(error_of(s, f32) <= 1e-5);
    CHECK(error_of(s, bf16) <= once);
  }
}

TEST_CASE("bf16 batch norm, group norm and layer norm: statistics and parameters stay f32") {
  for (const Shape& shape : std::vector<Shape>{{2, 5, 7, 6}, {2, 9, 8, 32}, {1, 3, 1, 1}}) {
    INFO(shape);
    const std::int64_t c = shape[3];
    const Tensor x = random(shape, 1), dy = random(shape, 2), w = random({c}, 3), b = random({c}, 4);
    const Tensor x_device = on_device(x), dy_device = on_device(dy), w_device = w.to(cuda),
                 b_device = b.to(cuda);
    Tensor none, none_too;
    const auto same = [&](const Shape& parts, auto run) {
      // run(x, dy, weight, bias, y, mean, rstd, dx, dweight, dbias)
      Tensor y = empty(shape), mean = empty(parts), rstd = empty(parts), dx = empty(shape), dw = empty({c}),
             db = empty({c});
      run(x, dy, w, b, y, mean, rstd, dx, dw, db);
      Tensor y2 = room(shape), mean2 = room(parts, f32), rstd2 = room(parts, f32), dx2 = room(shape),
             dw2 = room({c}, f32), db2 = room({c}, f32);
      run(x_device, dy_device, w_device, b_device, y2, mean2, rstd2, dx2, dw2, db2);
      CHECK(error(mean2, mean) <= 1e-6);
      CHECK(error(rstd2, rstd) <= 1e-5);
      CHECK(error(y2, y) <= once);
      CHECK(error(dx2, dx) <= once);
      CHECK(error(dw2, dw) <= 2e-5);
      CHECK(error(db2, db) <= 1e-5);
    };
    for (const bool relu : {false, true})
      same({c}, [&](const Tensor& in, const Tensor& grad, const Tensor& weight, const Tensor& bias, Tensor& y,
                    Tensor& mean, Tensor& rstd, Tensor& dx, Tensor& dw, Tensor& db) {
        kernels::batch_norm_statistics(in, 0.1, 1e-5, none, none_too, mean, rstd);
        kernels::batch_norm(in, weight, bias, mean, rstd, relu, y);
        kernels::batch_norm_backward(grad, in, weight, bias, mean, rstd, relu, true, dx, dw, db);
      });
    const std::int64_t groups = c % 2 == 0 ? 2 : 1;
    same({shape[0], groups},
         [&](const Tensor& in, const Tensor& grad, const Tensor& weight, const Tensor& bias, Tensor& y,
             Tensor& mean, Tensor& rstd, Tensor& dx, Tensor& dw, Tensor& db) {
           kernels::group_norm(in, weight, bias, 1e-5, y, mean, rstd);
           kernels::group_norm_backward(grad, in, weight, mean, rstd, dx, dw, db);
         });
    if (c == 1) continue;  // a row of one value is 0 whatever the value
    same({x.numel() / c}, [&](const Tensor& in, const Tensor& grad, const Tensor& weight, const Tensor& bias,
                              Tensor& y, Tensor& mean, Tensor& rstd, Tensor& dx, Tensor& dw, Tensor& db) {
      kernels::layer_norm(in, weight, bias, 1e-5, y, mean, rstd);
      kernels::layer_norm_backward(grad, in, weight, mean, rstd, dx, dw, db);
    });
  }
}

TEST_CASE("bf16 pooling and resampling") {
  for (const Shape& shape : std::vector<Shape>{{2, 6, 8, 8}, {1, 7, 5, 3}}) {
    INFO(shape);
    const Tensor x = random(shape, 1), x_device = on_device(x);
    for (const Pair stride : {Pair(2), Pair(1)}) {
      const kernels::PoolWindow window{2, stride, 0, 1};
      const Shape out{shape[0], (shape[1] - 2) / stride.h + 1, (shape[2] - 2) / stride.w + 1, shape[3]};
      const Tensor dy = random(out, 2), dy_device = on_device(dy);
      Tensor y = empty(out), index = empty(out, {.dtype = u8}), dx = empty(shape);
      Tensor y2 = room(out), index2 = room(out, u8), dx2 = room(shape);
      kernels::max_pool2d(x, y, index, window);
      kernels::max_pool2d(x_device, y2, index2, window);
      CHECK(error(y2, y) == 0);
      CHECK(index2.to_vector<std::int64_t>() == index.to_vector<std::int64_t>());
      kernels::max_pool2d_backward(dy, index, dx, window);
      kernels::max_pool2d_backward(dy_device, index2, dx2, window);
      CHECK(error(dx2, dx) <= once);
      kernels::avg_pool2d(x, y, window);
      kernels::avg_pool2d(x_device, y2, window);
      CHECK(error(y2, y) <= once);
      kernels::avg_pool2d_backward(dy, dx, window);
      kernels::avg_pool2d_backward(dy_device, dx2, window);
      CHECK(error(dx2, dx) <= once);
    }
    const Shape out{shape[0], 3, 11, shape[3]};
    for (const InterpolateMode mode : {InterpolateMode::nearest, InterpolateMode::bilinear}) {
      const Tensor dy = random(out, 3);
      Tensor y = empty(out), y2 = room(out), dx = empty(shape), dx2 = room(shape);
      kernels::interpolate(x, y, {.mode = mode});
      kernels::interpolate(x_device, y2, {.mode = mode});
      CHECK(error(y2, y) <= once);
      kernels::interpolate_backward(dy, dx, {.mode = mode});
      kernels::interpolate_backward(on_device(dy), dx2, {.mode = mode});
      CHECK(error(dx2, dx) <= once);
    }
  }
}

TEST_CASE("the precision of f32 products can be chosen while a program runs") {
  CHECK(get_float32_matmul_precision() == "highest");
  const Tensor a = random({64, 64}, 1).to(f64).mul_(1.0 / 3).to(f32), b = random({64, 64}, 2);
  const auto product = [&] {
    Tensor y = room({64, 64}, f32);
    kernels::matmul(false, false, false, a.to(cuda), b.to(cuda), y);
    return y;
  };
  const Tensor exact = product();
  set_float32_matmul_precision("high");
  CHECK(get_float32_matmul_precision() == "high");
  if (karyon::test::device_has_bf16()) CHECK(error(product(), exact.to(Device::cpu())) > 1e-6);
  set_float32_matmul_precision("highest");
  CHECK(error(product(), exact.to(Device::cpu())) == 0);
  CHECK_THROWS_WITH(set_float32_matmul_precision("fast"), Catch::Contains("expects highest, high or medium"));
}

TEST_CASE("KARYON_TF32=1 sends f32 products through tensor cores", "[.][tf32]") {
  // Operands are rounded to 11 bits (with the hidden one), each by 2^-12 at most; errors of a sum's terms are
  // independent, so against the largest result 2^-11 is more than enough, and f32 would be far below.
  const Tensor a = random({136, 200}, 1).to(f64).mul_(1.0 / 3).to(f32), b = random({200, 72}, 2);
  Tensor y = empty({136, 72}), y_device = room({136, 72}, f32);
  kernels::matmul(false, false, false, a, b, y);
  kernels::matmul(false, false, false, a.to(cuda), b.to(cuda), y_device);
  const double off = error(y_device, y);
  CHECK(off <= 1.0 / 2048);
  CHECK(off > 1e-6);  // else it was not TF32
  for (const Sizes& s : every_tile) {
    INFO(s.m << " x " << s.n << " over " << s.k);
    CHECK(error_of(s, f32) <= 1e-5);  // random() is exact in TF32
  }
  for (const ConvGeometry& g : geometries) {
    INFO(text(g));
    const Shape input{g.n, g.h, g.w, g.c}, output{g.n, g.h_out, g.w_out, g.k};
    const Shape filters{g.k, g.kernel.h, g.kernel.w, g.c / g.groups};
    const Tensor x = random(input, 1), w = random(filters, 2), dy = random(output, 4);  // exact in TF32
    Tensor out = empty(output), out_device = room(output, f32), dx = empty(input),
           dx_device = room(input, f32);
    Tensor dw = empty(filters), dw_device = room(filters, f32);
    kernels::conv2d(g, {}, x, w, {}, out);
    kernels::conv2d(g, {}, x.to(cuda), w.to(cuda), {}, out_device);
    CHECK(error(out_device, out) <= 1e-5);
    kernels::conv2d_backward_data(g, {}, dy, w, {}, dx);
    kernels::conv2d_backward_data(g, {}, dy.to(cuda), w.to(cuda), {}, dx_device);
    CHECK(error(dx_device, dx) <= 1e-5);
    kernels::conv2d_backward_weight(g, x, dy, dw);
    kernels::conv2d_backward_weight(g, x.to(cuda), dy.to(cuda), dw_device);
    CHECK(error(dw_device, dw) <= 1e-5);
  }
}
