#include <cmath>

#include <karyon/core/factories.h>
#include <karyon/core/ops/elementwise.h>

namespace karyon {
namespace {

// A vector of value(i), computed in T and converted once.
template <class T, class F>
Tensor generated(std::int64_t n, TensorOptions options, F value) {
  Tensor x = empty({n}, {.dtype = dtype_of<T>});
  T* out = x.data<T>();
  for (std::int64_t i = 0; i < n; ++i) out[i] = value(i);
  return x.to(options.dtype).to(options.device);
}

template <class T>
void check_range(T start, T end, T step, TensorOptions options) {
  check(options.dtype != boolean, "arange: expects a type of numbers, got bool");
  check(step != 0, "arange: expects a step other than 0");
  check(step > 0 ? start <= end : start >= end, "arange: expects a step towards the end, got ", start, " to ",
        end, " by ", step);
}

}  // namespace

Tensor arange_of(std::int64_t start, std::int64_t end, std::int64_t step, TensorOptions options) {
  check_range(start, end, step, options);
  // Unsigned: the way may be longer than 63 bits.
  const auto first = static_cast<std::uint64_t>(start), last = static_cast<std::uint64_t>(end);
  const std::uint64_t way = step > 0 ? last - first : first - last;
  const std::uint64_t size =
      step > 0 ? static_cast<std::uint64_t>(step) : 0 - static_cast<std::uint64_t>(step);
  const std::uint64_t n = way / size + (way % size != 0);
  check(n <= std::uint64_t{INT64_MAX}, "arange: ", start, " to ", end, " by ", step, " is too long");
  return generated<std::int64_t>(static_cast<std::int64_t>(n), options, [&](std::int64_t i) {
    return static_cast<std::int64_t>(first +
                                     static_cast<std::uint64_t>(i) * static_cast<std::uint64_t>(step));
  });
}

Tensor arange_of(double start, double end, double step, TensorOptions options) {
  check(std::isfinite(start) && std::isfinite(end) && std::isfinite(step),
        "arange: expects finite numbers, got ", start, " to ", end, " by ", step);
  check_range(start, end, step, options);
  const double n = std::ceil((end - start) / step);
  check(n < 0x1p62, "arange: ", start, " to ", end, " by ", step, " is too long");
  return generated<double>(static_cast<std::int64_t>(n), options,
                           [&](std::int64_t i) { return start + static_cast<double>(i) * step; });
}

Tensor linspace(double start, double end, std::int64_t steps, TensorOptions options) {
  check(steps >= 0, "linspace: expects steps of at least 0, got ", steps);
  check(is_floating(options.dtype), "linspace: expects f32, f64, bf16 or f16, got ", options.dtype);
  const double step = steps > 1 ? (end - start) / static_cast<double>(steps - 1) : 0;
  // From both ends, so that both are met.
  return generated<double>(steps, options, [&](std::int64_t i) {
    return 2 * i < steps ? start + step * static_cast<double>(i)
                         : end - step * static_cast<double>(steps - 1 - i);
  });
}

Tensor eye(std::int64_t rows, std::int64_t columns, TensorOptions options) {
  check(rows >= 0 && columns >= 0, "eye: expects sizes of at least 0, got ", rows, " and ", columns);
  return eq(arange(rows).reshape({rows, 1}), arange(columns)).to(options.dtype).to(options.device);
}
Tensor eye(std::int64_t rows, TensorOptions options) { return eye(rows, rows, options); }

Tensor full_like(const Tensor& x, double value) {
  return full(x.shape(), value, {.dtype = x.dtype(), .device = x.device()});
}
Tensor rand_like(const Tensor& x, Generator& generator) {
  return rand(x.shape(), generator, {.dtype = x.dtype(), .device = x.device()});
}
Tensor randn_like(const Tensor& x, Generator& generator) {
  return randn(x.shape(), generator, {.dtype = x.dtype(), .device = x.device()});
}

}  // namespace karyon
