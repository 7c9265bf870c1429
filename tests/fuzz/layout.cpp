// Operations that move values, with any and with nonsensical arguments, against plain loops.
#include <karyon/core/ops/label.h>
#include <karyon/core/ops/layout.h>

#include <numeric>

#include "tensors.h"

namespace {

using namespace fuzz;
using Place = std::vector<std::int64_t>;

constexpr std::array dtypes{karyon::f32, karyon::f64, karyon::bf16, karyon::i64, karyon::u8, karyon::boolean};

/// y's value at each place must be x's at the place that `from` names, or 0 where that is empty.
template <class From>
void expect_moved(const char* what, const Tensor& y, const Shape& shape, const Tensor& x, const From& from) {
  const Values values(x);
  std::vector<double> want;
  for_each_place(shape, [&](const Place& at) {
    const Place source = from(at);
    want.push_back(source.empty() && x.dim() > 0 ? 0 : values.at(source));
  });
  expect_close(what, y, shape, want, 0);
}

void run_pad(ByteReader& in, DType dtype) {
  const Shape shape{in.between(0, 2), in.between(0, 7), in.between(0, 7), in.between(0, 20)};
  const karyon::Pad2d border{any_size(in, 0, 4), any_size(in, 0, 4), any_size(in, 0, 4), any_size(in, 0, 4)};
  const bool reflect = in.flag();
  const double h =
      static_cast<double>(shape[1]) + static_cast<double>(border.top) + static_cast<double>(border.bottom);
  const double w =
      static_cast<double>(shape[2]) + static_cast<double>(border.left) + static_cast<double>(border.right);
  if (!can_ask_for(std::abs(static_cast<double>(shape[0] * shape[3]) * h * w))) return;
  const Tensor x = noise(shape, dtype, 1);
  const Op op = [&](const Tensors& t) {
    return karyon::pad(t[0], border, reflect ? karyon::PadMode::reflect : karyon::PadMode::zeros);
  };
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  const Shape result{shape[0], static_cast<std::int64_t>(h), static_cast<std::int64_t>(w), shape[3]};
  const auto inside = [&](std::int64_t i, std::int64_t n) {
    return i < 0 ? -i : i >= n ? 2 * (n - 1) - i : i;
  };
  expect_moved("pad", y, result, x, [&](const Place& at) -> Place {
    std::int64_t row = at[1] - border.top, column = at[2] - border.left;
    if (reflect) row = inside(row, shape[1]), column = inside(column, shape[2]);
    if (row < 0 || column < 0 || row >= shape[1] || column >= shape[2]) return {};
    return {at[0], row, column, at[3]};
  });
  if (dtype == karyon::f64) check_gradient("pad", op, {x});
}

void run_crop(ByteReader& in, DType dtype) {
  const Shape shape{in.between(0, 2), in.between(0, 7), in.between(0, 7), in.between(0, 20)};
  const std::int64_t top = any_size(in, 0, 6), left = any_size(in, 0, 6);
  const karyon::Pair size{any_size(in, 1, 7), any_size(in, 1, 7)};
  const Tensor x = noise(shape, dtype, 1);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = karyon::crop(x, top, left, size); })) return;
  expect_moved("crop", y, {shape[0], size.h, size.w, shape[3]}, x, [&](const Place& at) -> Place {
    return {at[0], at[1] + top, at[2] + left, at[3]};
  });
}

void run_permute(ByteReader& in, DType dtype) {
  const Shape shape = any_shape(in, 0, 5, 6);
  std::vector<int> order(static_cast<std::size_t>(shape.dims()));
  std::iota(order.begin(), order.end(), 0);
  for (std::size_t i = 0; i < order.size(); ++i)
    std::swap(order[i], order[static_cast<std::size_t>(in.between(0, shape.dims() - 1))]);
  if (in.byte() == 255) order.push_back(in.whole(-9, 9));
  if (in.byte() == 255 && !order.empty()) order[0] = in.whole(-9, 9);
  const Tensor x = noise(shape, dtype, 1);
  const Op op = [&](const Tensors& t) { return karyon::permute(t[0], order); };
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = op({x}); })) return;
  Shape result;
  for (int& d : order) result.push_back(shape[d = d < 0 ? d + shape.dims() : d]);
  expect_moved("permute", y, result, x, [&](const Place& at) {
    Place from(at.size());
    for (std::size_t i = 0; i < order.size(); ++i) from[static_cast<std::size_t>(order[i])] = at[i];
    return from;
  });
  if (dtype == karyon::f64) check_gradient("permute", op, {x});
}

void run_narrow(ByteReader& in, DType dtype) {
  const Shape shape = any_shape(in, 1, 4, 8);
  const int dim = in.byte() == 255 ? in.whole(-9, 9) : in.whole(-shape.dims(), shape.dims() - 1);
  const std::int64_t start = any_size(in, 0, 7), length = any_size(in, 0, 7);
  const Tensor x = noise(shape, dtype, 1);
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = karyon::narrow(x, dim, start, length); })) return;
  const int d = dim < 0 ? dim + shape.dims() : dim;
  Shape result = shape;
  result[d] = length;
  expect_moved("narrow", y, result, x, [&](Place at) {
    at[static_cast<std::size_t>(d)] += start < 0 ? start + shape[d] : start;
    return at;
  });
}

void run_split_and_join(ByteReader& in, DType dtype) {
  const Shape shape = any_shape(in, 1, 4, 7);
  const int dim = in.byte() == 255 ? in.whole(-9, 9) : in.whole(-shape.dims(), shape.dims() - 1);
  const std::int64_t size = any_size(in, 1, 4);
  const Tensor x = noise(shape, dtype, 1);
  Tensors parts;
  if (!succeeds<karyon::Error>([&] { parts = karyon::split(x, size, dim); })) return;
  const auto same = [](const Place& at) { return at; };
  expect_moved("cat of split", karyon::cat(parts, dim), shape, x, same);
  const Op op = [&](const Tensors& t) { return karyon::cat(karyon::split(t[0], size, dim), dim); };
  if (dtype == karyon::f64) check_gradient("cat of split", op, {x});
  const std::int64_t index = any_size(in, -2, 2);
  const int where = in.whole(-5, 5);
  succeeds<karyon::Error>([&] {
    const Tensor stacked = karyon::stack({x, x}, where);
    expect(stacked.numel() == 2 * x.numel(), "stack: shape ", stacked.shape());
    expect_moved("select of stack", karyon::select(stacked, where, index), shape, x, same);
  });
}

void run_reshape(ByteReader& in, DType dtype) {
  const Tensor x = noise(any_shape(in, 0, 4, 6), dtype, 1);
  Shape shape;
  for (int dims = in.whole(0, 5); dims > 0; --dims) shape.push_back(any_size(in, -1, 12));
  Tensor y;
  if (!succeeds<karyon::Error>([&] { y = karyon::reshape(x, shape); })) return;
  expect(y.numel() == x.numel() && y.to_vector<double>() == x.to_vector<double>(), "reshape: ", x.shape(),
         " to ", shape);
}

void run_label(ByteReader& in) {
  const int connectivity = in.byte() == 255 ? in.whole(0, 9) : in.flag() ? 4 : 8;
  Shape shape = any_shape(in, 2, 3, 12);
  if (in.byte() == 255) shape.push_back(1);
  const Tensor mask = karyon::tensor(std::vector<double>(static_cast<std::size_t>(shape.numel())), shape,
                                     {.dtype = karyon::boolean})
                          .clone();
  Tensor written = mask;
  for (std::int64_t i = 0; i < shape.numel(); ++i) written.data<bool>()[i] = in.flag();
  Tensor labels;
  if (!succeeds<karyon::Error>([&] { labels = karyon::label(written, {.connectivity = connectivity}); }))
    return;
  const auto found = labels.to_vector<std::int64_t>();
  const auto inside = written.to_vector<bool>();
  for (std::size_t i = 0; i < found.size(); ++i)
    expect((found[i] > 0) == inside[i], "label: pixel ", i, " is ", found[i]);
}

void run(Bytes input) {
  ByteReader in(input);
  const std::uint8_t kind = in.byte();
  const DType dtype = in.one_of(dtypes);
  switch (kind % 7) {
    case 0: return run_pad(in, dtype);
    case 1: return run_crop(in, dtype);
    case 2: return run_permute(in, dtype);
    case 3: return run_narrow(in, dtype);
    case 4: return run_split_and_join(in, dtype);
    case 5: return run_reshape(in, dtype);
    default: return run_label(in);
  }
}

Inputs seeds() { return noise_seeds(64, 32); }

const Register target{{"layout", run, seeds}};

}  // namespace
