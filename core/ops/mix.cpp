#include <karyon/core/autograd.h>
#include <karyon/core/kernels/mix.h>

namespace karyon {

RowMix RowMix::transposed() const {
  std::vector<std::vector<std::int64_t>> users(static_cast<std::size_t>(size_));
  std::vector<std::int64_t> result(rows_.size());
  for (std::int64_t i = 0; i < count(); ++i)
    for (auto t = starts_[static_cast<std::size_t>(i)]; t < starts_[static_cast<std::size_t>(i) + 1]; ++t) {
      users[static_cast<std::size_t>(rows_[static_cast<std::size_t>(t)])].push_back(t);
      result[static_cast<std::size_t>(t)] = i;
    }
  RowMix back(count());
  for (const auto& terms : users) {
    for (const std::int64_t t : terms)
      back.add(result[static_cast<std::size_t>(t)], weights_[static_cast<std::size_t>(t)]);
    back.next();
  }
  return back;
}

Tensor RowMix::mixed(const Tensor& x, int dim) const {
  std::int64_t outer = 1, inner = 1;
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) {
    if (d < dim) outer *= x.size(d);
    if (d > dim) inner *= x.size(d);
    shape.push_back(d == dim ? count() : x.size(d));
  }
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  if (y.numel() == 0) return y;
  const TensorOptions indices{.dtype = i64, .device = x.device()};
  Tensor rows_of_y = view(y, {outer, count(), inner});
  kernels::mix_rows(view(x, {outer, size_, inner}), tensor(starts_, indices), tensor(rows_, indices),
                    tensor(weights_, {.dtype = x.dtype(), .device = x.device()}), rows_of_y);
  return y;
}

Tensor RowMix::of(const char* op, const Tensor& x, int dim) const {
  return record(op, mixed(x, dim), {x}, twice_differentiable, [op, mix = *this, dim](const Tensor& dy) {
    return std::vector{mix.transposed().of(op, dy, dim)};
  });
}

}  // namespace karyon
