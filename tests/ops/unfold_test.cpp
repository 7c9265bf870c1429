#include <karyon/core/ops/unfold.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

// Calls f(place in the images, place in the values) for each value of a window that is inside the image.
template <class F>
Pair for_values(const Shape& x, const UnfoldOptions& o, const F& f) {
  const auto& [k, s, p, d] = o;
  const Pair out{(x[1] + 2 * p.h - d.h * (k.h - 1) - 1) / s.h + 1,
                 (x[2] + 2 * p.w - d.w * (k.w - 1) - 1) / s.w + 1};
  std::int64_t at = 0;
  for (std::int64_t n = 0; n < x[0]; ++n)
    for (std::int64_t r = 0; r < out.h; ++r)
      for (std::int64_t q = 0; q < out.w; ++q)
        for (std::int64_t c = 0; c < x[3]; ++c)
          for (std::int64_t i = 0; i < k.h; ++i)
            for (std::int64_t j = 0; j < k.w; ++j, ++at) {
              const std::int64_t row = r * s.h - p.h + i * d.h, col = q * s.w - p.w + j * d.w;
              if (row >= 0 && row < x[1] && col >= 0 && col < x[2])
                f(((n * x[1] + row) * x[2] + col) * x[3] + c, at);
            }
  return out;
}

const std::vector<UnfoldOptions> options = {
    {.kernel_size = 1},
    {.kernel_size = 3, .padding = 1},
    {.kernel_size = {2, 3}, .stride = {2, 1}},
    {.kernel_size = 2, .stride = 3, .padding = {2, 1}, .dilation = {1, 2}}};

}  // namespace

TEST_CASE("unfold and fold") {
  Generator generator(1);
  for (const Shape& shape : {Shape{2, 5, 6, 3}, Shape{1, 4, 7, 1}})
    for (const UnfoldOptions& o : options) {
      const Pair out = for_values(shape, o, [](std::int64_t, std::int64_t) {});
      const Shape values{shape[0], out.h * out.w, shape[3] * o.kernel_size.h * o.kernel_size.w};
      check_op(
          "unfold", [&](const auto& x) { return unfold(x[0], o); },
          [&](const auto& x) {
            Tensor y = zeros(values, {.dtype = f64});
            for_values(shape, o, [&](std::int64_t from, std::int64_t to) {
              y.template data<double>()[to] = x[0].template data<double>()[from];
            });
            return y;
          },
          {randn(shape, generator)});
      check_op(
          "fold",
          [&](const auto& x) {
            return fold(x[0], {shape[1], shape[2]}, o);
          },
          [&](const auto& x) {
            Tensor y = zeros(shape, {.dtype = f64});
            for_values(shape, o, [&](std::int64_t to, std::int64_t from) {
              y.template data<double>()[to] += x[0].template data<double>()[from];
            });
            return y;
          },
          {randn(values, generator)});
    }
  CHECK(unfold(zeros({0, 4, 4, 2}), {.kernel_size = 2}).shape() == Shape{0, 9, 8});
  CHECK(fold(zeros({0, 9, 8}), 4, {.kernel_size = 2}).shape() == Shape{0, 4, 4, 2});
  CHECK(unfold(arange(4).reshape({1, 2, 2, 1}), {.kernel_size = 2}).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{0, 1, 2, 3});
}

TEST_CASE("unfold and fold: what is refused") {
  const Tensor x = ones({1, 4, 4, 2});
  CHECK_THROWS_WITH(unfold(ones({4, 4, 2}), {.kernel_size = 2}),
                    Contains("unfold: expects images [N, H, W, C]"));
  CHECK_THROWS_WITH(unfold(x, {.kernel_size = 5}), Contains("does not fit"));
  CHECK_THROWS_WITH(unfold(x, {.kernel_size = 2, .stride = 0}), Contains("at least 1"));
  CHECK_THROWS_WITH(unfold(x, {.kernel_size = 2, .padding = -1}), Contains("padding >= 0"));
  CHECK_THROWS_WITH(fold(ones({1, 9, 7}), 4, {.kernel_size = 2}), Contains("divisible by the window's 4"));
  CHECK_THROWS_WITH(fold(ones({1, 8, 8}), 4, {.kernel_size = 2}), Contains("fold: expects [1, 9, 8]"));
  CHECK_THROWS_WITH(fold(ones({1, 9, 8}).to(i64), 4, {.kernel_size = 2}), Contains("f32, f64 or bf16"));
  CHECK_THROWS_WITH(fold(x, 4, {.kernel_size = 2}), Contains("[N, L, C kH kW]"));
}
