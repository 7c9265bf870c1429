// Matrix products and linear layers of any shape and dtype against plain loops.
#include <karyon/core/ops/matmul.h>

#include "tensors.h"

namespace {

using namespace fuzz;

Shape with_batch(const Shape& batch, std::int64_t rows, std::int64_t columns) {
  Shape shape = batch;
  shape.push_back(rows);
  shape.push_back(columns);
  return shape;
}

void run(Bytes input) {
  ByteReader in(input);
  const bool linear = in.flag(), bias = in.flag();
  const DType dtype = in.one_of(floating);
  constexpr std::array<std::int64_t, 16> sizes{0, 1, 2, 3, 4, 5, 7, 8, 9, 15, 16, 17, 31, 33, 64, 65};
  const std::int64_t m = in.one_of(sizes), k = in.one_of(sizes), n = in.one_of(sizes);
  if (m * k * n > 4000 && in.byte() % 16 != 0) return;  // a few large ones are enough
  Shape batch = any_shape(in, 0, 2, 3), other;
  for (int d = in.whole(0, batch.dims()); d < batch.dims(); ++d)
    other.push_back(in.byte() % 2 == 0 ? 1 : batch[d]);
  if (in.flag()) std::swap(batch, other);
  const std::int64_t k2 = in.byte() == 255 ? in.one_of(sizes) : k;
  const Tensors given =
      linear ? Tensors{noise(with_batch(batch, m, k), dtype, 1), noise({n, k2}, dtype, 2),
                       bias ? noise({n}, dtype == karyon::bf16 ? karyon::f32 : dtype, 3) : Tensor()}
             : Tensors{noise(with_batch(batch, m, k), dtype, 1), noise(with_batch(other, k2, n), dtype, 2)};
  const Op op = [&](const Tensors& t) {
    return linear ? karyon::linear(t[0], t[1], t[2]) : karyon::matmul(t[0], t[1]);
  };
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op(given); })) return;
  const Shape result = with_batch(linear ? batch : karyon::broadcast_shapes(batch, other, "fuzz"), m, n);
  const Values a(given[0]), b(given[1]), added(bias && linear ? given[2] : karyon::zeros({n}));
  std::vector<double> want;
  for_each_place(result, [&](const std::vector<std::int64_t>& at) {
    const std::int64_t column = at.back();
    std::vector<std::int64_t> left = at, right = at;
    left.back() = 0;
    right[right.size() - 2] = 0;
    const double* first = k > 0 ? &a.of(left) : nullptr;
    const double* second = k > 0 ? &(linear ? b.of({column, 0}) : b.of(right)) : nullptr;
    double sum = added.at({column});
    for (std::int64_t i = 0; i < k; ++i) sum += first[i] * second[linear ? i : i * n];
    want.push_back(sum);
  });
  expect_close(linear ? "linear" : "matmul", y, result, want, rounding(dtype));
  if (dtype == karyon::f64) check_gradient("matmul", op, given);
}

Inputs seeds() { return noise_seeds(64, 24); }

const Register target{{"matmul", run, seeds}};

}  // namespace
