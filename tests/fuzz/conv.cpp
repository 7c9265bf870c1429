// Convolutions and transposed ones of any shape, option and dtype against their definition.
#include <karyon/core/ops/conv.h>

#include "conv_by_definition.h"
#include "tensors.h"

namespace {

using namespace fuzz;
using karyon::Pair;

struct Case {
  Shape x, weight;
  std::int64_t out;
  bool bias, transposed;
  DType dtype;
  karyon::ConvTranspose2dOptions options;
};

Case read_case(ByteReader& in) {
  Case c;
  c.transposed = in.flag();
  c.dtype = in.one_of(floating);
  c.bias = in.flag();
  const std::int64_t groups = in.one_of(std::array<std::int64_t, 8>{1, 1, 1, 2, 3, 4, 8, 32});
  // Widths around those of vectors and tiles, too.
  const auto channels = [&] {
    return in.one_of(std::array<std::int64_t, 12>{1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 33});
  };
  const std::int64_t in_group = groups == 32 ? 1 : channels(), out_group = groups == 32 ? 1 : channels();
  const Pair kernel{in.between(1, 5), in.between(1, 5)};
  c.x = {in.between(0, 2), in.between(0, 13), in.between(0, 13), groups * in_group};
  c.out = groups * out_group;
  c.weight = c.transposed ? Shape{c.x[3], kernel.h, kernel.w, out_group}
                          : Shape{c.out, kernel.h, kernel.w, in_group};
  const auto pair = [&](std::int64_t low, std::int64_t high) {
    const std::int64_t h = any_size(in, low, high);
    return in.flag() ? Pair(h, any_size(in, low, high)) : Pair(h);
  };
  c.options = {.stride = pair(1, 4),
               .padding = pair(0, 4),
               .output_padding = 0,
               .dilation = pair(1, 3),
               .groups = groups};
  if (c.transposed) c.options.output_padding = pair(0, 2);
  if (in.byte() == 255) c.options.groups = any_size(in, -2, 5);
  return c;
}

/// The result's height and width, as the headers define them.
std::array<double, 2> result_size(const Case& c) {
  const auto& o = c.options;
  const auto one = [&](int d, std::int64_t stride, std::int64_t padding, std::int64_t output,
                       std::int64_t dilation) {
    const auto s = static_cast<double>(stride), p = static_cast<double>(padding);
    const double size = static_cast<double>(c.x[d]),
                 reach = static_cast<double>(dilation) * static_cast<double>(c.weight[d] - 1);
    return c.transposed ? (size - 1) * s - 2 * p + reach + static_cast<double>(output) + 1
                        : std::floor((size + 2 * p - reach - 1) / s) + 1;
  };
  return {one(1, o.stride.h, o.padding.h, o.output_padding.h, o.dilation.h),
          one(2, o.stride.w, o.padding.w, o.output_padding.w, o.dilation.w)};
}

void run(Bytes input) {
  ByteReader in(input);
  const Case c = read_case(in);
  const auto [height, width] = result_size(c);
  const double elements = static_cast<double>(c.x[0] * c.out) * height * width;
  const double work = elements * static_cast<double>(c.weight[1] * c.weight[2] * c.weight[3]);
  if (!(std::abs(elements) < 1e5 || std::abs(elements) > 9e18) || (work > 3e6 && elements < 1e6)) return;
  const karyon::Conv2dOptions plain{.stride = c.options.stride,
                                    .padding = c.options.padding,
                                    .dilation = c.options.dilation,
                                    .groups = c.options.groups};
  const Op op = [&](const Tensors& t) {
    return c.transposed ? conv_transpose2d(t[0], t[1], t[2], c.options) : conv2d(t[0], t[1], t[2], plain);
  };
  const auto inputs = [&](DType dtype) {
    return Tensors{noise(c.x, dtype, 1), noise(c.weight, dtype, 2),
                   c.bias ? noise({c.out}, dtype == karyon::bf16 ? karyon::f32 : dtype, 3) : Tensor()};
  };
  const Tensors given = inputs(c.dtype);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op(given); })) return;
  Tensors wide;
  for (const Tensor& t : given) wide.push_back(t.defined() ? t.to(karyon::f64) : t);
  const Tensor expected =
      c.transposed ? karyon::test::conv_transpose2d_by_definition(wide[0], wide[1], wide[2], c.options)
                   : karyon::test::conv2d_by_definition(wide[0], wide[1], wide[2], plain);
  // Winograd's transforms of bf16 lose more; docs/explanation/numerics.md has the figures.
  expect_close("conv", y, expected.shape(), expected.to_vector<double>(),
               c.dtype == karyon::bf16 ? 0.03 : rounding(c.dtype));
  if (c.dtype != karyon::f64) {
    Tensors leaves = given;
    for (Tensor& t : leaves)
      if (t.defined()) t.requires_grad_();
    const Tensor result = op(leaves);
    result.backward(noise(result.shape(), c.dtype, 4));
  } else {
    check_gradient("conv", op, given);
  }
}

Inputs seeds() { return noise_seeds(64, 32); }

const Register target{{"conv", run, seeds}};

}  // namespace
