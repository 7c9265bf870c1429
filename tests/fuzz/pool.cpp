// Pools of any window, stride, padding and dilation against plain loops.
#include <karyon/core/ops/pool.h>

#include "tensors.h"

namespace {

using namespace fuzz;
using karyon::Pair;

struct Window {
  Pair kernel = 1, stride = 1, padding = 0, dilation = 1;
};

double result_size(std::int64_t size, std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                   std::int64_t dilation) {
  const double reach = static_cast<double>(dilation) * (static_cast<double>(kernel) - 1);
  return std::floor((static_cast<double>(size) + 2 * static_cast<double>(padding) - reach - 1) /
                    static_cast<double>(stride)) +
         1;
}

/// The largest value of each window, or the mean.
std::vector<double> by_definition(const Values& x, const Shape& result, const Window& w, bool mean,
                                  bool pads_count) {
  std::vector<double> out;
  for_each_place(result, [&](const std::vector<std::int64_t>& at) {
    double largest = -std::numeric_limits<double>::infinity(), sum = 0, inside = 0, window = 0;
    for (std::int64_t i = 0; i < w.kernel.h; ++i)
      for (std::int64_t j = 0; j < w.kernel.w; ++j) {
        const std::int64_t h = at[1] * w.stride.h - w.padding.h + i * w.dilation.h;
        const std::int64_t v = at[2] * w.stride.w - w.padding.w + j * w.dilation.w;
        ++window;
        if (h < 0 || v < 0 || h >= x.shape()[1] || v >= x.shape()[2]) continue;
        const double value = x.at({at[0], h, v, at[3]});
        largest = std::isnan(value) || value > largest ? value : largest;
        sum += value;
        ++inside;
      }
    out.push_back(mean ? sum / (pads_count ? window : inside) : largest);
  });
  return out;
}

/// Values that are far enough from each other for differences.
Tensor apart(const Shape& shape) {
  constexpr std::int64_t prime = 7919;
  Tensor x = karyon::zeros(shape, {.dtype = karyon::f64});
  const std::int64_t n = x.numel();
  for (std::int64_t i = 0; i < n; ++i)
    x.data<double>()[i] = 2 * (static_cast<double>(i * prime % n) + 0.5) / static_cast<double>(n) - 1;
  return x;
}

void run_window(ByteReader& in, const Shape& shape, DType dtype, bool mean) {
  const auto pair = [&](std::int64_t low, std::int64_t high) {
    const std::int64_t h = any_size(in, low, high);
    return in.flag() ? Pair(h, any_size(in, low, high)) : Pair(h);
  };
  Window w{.kernel = pair(1, 5), .stride = pair(1, 4), .padding = pair(0, 2), .dilation = 1};
  if (!mean) w.dilation = pair(1, 3);
  const bool pads_count = in.flag();
  const double h = result_size(shape[1], w.kernel.h, w.stride.h, w.padding.h, w.dilation.h);
  const double v = result_size(shape[2], w.kernel.w, w.stride.w, w.padding.w, w.dilation.w);
  if (!can_ask_for(std::abs(static_cast<double>(shape[0] * shape[3]) * h * v))) return;
  const Op op = [&](const Tensors& t) {
    return mean ? avg_pool2d(t[0], {.kernel_size = w.kernel,
                                    .stride = w.stride,
                                    .padding = w.padding,
                                    .count_include_pad = pads_count})
                : max_pool2d(t[0], {.kernel_size = w.kernel,
                                    .stride = w.stride,
                                    .padding = w.padding,
                                    .dilation = w.dilation});
  };
  const Tensor x = dtype == karyon::f64 ? apart(shape) : noise(shape, dtype, 5);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  const Shape result{shape[0], static_cast<std::int64_t>(h), static_cast<std::int64_t>(v), shape[3]};
  expect(y.shape() == result, "pool: shape ", y.shape(), ", expected ", result);
  if (product({result[0], result[1], result[2], result[3], w.kernel.h, w.kernel.w}) > 3e6) return;
  expect_close(mean ? "avg_pool2d" : "max_pool2d", y, result,
               by_definition(Values(x), result, w, mean, pads_count), rounding(dtype));
  if (dtype == karyon::f64) check_gradient("pool", op, {x});
}

void run_adaptive(ByteReader& in, const Shape& shape, DType dtype) {
  const Pair size{any_size(in, 1, 9), any_size(in, 1, 9)};
  if (!can_ask_for(std::abs(product({shape[0], size.h, size.w, shape[3]})))) return;
  const Op op = [&](const Tensors& t) { return adaptive_avg_pool2d(t[0], size); };
  const Tensor x = noise(shape, dtype, 6);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  const Values values(x);
  const Shape result{shape[0], size.h, size.w, shape[3]};
  std::vector<double> want;
  for_each_place(result, [&](const std::vector<std::int64_t>& at) {
    double sum = 0, count = 0;
    const auto from = [&](int d, std::int64_t out) {
      return at[static_cast<std::size_t>(d)] * shape[d] / out;
    };
    const auto to = [&](int d, std::int64_t out) {
      return ((at[static_cast<std::size_t>(d)] + 1) * shape[d] + out - 1) / out;
    };
    for (std::int64_t h = from(1, size.h); h < to(1, size.h); ++h)
      for (std::int64_t w = from(2, size.w); w < to(2, size.w); ++w)
        sum += values.at({at[0], h, w, at[3]}), ++count;
    want.push_back(sum / count);
  });
  expect_close("adaptive_avg_pool2d", y, result, want, rounding(dtype));
  if (dtype == karyon::f64) check_gradient("adaptive_avg_pool2d", op, {x});
}

void run(Bytes input) {
  ByteReader in(input);
  const int kind = in.whole(0, 2);
  const DType dtype = in.one_of(floating);
  const Shape shape{in.between(0, 2), in.between(0, 12), in.between(0, 12), in.between(0, 35)};
  if (kind == 2) return run_adaptive(in, shape, dtype);
  run_window(in, shape, dtype, kind == 1);
}

Inputs seeds() { return noise_seeds(48, 24); }

const Register target{{"pool", run, seeds}};

}  // namespace
