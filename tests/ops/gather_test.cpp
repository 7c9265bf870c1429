#include <catch2/catch.hpp>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>

#include "elements.h"
#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

using Floats = std::vector<float>;
using Wholes = std::vector<std::int64_t>;

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return randn(shape, generator);
}
// On the device of the test.
Tensor whole_numbers(const Wholes& values, const Shape& shape) { return tensor(values, shape).to(device()); }
Tensor whole_numbers(const Wholes& values) { return tensor(values).to(device()); }
// For check_op, whose f64 stays on the CPU.
Tensor beside(const Tensor& x, const Tensor& other) { return other.to(x.device()); }

}  // namespace

TEST_CASE("index_select over every dimension") {
  const Tensor x = random({3, 4, 33});
  for (const int dim : {0, 1, 2, -1}) {
    const auto d = static_cast<std::size_t>(dim < 0 ? 2 : dim);
    for (const std::int64_t n : {0, 1, 5, 70}) {
      const Tensor rows = repeated({n}, x.size(dim));
      const Wholes row = rows.to_vector<std::int64_t>();
      check_op(
          "index_select",
          [&](const std::vector<Tensor>& in) { return index_select(in[0], dim, beside(in[0], rows)); },
          [&](const std::vector<Tensor>& in) {
            Shape shape = in[0].shape();
            shape[static_cast<int>(d)] = n;
            return generate(shape, [&](Index i) {
              i[d] = row[static_cast<std::size_t>(i[d])];
              return at(in[0], i);
            });
          },
          {x});
    }
  }
  const Tensor one = whole_numbers({0}, {});
  CHECK(index_select(tensor(3.0).to(device()), 0, one).shape() == Shape{});
  CHECK(x.to(device()).index_select(1, one).shape() == Shape{3, 1, 33});
  CHECK_THROWS_WITH(index_select(x, 0, tensor(Wholes{-1})),
                    Contains("index_select: index -1 is out of range"));
  CHECK_THROWS_WITH(index_select(x, 0, tensor(Wholes{3})), Contains("a dimension of size 3"));
  CHECK_THROWS_WITH(index_select(ones({}), 0, tensor(Wholes{0, 0})),
                    Contains("expects 1 index of a scalar, got 2"));
  CHECK_THROWS_WITH(index_select(x, 3, tensor(Wholes{0})), Contains("index_select: dimension 3"));
  CHECK_THROWS_WITH(index_select(x, 0, tensor({0.0})), Contains("expects an index of i64 or i32, got f32"));
  CHECK_THROWS_WITH(index_select(x, 0, tensor(Wholes{0}, {1, 1})),
                    Contains("at most 1 dimension, got [1, 1]"));
}

TEST_CASE("gather, scatter and scatter_add over every dimension") {
  struct Case {
    Shape x, index, src;
  };
  const std::vector<Case> shapes = {{{5}, {7}, {7}},
                                    {{3, 4, 5}, {3, 4, 5}, {3, 4, 5}},
                                    {{3, 4, 5}, {2, 3, 2}, {3, 4, 5}},
                                    {{2, 33, 1}, {1, 33, 1}, {1, 33, 2}},
                                    {{3, 4}, {0, 4}, {0, 4}},
                                    {{}, {1}, {1}}};
  for (const Case& c : shapes)
    for (int dim = 0; dim < std::max(c.x.dims(), 1); ++dim) {
      const auto d = static_cast<std::size_t>(dim);
      const Tensor where = repeated(c.index, c.x.dims() == 0 ? 1 : c.x[dim]);
      const auto place = [&](const Index& i) {
        Index to = i;
        to[d] = where.data<std::int64_t>()[position(c.index, i)];
        return c.x.dims() == 0 ? 0 : position(c.x, to);
      };
      check_op(
          "gather", [&](const std::vector<Tensor>& in) { return in[0].gather(dim, beside(in[0], where)); },
          [&](const std::vector<Tensor>& in) {
            return generate(c.index, [&](const Index& i) { return in[0].data<double>()[place(i)]; });
          },
          {random(c.x)});
      for (const bool adds : {false, true}) {
        const auto reference = [&](const std::vector<Tensor>& in) {
          std::vector<double> y = in[0].to_vector<double>();
          generate(c.index, [&](const Index& i) {
            double& to = y[static_cast<std::size_t>(place(i))];
            to = (adds ? to : 0) + at(in[1], i);
            return 0.0;
          });
          return tensor(y, c.x, {.dtype = f64});
        };
        OpCheckOptions options;
        options.gradient = adds;  // see "index_put writes where index reads"
        check_op(
            adds ? "scatter_add" : "scatter",
            [&](const std::vector<Tensor>& in) {
              const Tensor index = beside(in[0], where);
              return adds ? scatter_add(in[0], dim, index, in[1]) : scatter(in[0], dim, index, in[1]);
            },
            reference, {random(c.x), random(c.src, 2)}, options);
      }
    }
}

TEST_CASE("scatter to different places has gradients; of equal places the last counts") {
  const Tensor where = tensor(Wholes{2, 0, 1, 1, 2, 0}, {2, 3});
  check_op(
      "scatter",
      [&](const std::vector<Tensor>& in) { return scatter(in[0], 0, beside(in[0], where), in[1]); },
      [](const std::vector<Tensor>& in) {
        std::vector<double> y = in[0].to_vector<double>();
        const std::vector<double> src = in[1].to_vector<double>();  // [3, 4], of which [2, 3] is used
        y[2 * 3 + 0] = src[0], y[0 * 3 + 1] = src[1], y[1 * 3 + 2] = src[2];
        y[1 * 3 + 0] = src[4], y[2 * 3 + 1] = src[5], y[0 * 3 + 2] = src[6];
        return tensor(y, {3, 3}, {.dtype = f64});
      },
      {random({3, 3}), random({3, 4}, 2)});
  const Tensor x = zeros({3}, {.device = device()}), twice = whole_numbers({1, 2, 1});
  CHECK(scatter(x, 0, twice, tensor({5.0, 6.0, 7.0}).to(device())).to_vector<float>() == Floats{0, 7, 6});
  CHECK(scatter(x, 0, twice, 2.5).to_vector<float>() == Floats{0, 2.5, 2.5});
  CHECK(scatter_add(whole_numbers({1, 1, 1}), 0, twice, whole_numbers({5, 6, 7})).to_vector<std::int64_t>() ==
        Wholes{1, 13, 7});
}

TEST_CASE("take_along_dim broadcasts") {
  const Tensor where = tensor(Wholes{3, 0, 0, 1}, {1, 2, 2}),
               from_end = tensor(Wholes{-1, 0, -4, 1}, {1, 2, 2});
  check_op(
      "take_along_dim",
      [&](const std::vector<Tensor>& in) { return take_along_dim(in[0], beside(in[0], from_end), -1); },
      [&](const std::vector<Tensor>& in) {
        return generate({3, 2, 2}, [&](const Index& i) {
          return at(in[0], {i[0], 0, where.data<std::int64_t>()[i[1] * 2 + i[2]]});
        });
      },
      {random({3, 1, 4})});
  check_op(
      "take_along_dim",
      [&](const std::vector<Tensor>& in) { return take_along_dim(in[0], beside(in[0], where)); },
      [](const std::vector<Tensor>& in) {
        const std::vector<double> x = in[0].to_vector<double>();
        return tensor({x[3], x[0], x[0], x[1]}, {.dtype = f64});
      },
      {random({2, 3})});
  CHECK_THROWS_WITH(take_along_dim(zeros({2, 3}), where, 0),
                    Contains("take_along_dim: expects indices of 2 dimensions"));
  CHECK_THROWS_WITH(take_along_dim(zeros({2, 3, 4}), where, 0), Contains("take_along_dim: shapes"));
}

TEST_CASE("gather and scatter errors say what was expected and what came") {
  const Tensor x = zeros({2, 3}), where = tensor(Wholes{0, 1, 2}, {1, 3});
  CHECK_THROWS_WITH(gather(x, 0, where),
                    Contains("gather: index 2 is out of range for a dimension of size 2"));
  CHECK_THROWS_WITH(gather(x, 1, where.to(f32)), Contains("gather: expects an index of i64 or i32, got f32"));
  CHECK_THROWS_WITH(gather(x, 1, tensor(Wholes{0})),
                    Contains("gather: expects an index of 2 dimensions, got [1]"));
  CHECK_THROWS_WITH(gather(x, 2, where), Contains("gather: dimension 2"));
  CHECK_THROWS_WITH(gather(x, 1, tensor(Wholes{0, 0, 0}, {3, 1})),
                    Contains("an index that fits [2, 3] but in dimension 1"));
  CHECK_THROWS_WITH(gather(x, 1, tensor(Wholes{-1}, {1, 1})), Contains("gather: index -1 is out of range"));
  CHECK_THROWS_WITH(scatter(x, 1, where, zeros({1, 2})),
                    Contains("scatter: expects src at least as large as the index"));
  CHECK_THROWS_WITH(scatter(x, 1, where, zeros({1, 3}, {.dtype = f64})),
                    Contains("scatter: expects src of f32, got f64"));
  CHECK_THROWS_WITH(scatter_add(x.to(u8), 1, where, x.to(u8)),
                    Contains("scatter_add: expects f32, f64, bf16, f16, i64 or i32, got u8"));
}

TEST_CASE("masked_fill and masked_select") {
  const auto mask_of = [](const Shape& shape) { return gt(random(shape, 9), 0.0); };
  const std::vector<std::pair<Shape, Shape>> shapes = {{{7}, {7}},       {{2, 33}, {33}}, {{2, 1, 5}, {3, 1}},
                                                       {{3, 0}, {1, 1}}, {{}, {}},        {{4}, {2, 1}}};
  for (const auto& [x_shape, mask_shape] : shapes) {
    const Tensor mask = mask_of(mask_shape);
    const Shape out = broadcast_shapes(x_shape, mask_shape, "test");
    const std::vector<double> wide_mask = mul(mask.to(f64), ones(out, {.dtype = f64})).to_vector<double>();
    const auto wide = [&](const Tensor& x) { return mul(x, ones(out, {.dtype = f64})).to_vector<double>(); };
    check_op(
        "masked_fill",
        [&](const std::vector<Tensor>& in) { return masked_fill(in[0], beside(in[0], mask), in[1]); },
        [&](const std::vector<Tensor>& in) {
          std::vector<double> y = wide(in[0]);
          for (std::size_t i = 0; i < y.size(); ++i) y[i] = wide_mask[i] != 0 ? in[1].item<double>() : y[i];
          return tensor(y, out, {.dtype = f64});
        },
        {random(x_shape), random({}, 3)});
    check_op(
        "masked_select",
        [&](const std::vector<Tensor>& in) { return masked_select(in[0], beside(in[0], mask)); },
        [&](const std::vector<Tensor>& in) {
          const std::vector<double> x = wide(in[0]);
          std::vector<double> y;
          for (std::size_t i = 0; i < x.size(); ++i)
            if (wide_mask[i] != 0) y.push_back(x[i]);
          return tensor(y, {.dtype = f64});
        },
        {random(x_shape)});
  }
  for (const DType dtype : {f32, bf16, i64, u8, boolean, f16, i32}) {
    Tensor x = counted({2, 3}, dtype).to(device());
    const Tensor mask = tensor(std::vector<bool>{true, false, true}).to(device());
    const Tensor filled = x.masked_fill(mask, 1);
    CHECK(filled.dtype() == dtype);
    x.masked_fill_(mask, 1);
    CHECK(x.to_vector<double>() == filled.to_vector<double>());
    CHECK(x.to_vector<double>() ==
          (dtype == boolean ? std::vector<double>{1, 1, 1, 1, 1, 1} : std::vector<double>{1, 1, 1, 1, 4, 1}));
  }
  Tensor marks = tensor(std::vector<bool>{true, false, true, true}).reshape({2, 2}).to(device());
  masked_fill_(marks, marks[0], 0);  // a mask in the memory that is written
  CHECK(marks.to_vector<bool>() == std::vector<bool>{false, false, false, true});
  const Tensor x = zeros({2, 3});
  CHECK_THROWS_WITH(masked_fill(x, x, 1), Contains("masked_fill: expects a bool mask, got f32"));
  CHECK_THROWS_WITH(masked_fill(x, gt(x, 0.0), zeros({1})),
                    Contains("a value of f32 without dimensions, got f32[1]"));
  CHECK_THROWS_WITH(Tensor(x).masked_fill_(gt(zeros({4, 2, 3}), 0.0), 1),
                    Contains("masked_fill_: a mask of shape [4, 2, 3]"));
  CHECK_THROWS_WITH(masked_select(x, x), Contains("masked_select: expects a bool mask"));
}

TEST_CASE("nonzero finds all, in order") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const Device where = dtype == f64 ? Device::cpu() : device();
    const Tensor x = tensor({0, 3, 0, 0, 1, 2}, {2, 3}).to(dtype).to(where);
    CHECK(nonzero(x).to_vector<std::int64_t>() == Wholes{0, 1, 1, 1, 1, 2});
  }
  const Tensor special = tensor({0.0, -0.0, double(NAN), double(INFINITY), 1e-45, -1.0}).to(device());
  CHECK(nonzero(special).to_vector<std::int64_t>() == Wholes{2, 3, 4, 5});
  CHECK(nonzero(tensor(5.0).to(device())).shape() == Shape{1, 0});
  CHECK(nonzero(zeros({3, 0, 2}, {.device = device()})).shape() == Shape{0, 3});
  // More elements than one chunk has.
  const std::int64_t n = 5000;
  Wholes values, expected;
  for (std::int64_t i = 0; i < n; ++i) {
    values.push_back(i * i % 7 == 1 ? i : 0);
    if (values.back() != 0) expected.push_back(i);
  }
  CHECK(nonzero(whole_numbers(values)).to_vector<std::int64_t>() == expected);
}
