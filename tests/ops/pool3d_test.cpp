#include <algorithm>
#include <limits>

#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/pool1d.h>
#include <karyon/core/ops/pool3d.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

// Values far enough apart that a finite difference never changes which is largest.
Tensor distinct(const Shape& shape) {
  Generator generator(3);
  Tensor x = randperm(shape.numel(), generator).to(f32).reshape(shape);
  x.mul_(0.01);
  return x;
}

struct Axis {
  std::int64_t kernel, stride, padding = 0, dilation = 1;
};

// PyTorch's size of the output: a window begins inside the input or the padding before it.
std::int64_t outputs(std::int64_t size, const Axis& a, bool ceil_mode) {
  const double free = static_cast<double>(size + 2 * a.padding - a.dilation * (a.kernel - 1) - 1) /
                      static_cast<double>(a.stride);
  auto n = static_cast<std::int64_t>(ceil_mode ? std::ceil(free) : std::floor(free)) + 1;
  if (ceil_mode && (n - 1) * a.stride >= size + a.padding) --n;
  return n;
}

// The values that a window covers, and how many places inside the padded volume.
struct Covered {
  std::vector<double> values;
  double places = 0;
};

// Every window of volumes, reduced. Images are volumes of depth 1, sequences of height 1.
template <class F>
Tensor pooled(const Tensor& x, const Axis (&axes)[3], bool ceil_mode, const F& reduce) {
  std::int64_t out[3];
  for (int i = 0; i < 3; ++i) out[i] = outputs(x.size(i + 1), axes[i], ceil_mode);
  const std::int64_t c = x.size(4);
  std::vector<double> y;
  const auto inside = [&](int axis, std::int64_t at, std::int64_t padding) {
    return at >= -padding && at < x.size(axis + 1) + padding;
  };
  for (std::int64_t i = 0; i < x.size(0) * out[0] * out[1] * out[2] * c; ++i) {
    const std::int64_t o[3] = {i / c / out[2] / out[1] % out[0], i / c / out[2] % out[1], i / c % out[2]};
    const std::int64_t n = i / c / out[2] / out[1] / out[0];
    Covered covered;
    for (std::int64_t tap = 0; tap < axes[0].kernel * axes[1].kernel * axes[2].kernel; ++tap) {
      const std::int64_t t[3] = {tap / axes[2].kernel / axes[1].kernel, tap / axes[2].kernel % axes[1].kernel,
                                 tap % axes[2].kernel};
      std::int64_t at[3];
      bool real = true, padded = true;
      for (int k = 0; k < 3; ++k) {
        at[k] = o[k] * axes[k].stride - axes[k].padding + t[k] * axes[k].dilation;
        real &= inside(k, at[k], 0);
        padded &= inside(k, at[k], axes[k].padding);
      }
      if (padded) covered.places += 1;
      if (real)
        covered.values.push_back(
            x.data<double>()[(((n * x.size(1) + at[0]) * x.size(2) + at[1]) * x.size(3) + at[2]) * c +
                             i % c]);
    }
    y.push_back(reduce(covered));
  }
  return tensor(y, {x.size(0), out[0], out[1], out[2], c}, {.dtype = f64});
}

double largest(const Covered& c) { return *std::max_element(c.values.begin(), c.values.end()); }
auto mean(bool include) {
  return [include](const Covered& c) {
    double sum = 0;
    for (const double v : c.values) sum += v;
    return sum / (include ? c.places : static_cast<double>(c.values.size()));
  };
}

void axes_of(const Triple& k, const Triple& s, const Triple& p, const Triple& d, Axis (&axes)[3]) {
  axes[0] = {k.d, s.d, p.d, d.d};
  axes[1] = {k.h, s.h, p.h, d.h};
  axes[2] = {k.w, s.w, p.w, d.w};
}

const std::vector<Shape> shapes = {{1, 3, 4, 5, 2}, {2, 4, 3, 6, 1}, {1, 5, 5, 4, 3}};

}  // namespace

TEST_CASE("max_pool3d") {
  const std::vector<MaxPool3dOptions> options = {
      {},
      {.kernel_size = 3, .stride = 2, .padding = 1},
      {.kernel_size = {1, 2, 3}, .stride = 1, .padding = {0, 1, 1}},
      {.kernel_size = {3, 1, 2}, .stride = Triple(1, 2, 1), .padding = {1, 0, 1}, .dilation = {1, 1, 2}},
      {.ceil_mode = true},
      {.kernel_size = 3, .stride = 2, .padding = 1, .ceil_mode = true},
      {.kernel_size = 1, .stride = 3, .ceil_mode = true}};
  for (const Shape& shape : shapes)
    for (const MaxPool3dOptions& o : options) {
      Axis axes[3];
      axes_of(o.kernel_size, o.stride.value_or(o.kernel_size), o.padding, o.dilation, axes);
      check_op(
          "max_pool3d", [&](const auto& x) { return max_pool3d(x[0], o); },
          [&](const auto& x) { return pooled(x[0], axes, o.ceil_mode, largest); }, {distinct(shape)});
    }
}

TEST_CASE("max_pool3d gives the gradient to the first of equal values; NaN wins, padding never does") {
  Tensor x = tensor({1, 3, 3, 1, 3, 3, 0, 3}, {1, 2, 2, 2, 1}).requires_grad_();
  max_pool3d(x).backward();
  CHECK(x.grad().to_vector<float>() == std::vector<float>{0, 1, 0, 0, 0, 0, 0, 0});
  CHECK(std::isnan(max_pool3d(tensor({1, 2, 3, 4, 5, NAN, 7, 8}, {1, 2, 2, 2, 1})).item()));
  const double low = -std::numeric_limits<double>::infinity();
  Tensor y = full({1, 1, 1, 2, 1}, low).requires_grad_();
  max_pool3d(y, {.kernel_size = 3, .padding = 1}).backward();
  CHECK(y.grad().to_vector<float>() == std::vector<float>{1, 0});
}

TEST_CASE("avg_pool3d") {
  const std::vector<AvgPool3dOptions> options = {
      {},
      {.kernel_size = 3, .stride = 2, .padding = 1},
      {.kernel_size = {1, 2, 3}, .stride = 1, .padding = {0, 1, 1}},
      {.ceil_mode = true},
      {.kernel_size = 3, .stride = 2, .padding = 1, .ceil_mode = true},
      {.kernel_size = {3, 2, 3}, .stride = 3, .padding = {1, 1, 0}, .ceil_mode = true}};
  for (const Shape& shape : shapes)
    for (AvgPool3dOptions o : options)
      for (const bool include : {true, false}) {
        o.count_include_pad = include;
        Axis axes[3];
        axes_of(o.kernel_size, o.stride.value_or(o.kernel_size), o.padding, 1, axes);
        check_op(
            "avg_pool3d", [&](const auto& x) { return avg_pool3d(x[0], o); },
            [&](const auto& x) { return pooled(x[0], axes, o.ceil_mode, mean(include)); }, {distinct(shape)});
      }
}

TEST_CASE("pools of images with ceil_mode") {
  const auto volume = [](const Tensor& x) {
    return x.reshape({x.size(0), 1, x.size(1), x.size(2), x.size(3)});
  };
  const auto image = [](const Tensor& x) { return x.reshape({x.size(0), x.size(2), x.size(3), x.size(4)}); };
  const std::vector<MaxPool2dOptions> options = {
      {}, {.kernel_size = 3, .stride = 2, .padding = 1}, {.kernel_size = {3, 2}, .stride = Pair(2, 3)}};
  for (const Shape& shape : {Shape{1, 5, 7, 3}, Shape{2, 6, 4, 1}, Shape{1, 3, 3, 17}})
    for (MaxPool2dOptions o : options) {
      o.ceil_mode = true;
      const Pair k = o.kernel_size, s = o.stride.value_or(k), p = o.padding;
      const Axis axes[3] = {{1, 1}, {k.h, s.h, p.h}, {k.w, s.w, p.w}};
      check_op(
          "max_pool2d", [&](const auto& x) { return max_pool2d(x[0], o); },
          [&](const auto& x) { return image(pooled(volume(x[0]), axes, true, largest)); }, {distinct(shape)});
      for (const bool include : {true, false})
        check_op(
            "avg_pool2d",
            [&](const auto& x) {
              return avg_pool2d(x[0], {.kernel_size = k,
                                       .stride = o.stride,
                                       .padding = p,
                                       .count_include_pad = include,
                                       .ceil_mode = true});
            },
            [&](const auto& x) { return image(pooled(volume(x[0]), axes, true, mean(include))); },
            {distinct(shape)});
    }
  // A window larger than what it pools.
  CHECK(max_pool2d(ones({1, 2, 2, 1}), {.kernel_size = 3, .stride = 2, .ceil_mode = true}).shape() ==
        Shape{1, 1, 1, 1});
}

TEST_CASE("pools of sequences") {
  const auto volume = [](const Tensor& x) { return x.reshape({x.size(0), 1, 1, x.size(1), x.size(2)}); };
  const auto sequence = [](const Tensor& x) { return x.reshape({x.size(0), x.size(3), x.size(4)}); };
  const std::vector<MaxPool1dOptions> options = {{},
                                                 {.kernel_size = 3, .stride = 2, .padding = 1},
                                                 {.kernel_size = 3, .stride = 2, .ceil_mode = true},
                                                 {.kernel_size = 2, .stride = 1, .dilation = 3}};
  for (const Shape& shape : {Shape{2, 9, 3}, Shape{1, 6, 17}})
    for (const MaxPool1dOptions& o : options) {
      const std::int64_t stride = o.stride.value_or(o.kernel_size);
      const Axis axes[3] = {{1, 1}, {1, 1}, {o.kernel_size, stride, o.padding, o.dilation}};
      check_op(
          "max_pool1d", [&](const auto& x) { return max_pool1d(x[0], o); },
          [&](const auto& x) { return sequence(pooled(volume(x[0]), axes, o.ceil_mode, largest)); },
          {distinct(shape)});
      if (o.dilation > 1) continue;
      check_op(
          "avg_pool1d",
          [&](const auto& x) {
            return avg_pool1d(x[0], {.kernel_size = o.kernel_size,
                                     .stride = o.stride,
                                     .padding = o.padding,
                                     .ceil_mode = o.ceil_mode});
          },
          [&](const auto& x) { return sequence(pooled(volume(x[0]), axes, o.ceil_mode, mean(true))); },
          {distinct(shape)});
    }
}

TEST_CASE("adaptive_avg_pool1d and adaptive_avg_pool3d") {
  // A mean over windows that divide the size is one of equal windows.
  const Tensor x = distinct({2, 4, 6, 8, 3});
  const Axis axes[3] = {{2, 2}, {2, 2}, {2, 2}};
  check_op(
      "adaptive_avg_pool3d",
      [](const auto& in) {
        return adaptive_avg_pool3d(in[0], {2, 3, 4});
      },
      [&](const auto& in) { return pooled(in[0], axes, false, mean(true)); }, {x});
  const Axis all[3] = {{4, 4}, {6, 6}, {8, 8}};
  check_op(
      "adaptive_avg_pool3d", [](const auto& in) { return adaptive_avg_pool3d(in[0], 1); },
      [&](const auto& in) { return pooled(in[0], all, false, mean(true)); }, {x});
  // torch.nn.functional.adaptive_avg_pool1d(torch.arange(7.)[None, None], 3)
  CHECK(adaptive_avg_pool1d(arange(7).to(f32).reshape({1, 7, 1}), 3).to_vector<float>() ==
        std::vector<float>{1, 3, 5});
  // torch.nn.functional.adaptive_avg_pool3d(torch.arange(30.).reshape(1, 1, 5, 3, 2), (2, 2, 3)).flatten()
  CHECK(adaptive_avg_pool3d(arange(30).to(f32).reshape({1, 5, 3, 2, 1}), {2, 2, 3}).to_vector<float>() ==
        std::vector<float>{7, 7.5f, 8, 9, 9.5f, 10, 19, 19.5f, 20, 21, 21.5f, 22});
}

TEST_CASE("pools of sequences and volumes: what is refused") {
  const Tensor x = ones({1, 4, 4, 4, 2}), s = ones({1, 4, 2});
  CHECK_THROWS_WITH(max_pool3d(s), Contains("max_pool3d: expects x [N, D, H, W, C], got [1, 4, 2]"));
  CHECK_THROWS_WITH(avg_pool3d(x.to(i64)), Contains("avg_pool3d: expects f32, f64 or bf16, got i64"));
  CHECK_THROWS_WITH(max_pool3d(x, {.kernel_size = {5, 1, 1}}),
                    Contains("a window of 5") && Contains("does not fit"));
  CHECK_THROWS_WITH(max_pool3d(x, {.padding = 2}), Contains("at most half the kernel 2, got 2"));
  CHECK_THROWS_WITH(avg_pool3d(x, {.stride = 0}), Contains("at least 1"));
  CHECK_THROWS_WITH(max_pool1d(x), Contains("max_pool1d: expects x [N, L, C]"));
  CHECK_THROWS_WITH(avg_pool1d(s, {.kernel_size = 5}), Contains("avg_pool1d: a window of 5"));
  CHECK_THROWS_WITH(adaptive_avg_pool1d(s, 0), Contains("adaptive_avg_pool1d: expects at least one"));
  CHECK_THROWS_WITH(adaptive_avg_pool3d(x, {0, 1, 1}), Contains("(0, 1, 1)"));
  CHECK_THROWS_WITH(adaptive_avg_pool3d(s, 1), Contains("[N, D, H, W, C]"));
  CHECK(max_pool3d(zeros({0, 4, 4, 4, 2})).shape() == Shape{0, 2, 2, 2, 2});
}
