// Every kernel of the CPU between forbidden pages, in shapes that end in the middle of a vector.
#include "guarded.h"
#include "conv_job.h"

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/kernels/activation.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/kernels/dropout.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/kernels/norm.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/kernels/pool.h>
#include <karyon/core/kernels/reduce.h>
#include <karyon/core/kernels/resize.h>

using namespace karyon;
using namespace karyon::test;
using cpu::ConvDirection;

namespace {

const std::vector<ConvJob> jobs{
    {1, 2, 2, 32, 32, 1, 1, 0, 1, 32},  // the outputs of all groups are one panel
    {1, 2, 2, 16, 16, 1, 1, 0, 1, 16},  // the same with AVX2
    {1, 3, 2, 32, 32, 3, 1, 1, 1, 2},   // two groups in a panel
    {2, 5, 3, 64, 64, {3, 2}, 1, 1, 1, 2},
    {1, 4, 4, 96, 96, 3, 1, 1, 1, 3},
    {2, 5, 7, 12, 20, {2, 3}, {2, 1}, {0, 1}, 1, 4},
    {1, 9, 7, 3, 5, 3, 1, 1},
    {2, 13, 11, 33, 34, 3, 2, 1},
    {1, 18, 17, 16, 16, 3, 1, 1},  // Winograd
    {1, 19, 18, 48, 33, 3, 1, {1, 0}},
    {1, 16, 6, 32, 64, 2, 2},
    {2, 3, 3, 65, 31, 1},
    {1, 1, 1, 1, 1, 1},
    {1, 5, 6, 7, 1, {5, 4}},
    {1, 12, 10, 17, 18, 3, 1, 2, 2},
    {1, 7, 7, 16, 32, 3, 3, 2, 2},
};

void check_engine(const cpu::ConvEngine& engine, const ConvGeometry& g, DType dtype) {
  const auto takes = [&](ConvDirection direction) { return !engine.refuse(direction, g, dtype); };
  const DType beside = parameter_dtype(dtype);
  const Shape x_shape{g.n, g.h, g.w, g.c}, y_shape{g.n, g.h_out, g.w_out, g.k},
      w_shape{g.k, g.kernel.h, g.kernel.w, g.c / g.groups};
  check_guarded([&](Memory& memory) {
    const Tensor x = memory.normal(x_shape, dtype), w = memory.normal(w_shape, dtype),
                 dy = memory.normal(y_shape, dtype), scale = memory.normal({g.k}, beside),
                 shift = memory.normal({g.k}, beside), x_bias = memory.normal({g.c}, beside),
                 residual = memory.normal(y_shape, dtype);
    std::vector<Tensor> out;
    if (takes(ConvDirection::forward)) {
      out.push_back(memory.room(y_shape, dtype));
      engine.forward(g, {}, x, w, shift, out.back());
      for (const ConvFinish& finish :
           {ConvFinish{ActivationKind::relu}, ConvFinish{ActivationKind::silu, residual}}) {
        out.push_back(memory.room(y_shape, dtype));
        engine.affine(g, {}, x, w, scale, shift, finish, out.back());
      }
    }
    if (takes(ConvDirection::backward_data)) {
      out.push_back(memory.room(x_shape, dtype));
      engine.backward_data(g, {}, dy, w, x_bias, out.back());
    }
    if (takes(ConvDirection::backward_weight)) {
      out.push_back(memory.room(w_shape, dtype));
      engine.backward_weight(g, x, dy, out.back());
    }
    return out;
  });
}

const DType floating[] = {f32, bf16, f64};

}  // namespace

TEST_CASE("between forbidden pages: every engine of convolution") {
  for (const ConvJob& job : jobs)
    for (const DType dtype : floating)
      for (const cpu::ConvEngine& engine : cpu::conv_engines()) {
        INFO(engine.name << " " << dtype << " " << job.c << " to " << job.k << " channels, groups "
                         << job.groups);
        check_engine(engine, geometry(job), dtype);
      }
}

TEST_CASE("between forbidden pages: the gradient of a bias") {
  for (const DType dtype : floating)
    for (const std::int64_t channels : {1, 7, 16, 33, 130})
      check_guarded([&](Memory& memory) {
        Tensor db = memory.room({channels}, parameter_dtype(dtype));
        kernels::conv2d_backward_bias(memory.normal({2, 5, 3, channels}, dtype), db);
        return std::vector{db};
      });
}

TEST_CASE("between forbidden pages: pools and interpolation") {
  for (const DType dtype : floating)
    for (const std::int64_t c : {1, 3, 16, 33})
      for (const auto& w : {kernels::PoolWindow{2, 2, 0, 1}, kernels::PoolWindow{3, 2, 1, 1},
                            kernels::PoolWindow{{2, 3}, 1, {1, 1}, 2}, kernels::PoolWindow{17, 1, 8, 1}})
        check_guarded([&](Memory& memory) {
          const Shape in{2, 7, 5, c};
          const Pair size = window_positions(
              "test", {7, 5},
              {.kernel = w.kernel, .stride = w.stride, .padding = w.padding, .dilation = w.dilation});
          const Shape out{2, size.h, size.w, c};
          const Tensor x = memory.normal(in, dtype), dy = memory.normal(out, dtype);
          Tensor y = memory.room(out, dtype), index = memory.room(out, w.kernel.h > 16 ? i64 : u8),
                 dx = memory.room(in, dtype), added = memory.normal(in, dtype);
          kernels::max_pool2d(x, y, index, w);
          kernels::max_pool2d_backward(dy, index, dx, w);
          if (w.halves()) kernels::add_max_pool2d_backward(dy, index, added);
          Tensor mean = memory.room(out, dtype), dmean = memory.room(in, dtype);
          const auto dense = kernels::PoolWindow{w.kernel, w.stride, w.padding, 1, false};
          if (w.dilation == Pair(1)) {
            kernels::avg_pool2d(x, mean, dense);
            kernels::avg_pool2d_backward(dy, dmean, dense);
          } else {
            kernels::adaptive_avg_pool2d(x, mean);
            kernels::adaptive_avg_pool2d_backward(dy, dmean);
          }
          Tensor resized = memory.room({2, 9, 3, c}, dtype), dresized = memory.room(in, dtype);
          for (const auto mode : {InterpolateMode::nearest, InterpolateMode::bilinear}) {
            kernels::interpolate(x, resized, {.mode = mode});
            kernels::interpolate_backward(resized, dresized, {.mode = mode});
          }
          return std::vector{y, index, dx, added, mean, dmean, resized, dresized};
        });
}

TEST_CASE("between forbidden pages: norms") {
  for (const DType dtype : floating)
    for (const std::int64_t c : {2, 6, 16, 34, 96})
      for (const bool relu : {false, true})
        check_guarded([&](Memory& memory) {
          const Shape shape{2, 5, 3, c}, rows{30}, groups{2, 2};
          const DType p = parameter_dtype(dtype);
          const Tensor x = memory.normal(shape, dtype), dy = memory.normal(shape, dtype),
                       weight = memory.normal({c}, p), bias = memory.normal({c}, p);
          Tensor y = memory.room(shape, dtype), dx = memory.room(shape, dtype), mean = memory.room({c}, p),
                 rstd = memory.room({c}, p), running_mean = memory.normal({c}, p),
                 running_var = memory.positive({c}, p), dweight = memory.room({c}, p),
                 dbias = memory.room({c}, p);
          kernels::batch_norm_running(running_mean, running_var, 1e-5, mean, rstd);
          kernels::batch_norm_statistics(x, 0.1, 1e-5, running_mean, running_var, mean, rstd);
          kernels::batch_norm(x, weight, bias, mean, rstd, relu, y);
          kernels::batch_norm_backward(dy, x, weight, bias, mean, rstd, relu, true, dx, dweight, dbias);
          std::vector<Tensor> out{y, dx, mean, rstd, running_mean, running_var, dweight, dbias};
          const auto other = [&](const Shape& statistics, auto forward, auto backward) {
            Tensor z = memory.room(shape, dtype), dz = memory.room(shape, dtype),
                   m = memory.room(statistics, p), r = memory.room(statistics, p), dw = memory.room({c}, p),
                   db = memory.room({c}, p);
            forward(x, weight, bias, 1e-5, z, m, r);
            backward(dy, x, weight, m, r, dz, dw, db);
            out.insert(out.end(), {z, dz, m, r, dw, db});
          };
          other(
              groups, [](auto&&... a) { kernels::group_norm(a...); },
              [](auto&&... a) { kernels::group_norm_backward(a...); });
          other(
              rows, [](auto&&... a) { kernels::layer_norm(a...); },
              [](auto&&... a) { kernels::layer_norm_backward(a...); });
          return out;
        });
}

TEST_CASE("between forbidden pages: elementwise operations and activations") {
  using kernels::Binary;
  using kernels::Side;
  using kernels::Unary;
  for (const DType dtype : floating)
    for (const auto& [a_shape, b_shape] : std::vector<std::pair<Shape, Shape>>{
             {{37}, {37}}, {{5, 7}, {7}}, {{5, 1}, {7}}, {{1}, {3, 11}}, {{2, 3, 19}, {2, 1, 19}}})
      check_guarded([&, a_shape = a_shape, b_shape = b_shape](Memory& memory) {
        const Shape shape = broadcast_shapes(a_shape, b_shape, "test");
        const Tensor a = memory.positive(a_shape, dtype), b = memory.positive(b_shape, dtype),
                     dy = memory.normal(shape, dtype);
        std::vector<Tensor> out;
        const auto room = [&](const Shape& s, DType type) -> Tensor& {
          return out.emplace_back(memory.room(s, type));
        };
        for (const Unary op : {Unary::add, Unary::mul, Unary::neg, Unary::abs, Unary::clamp}) {
          kernels::unary(op, 0.5, 2, a, room(a_shape, dtype));
          if (op == Unary::abs || op == Unary::clamp)
            kernels::unary_backward(op, 0.5, 2, a, a, room(a_shape, dtype));
        }
        for (const Binary op : {Binary::add, Binary::mul, Binary::div, Binary::maximum})
          kernels::binary(op, a, b, room(shape, dtype));
        for (const Binary op : {Binary::eq, Binary::gt}) kernels::binary(op, a, b, room(shape, boolean));
        for (const Side side : {Side::a, Side::b})
          kernels::binary_backward(Binary::div, side, dy, a, b, room(shape, dtype));
        kernels::where(memory.copy(dy.to(boolean)), a, b, room(shape, dtype));
        for (int op = 0; op <= static_cast<int>(kernels::Activation::gelu); ++op) {
          kernels::activation(static_cast<kernels::Activation>(op), 1, 20, dy, room(shape, dtype));
          kernels::activation_backward(static_cast<kernels::Activation>(op), 1, 20, dy, dy,
                                       room(shape, dtype));
        }
        kernels::dropout(dy, 0.5, 1, 0, room(shape, dtype));
        return out;
      });
}

TEST_CASE("between forbidden pages: copies and layouts of every type") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32})
    check_guarded([&](Memory& memory) {
      const Tensor x = memory.copy(memory.normal({2, 5, 3, 7}, f32).to(dtype));
      std::vector<Tensor> out;
      for (const DType to : {f32, f64, bf16, i64, u8, boolean, f16, i32})
        kernels::convert(x, out.emplace_back(memory.room(x.shape(), to)));
      kernels::fill(out.emplace_back(memory.room({31}, dtype)), 1);
      kernels::permute(x, out.emplace_back(memory.room({7, 2, 3, 5}, dtype)), {3, 0, 2, 1});
      kernels::permute(x, out.emplace_back(memory.room({5, 2, 3, 7}, dtype)), {1, 0, 2, 3});
      kernels::pad_reflect(x, out.emplace_back(memory.room({2, 8, 6, 7}, dtype)), {1, 2, 2, 1});
      kernels::copy_runs(
          x, out.emplace_back(memory.room({2, 5, 3, 2}, dtype)),
          {.outer = 30, .length = 2, .from = {.offset = 5, .outer_stride = 7}, .to = {.outer_stride = 2}});
      if (!is_floating(dtype) || dtype == f16) return out;
      Tensor sum = memory.copy(x);
      kernels::axpy(0.5, x, sum);
      kernels::scale(3, sum);
      Tensor narrow = memory.room({2, 5, 3, 7}, dtype);
      kernels::pad_reflect_backward(memory.normal({2, 8, 6, 7}, dtype), narrow, {1, 2, 2, 1});
      out.insert(out.end(), {sum, narrow});
      return out;
    });
}

TEST_CASE("between forbidden pages: reductions and products of matrices") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean})
    for (const Shape& shape : {Shape{1, 37, 1}, Shape{3, 5, 7}, Shape{2, 70, 33}, Shape{1, 2, 513}})
      check_guarded([&](Memory& memory) {
        const Tensor x = memory.copy(memory.normal(shape, f32).to(dtype));
        const Shape reduced{shape[0], shape[2]};
        const DType sum_type = is_floating(dtype) ? parameter_dtype(dtype) : i64;
        std::vector<Tensor> out;
        kernels::sum(1, x, out.emplace_back(memory.room(reduced, sum_type)));
        kernels::max(x, out.emplace_back(memory.room(reduced, parameter_dtype(dtype))));
        kernels::argmax(x, out.emplace_back(memory.room(reduced, i64)));
        if (dtype != f32 && dtype != f64) return out;
        kernels::softmax(true, x, out.emplace_back(memory.room(shape, dtype)));
        kernels::softmax_backward(true, x, x, out.emplace_back(memory.room(shape, dtype)));
        return out;
      });
  for (const DType dtype : floating)
    for (const std::int64_t size : {3, 17, 65})
      for (const bool transpose : {false, true})
        check_guarded([&](Memory& memory) {
          Tensor y = memory.room({2, size + 1, size}, dtype);
          const Shape a = transpose ? Shape{2, size + 2, size + 1} : Shape{2, size + 1, size + 2};
          kernels::matmul(transpose, false, false, memory.normal(a, dtype),
                          memory.normal({size + 2, size}, dtype), y);
          return std::vector{y};
        });
}

TEST_CASE("between forbidden pages: losses and optimizers") {
  for (const DType dtype : {f32, f64})
    for (const Reduction reduction : {Reduction::mean, Reduction::none})
      check_guarded([&](Memory& memory) {
        const Shape shape{3, 7, 5}, result = reduction == Reduction::none ? shape : Shape();
        const Tensor x = memory.normal(shape, dtype), t = memory.copy(memory.positive(shape, dtype) * 0.5),
                     dy = memory.normal(result, dtype), weight = memory.positive({5}, dtype);
        Tensor loss = memory.room(result, dtype), dx = memory.room(shape, dtype),
               bce = memory.room(result, dtype), dbce = memory.room(shape, dtype),
               dice = memory.room({}, dtype), fractions = memory.room({3, 5, 2}, f64),
               ddice = memory.room(shape, dtype);
        kernels::mse_loss(x, t, reduction, loss);
        kernels::mse_loss_backward(dy, x, t, reduction, dx);
        kernels::bce_with_logits(x, t, weight, weight, reduction, bce);
        kernels::bce_with_logits_backward(dy, x, t, weight, weight, reduction, dbce);
        kernels::dice_loss(x, t, 1, dice, fractions);
        kernels::dice_loss_backward(dice, x, t, fractions, ddice);

        const Shape rows{3, 7};
        const Tensor classes = memory.copy(memory.positive(rows, f32).to(i64));
        const Shape per_row = reduction == Reduction::none ? rows : Shape();
        Tensor bad = memory.room({1}, i64), entropy = memory.room(per_row, dtype),
               total = memory.room({1}, f64), dentropy = memory.room(shape, dtype);
        kernels::find_bad_class(classes, 5, -1, bad);
        kernels::cross_entropy(x, classes, weight, -1, 0.1, reduction, entropy, total);
        kernels::cross_entropy_backward(memory.normal(per_row, dtype), x, classes, weight, -1, 0.1, reduction,
                                        total, dentropy);
        return std::vector{loss, dx, bce, dbce, dice, ddice, bad, entropy, dentropy};
      });
  check_guarded([&](Memory& memory) {
    const std::vector<Tensor> grad{memory.normal({3, 7}, f32), memory.normal({1}, f32)};
    const auto like = [&] { return std::vector{memory.positive({3, 7}, f32), memory.positive({1}, f32)}; };
    std::vector<Tensor> p = like(), velocity = like(), q = like(), m = like(), v = like();
    Tensor squares = memory.room({2}, f64);
    kernels::sum_of_squares(grad, squares);
    Tensor norm = memory.room({}, f64);
    kernels::root_of_sum(squares, norm);
    kernels::limit_norm(0.5, norm, v);
    kernels::lerp_all(0.25, p, q);
    kernels::limit_magnitude(0.5, p[0]);
    kernels::sgd_step({0.1, 0.9, 0, 0.1, true, false}, grad, p, velocity);
    kernels::adam_step({0.1, 0.9, 0.99, 1e-8, 0.1, 0.5, 0.5, true}, grad, q, m, v);
    std::vector<Tensor> out{squares};
    for (const auto& group : {p, velocity, q, m, v}) out.insert(out.end(), group.begin(), group.end());
    return out;
  });
}
