#include <catch2/catch.hpp>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/shape.h>

#include "elements.h"
#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

// The element of x at the last x.dim() indices, each modulo its size.
double wrapped(const Tensor& x, const Index& index) {
  std::int64_t offset = 0;
  const std::size_t added = index.size() - static_cast<std::size_t>(x.dim());
  for (int d = 0; d < x.dim(); ++d)
    offset = offset * x.size(d) + index[added + static_cast<std::size_t>(d)] % x.size(d);
  return x.data<double>()[offset];
}

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return randn(shape, generator);
}

Tensor numbered(const Shape& shape, DType dtype = f32) { return counted(shape, dtype).to(device()); }

std::vector<int> ints(const Tensor& x) {
  const auto values = x.to_vector<std::int64_t>();
  return {values.begin(), values.end()};
}

// f moves x's elements to where it moves their numbers, in every dtype.
template <class F>
void check_every_dtype(const Tensor& whole, F f) {
  const auto places = ints(f(whole));
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const Tensor x = whole.to(dtype);
    const auto before = x.to_vector<double>(), after = f(x).template to_vector<double>();
    REQUIRE(after.size() == places.size());
    bool same = true;
    for (std::size_t i = 0; i < after.size(); ++i)
      same = same && after[i] == before[static_cast<std::size_t>(places[i])];
    CHECK(same);
  }
}

template <class F>
void check_reshaped(const char* name, const Shape& before, const Shape& after, F f) {
  check_op(
      name, [&](const auto& x) { return f(x[0]); }, [&](const auto& x) { return x[0].reshape(after); },
      {random(before)});
  const Tensor x = numbered(before);
  const Tensor y = f(x);
  CHECK(x.data_ptr() == y.data_ptr());
}

}  // namespace

TEST_CASE("squeeze, unsqueeze, flatten and unflatten give the same memory another shape") {
  const auto squeezed = [](const Shape& before, const Shape& after, const std::vector<int>& dims) {
    check_reshaped("squeeze", before, after, [&](const Tensor& x) { return squeeze(x, dims); });
  };
  check_reshaped("squeeze", {1, 3, 1, 2, 1}, {3, 2}, [](const Tensor& x) { return squeeze(x); });
  check_reshaped("squeeze", {1, 3, 1}, {1, 3}, [](const Tensor& x) { return squeeze(x, -1); });
  squeezed({1, 3, 1}, {1, 3, 1}, {1});
  squeezed({1, 3, 1}, {3}, {0, -1});
  squeezed({1, 3}, {1, 3}, {});
  squeezed({}, {}, {0});
  for (const auto& [dim, after] : std::vector<std::pair<int, Shape>>{
           {0, {1, 2, 3}}, {1, {2, 1, 3}}, {2, {2, 3, 1}}, {-1, {2, 3, 1}}, {-3, {1, 2, 3}}})
    check_reshaped("unsqueeze", {2, 3}, after, [d = dim](const Tensor& x) { return unsqueeze(x, d); });
  const auto flattened = [](const Shape& before, const Shape& after, int start, int end) {
    check_reshaped("flatten", before, after, [&](const Tensor& x) { return flatten(x, start, end); });
  };
  flattened({2, 3, 4}, {24}, 0, -1);
  flattened({2, 3, 4}, {2, 12}, 1, -1);
  flattened({2, 3, 4}, {6, 4}, 0, 1);
  flattened({2, 3, 4}, {2, 3, 4}, 1, 1);
  flattened({}, {1}, 0, -1);
  flattened({2, 0, 3}, {0}, 0, 2);
  const auto unflattened = [](const Shape& before, const Shape& after, int dim, const Shape& sizes) {
    check_reshaped("unflatten", before, after, [&](const Tensor& x) { return unflatten(x, dim, sizes); });
  };
  unflattened({2, 6}, {2, 3, 2}, 1, {3, 2});
  unflattened({6, 2}, {3, 1, 2, 2}, -2, {3, 1, -1});
  unflattened({0, 2}, {0, 5, 2}, 0, {-1, 5});

  CHECK_THROWS_WITH(squeeze(zeros({2}), 1), Contains("squeeze: dimension 1 of a tensor with 1"));
  CHECK_THROWS_WITH(squeeze(zeros({1, 2}), {0, -2}), Contains("squeeze: dimension -2 is given twice"));
  CHECK_THROWS_WITH(unsqueeze(zeros({2}), 2), Contains("unsqueeze: dimension 2 of a tensor with 2"));
  CHECK_THROWS_WITH(unsqueeze(zeros({1, 1, 1, 1, 1, 1, 1, 1}), 0), Contains("at most 8 dimensions"));
  CHECK_THROWS_WITH(flatten(zeros({2, 3}), 1, 0), Contains("first dimension before the last, got 1 and 0"));
  CHECK_THROWS_WITH(unflatten(zeros({6}), 0, {4, -1}), Contains("[4, -1] does not fill dimension 0 of [6]"));
  CHECK_THROWS_WITH(unflatten(zeros({6}), 0, {2, 2}), Contains("does not fill"));
  CHECK_THROWS_WITH(unflatten(zeros({6}), 0, {-1, -1}), Contains("at most one -1"));
  CHECK_THROWS_WITH(unflatten(zeros({0}), 0, {0, -1}), Contains("does not fill"));
  CHECK_THROWS_WITH(unflatten(zeros({6}), 0, {}), Contains("at least one size"));
}

TEST_CASE("swapaxes and movedim reorder dimensions") {
  check_op(
      "swapaxes", [](const auto& x) { return swapaxes(x[0], 0, -1); },
      [](const auto& x) {
        return generate({4, 3, 2}, [&](const Index& i) { return wrapped(x[0], {i[2], i[1], i[0]}); });
      },
      {random({2, 3, 4})});
  check_op(
      "movedim",
      [](const auto& x) {
        return movedim(x[0], {0, -1}, {2, 0});
      },
      [](const auto& x) {  // [a, b, c, d] to [d, b, a, c]
        return generate({5, 3, 2, 4}, [&](const Index& i) {
          return wrapped(x[0], {i[2], i[1], i[3], i[0]});
        });
      },
      {random({2, 3, 4, 5})});
  CHECK(movedim(zeros({2, 3, 4}), 0, -1).shape() == Shape{3, 4, 2});
  CHECK(movedim(zeros({2, 3, 4}), {}, {}).shape() == Shape{2, 3, 4});
  CHECK(movedim(zeros({}), 0, -1).shape() == Shape());
  CHECK_THROWS_WITH(movedim(zeros({2, 3}), {0, 1}, {1}), Contains("got 1 and 2"));
  CHECK_THROWS_WITH(movedim(zeros({2, 3}), {0, 0}, {0, 1}), Contains("dimension 0 is given twice"));
  CHECK_THROWS_WITH(movedim(zeros({2, 3}), 0, 2), Contains("movedim: dimension 2"));
}

TEST_CASE("expand broadcasts to any shape") {
  struct Case {
    Shape before, wanted, after;
  };
  for (const Case& c : std::vector<Case>{{{1, 3}, {2, 3}, {2, 3}},
                                         {{3, 1}, {3, 5}, {3, 5}},
                                         {{3}, {2, 4, 3}, {2, 4, 3}},
                                         {{}, {2, 2}, {2, 2}},
                                         {{1, 2, 1, 3}, {2, -1, 4, -1}, {2, 2, 4, 3}},
                                         {{1, 1, 2}, {3, 65, 2}, {3, 65, 2}},
                                         {{2, 3}, {2, 3}, {2, 3}},
                                         {{2, 3}, {1, 2, 3}, {1, 2, 3}},
                                         {{1, 3}, {0, 3}, {0, 3}},
                                         {{0, 1}, {2, 0, 5}, {2, 0, 5}}})
    check_op(
        "expand", [&](const auto& x) { return expand(x[0], c.wanted) * 1.0; },
        [&](const auto& x) { return generate(c.after, [&](const Index& i) { return wrapped(x[0], i); }); },
        {random(c.before)});
  const Tensor x = numbered({1, 3});
  CHECK(expand_as(x, zeros({2, 3})).shape() == Shape{2, 3});
  CHECK(ints(broadcast_to(x, {2, 3})) == std::vector<int>{0, 1, 2, 0, 1, 2});
  const Tensor same = expand(x, {1, 1, 3});
  CHECK(x.data_ptr() == same.data_ptr());
  check_every_dtype(numbered({3, 1, 2}, i64), [](const Tensor& y) { return expand(y, {2, 3, 5, 2}); });

  CHECK_THROWS_WITH(expand(zeros({2, 3}), {4, 3}), Contains("expand: [2, 3] does not broadcast to [4, 3]"));
  CHECK_THROWS_WITH(expand(zeros({2, 3}), {3}), Contains("at least as many sizes as [2, 3] has, got [3]"));
  CHECK_THROWS_WITH(expand(zeros({3}), {-1, 3}), Contains("does not broadcast to [-1, 3]"));
  CHECK_THROWS_WITH(expand(zeros({1}), {-2}), Contains("does not broadcast to [-2]"));
}

TEST_CASE("repeat and tile put copies side by side") {
  struct Case {
    Shape before, repeats;
  };
  for (const Case& c : std::vector<Case>{{{3}, {2}},
                                         {{2, 3}, {2, 3}},
                                         {{2, 3}, {4, 1, 2}},
                                         {{1, 1}, {3, 5}},
                                         {{2, 1, 3}, {1, 4, 1}},
                                         {{}, {2, 3}},
                                         {{}, {}},
                                         {{2, 3}, {0, 2}},
                                         {{0, 3}, {2, 2}},
                                         {{1, 2, 1, 2, 1, 2, 1, 2}, {2, 1, 2, 1, 1, 2, 2, 2}}}) {
    const int added = c.repeats.dims() - c.before.dims();
    Shape after = c.repeats;
    for (int d = added; d < after.dims(); ++d) after[d] *= c.before[d - added];
    check_op(
        "repeat", [&](const auto& x) { return repeat(x[0], c.repeats); },
        [&](const auto& x) { return generate(after, [&](const Index& i) { return wrapped(x[0], i); }); },
        {random(c.before)});
  }
  CHECK(tile(numbered({2, 3}), {2}).shape() == Shape{2, 6});
  CHECK(ints(tile(numbered({3}), {2, 1})) == std::vector<int>{0, 1, 2, 0, 1, 2});
  CHECK(ints(repeat(numbered({2}), {2})) == std::vector<int>{0, 1, 0, 1});
  check_every_dtype(numbered({3, 2}, i64), [](const Tensor& y) { return repeat(y, {2, 3, 2}); });

  CHECK_THROWS_WITH(repeat(zeros({2, 3}), {2}), Contains("a count for each dimension of [2, 3], got [2]"));
  CHECK_THROWS_WITH(repeat(zeros({2}), {-1}), Contains("counts of at least 0, got [-1]"));
  CHECK_THROWS_WITH(repeat(zeros({4}), {std::int64_t{1} << 62}), Contains("too large"));
}

TEST_CASE("repeat_interleave repeats each element") {
  for (const int dim : {0, 1, -1})
    check_op(
        "repeat_interleave", [&](const auto& x) { return repeat_interleave(x[0], 3, dim); },
        [&](const auto& x) {
          const int d = dim < 0 ? 2 : dim;
          Shape shape = x[0].shape();
          shape[d] *= 3;
          return generate(shape, [&](Index i) {
            i[static_cast<std::size_t>(d)] /= 3;
            return wrapped(x[0], i);
          });
        },
        {random({2, 3, 5})});
  check_op(
      "repeat_interleave",
      [](const auto& x) {
        return repeat_interleave(x[0], {2, 0, 1, 1}, 1);
      },
      [](const auto& x) {
        const Index from{0, 0, 2, 3};
        return generate({2, 4}, [&](const Index& i) {
          return wrapped(x[0], {i[0], from[static_cast<std::size_t>(i[1])]});
        });
      },
      {random({2, 4})});
  const Tensor x = numbered({2, 2});
  CHECK(ints(repeat_interleave(x, 2)) == std::vector<int>{0, 0, 1, 1, 2, 2, 3, 3});
  CHECK(ints(repeat_interleave(x, {0, 1, 2, 0})) == std::vector<int>{1, 2, 2});
  CHECK(ints(repeat_interleave(tensor({7}, Shape()), 3, 0)) == std::vector<int>{7, 7, 7});
  CHECK(repeat_interleave(x, 0, 1).shape() == Shape{2, 0});
  CHECK(repeat_interleave(zeros({2, 0}), std::vector<std::int64_t>{}, 1).shape() == Shape{2, 0});
  check_every_dtype(numbered({3, 2}, i64), [](const Tensor& y) { return repeat_interleave(y, 2, 0); });

  CHECK_THROWS_WITH(repeat_interleave(x, -1), Contains("a count of at least 0, got -1"));
  CHECK_THROWS_WITH(repeat_interleave(x, {1, -1}, 0), Contains("a count of at least 0, got -1"));
  CHECK_THROWS_WITH(repeat_interleave(x, {1, 2, 3}, 0),
                    Contains("expects 2 counts for dimension 0 of [2, 2], got 3"));
  CHECK_THROWS_WITH(repeat_interleave(x, 2, 2), Contains("repeat_interleave: dimension 2"));
}

TEST_CASE("meshgrid has the coordinates of a grid") {
  for (const bool xy : {false, true})
    check_op(
        "meshgrid",
        [&](const auto& x) {
          const auto grids = meshgrid(x, xy ? GridIndexing::xy : GridIndexing::ij);
          return grids[0] + grids[1] * 2.0 + grids[2] * 4.0;
        },
        [&](const auto& x) {
          return generate(xy ? Shape{3, 2, 4} : Shape{2, 3, 4}, [&](const Index& i) {
            return wrapped(x[0], {i[xy]}) + 2 * wrapped(x[1], {i[!xy]}) + 4 * wrapped(x[2], {i[2]});
          });
        },
        {random({2}, 1), random({3}, 2), random({4}, 3)}, {.bf16 = false});
  const auto plane = meshgrid({numbered({2}, i64), numbered({3}, i64)});
  CHECK(ints(plane[0]) == std::vector<int>{0, 0, 0, 1, 1, 1});
  CHECK(ints(plane[1]) == std::vector<int>{0, 1, 2, 0, 1, 2});
  CHECK(meshgrid({zeros({}), zeros({0})}, GridIndexing::xy)[0].shape() == Shape{0, 1});
  CHECK(meshgrid({zeros({3})}, GridIndexing::xy)[0].shape() == Shape{3});
  CHECK_THROWS_WITH(meshgrid({}), Contains("at least one vector"));
  CHECK_THROWS_WITH(meshgrid({zeros({2, 3})}), Contains("expects vectors, got [2, 3]"));
  CHECK_THROWS_WITH(meshgrid({zeros({2}), zeros({2}, {.dtype = i64})}), Contains("got f32 and i64"));
}

TEST_CASE("flip reverses dimensions") {
  for (const Shape& shape :
       {Shape{2, 3, 5}, Shape{1, 1, 1}, Shape{4, 65, 1}, Shape{3, 0, 2}, Shape{2, 2, 16}})
    for (const std::vector<int>& dims :
         std::vector<std::vector<int>>{{}, {0}, {1}, {-1}, {0, 1}, {1, 2}, {0, -1}, {2, 1, 0}})
      check_op(
          "flip", [&](const auto& x) { return flip(x[0], dims); },
          [&](const auto& x) {
            return generate(shape, [&](Index i) {
              for (const int dim : dims) {
                const int d = dim < 0 ? dim + 3 : dim;
                std::int64_t& k = i[static_cast<std::size_t>(d)];
                k = shape[d] - 1 - k;
              }
              return wrapped(x[0], i);
            });
          },
          {random(shape)});
  CHECK(flip(tensor({5}, Shape()), {0}).item() == 5);
  check_every_dtype(numbered({5, 3}, i64), [](const Tensor& y) { return flip(y, {0, 1}); });
  CHECK_THROWS_WITH(flip(zeros({2, 3}), {0, -2}), Contains("flip: dimension -2 is given twice"));
  CHECK_THROWS_WITH(flip(zeros({2, 3}), {2}), Contains("flip: dimension 2"));
}

TEST_CASE("roll moves elements on and in again") {
  struct Case {
    Shape shape;
    std::vector<std::int64_t> shifts;
    std::vector<int> dims;
  };
  for (const Case& c : std::vector<Case>{{{7}, {2}, {0}},
                                         {{7}, {-9}, {-1}},
                                         {{2, 5}, {3}, {1}},
                                         {{3, 5}, {1}, {0}},
                                         {{3, 4, 5}, {1, -2}, {0, 2}},
                                         {{3, 4}, {1, 1}, {0, 0}},
                                         {{3, 4}, {0}, {1}},
                                         {{1, 1}, {5, 7}, {0, 1}},
                                         {{0, 3}, {2}, {0}},
                                         {{0, 3}, {2}, {1}}})
    check_op(
        "roll", [&](const auto& x) { return roll(x[0], c.shifts, c.dims); },
        [&](const auto& x) {
          return generate(c.shape, [&](Index i) {
            for (std::size_t k = 0; k < c.dims.size(); ++k) {
              const int d = c.dims[k] < 0 ? c.dims[k] + c.shape.dims() : c.dims[k];
              std::int64_t& place = i[static_cast<std::size_t>(d)];
              place = ((place - c.shifts[k]) % c.shape[d] + c.shape[d]) % c.shape[d];
            }
            return wrapped(x[0], i);
          });
        },
        {random(c.shape)});
  CHECK(ints(roll(numbered({2, 3}), 1)) == std::vector<int>{5, 0, 1, 2, 3, 4});
  CHECK(ints(roll(numbered({2, 3}), -1, 1)) == std::vector<int>{1, 2, 0, 4, 5, 3});
  CHECK(roll(tensor({5}, Shape()), 3).item() == 5);
  CHECK(ints(roll(numbered({3}), INT64_MIN, 0)) == std::vector<int>{2, 0, 1});
  check_every_dtype(numbered({5, 3}, i64), [](const Tensor& y) { return roll(y, 4); });
  CHECK_THROWS_WITH(roll(zeros({2}), {1, 2}, {0}),
                    Contains("a shift for each of one or more dimensions, got 2 and 1"));
  CHECK_THROWS_WITH(roll(zeros({2}), std::vector<std::int64_t>(), std::vector<int>()),
                    Contains("got 0 and 0"));
  CHECK_THROWS_WITH(roll(zeros({2}), 1, 1), Contains("roll: dimension 1"));
  CHECK_THROWS_WITH(roll(zeros({}), 1, 0), Contains("roll: dimension 0"));
}

TEST_CASE("tril and triu keep one side of the diagonal") {
  for (const Shape& shape :
       {Shape{3, 3}, Shape{2, 3, 5}, Shape{5, 2}, Shape{1, 1}, Shape{0, 3}, Shape{2, 0, 0}})
    for (const std::int64_t diagonal : {0, 1, -1, 2, -4, 100, -100})
      for (const bool lower : {true, false})
        check_op(
            lower ? "tril" : "triu",
            [&](const auto& x) { return lower ? tril(x[0], diagonal) : triu(x[0], diagonal); },
            [&](const auto& x) {
              return generate(shape, [&](const Index& i) {
                const std::int64_t above = i.back() - i[i.size() - 2] - diagonal;
                return (lower ? above <= 0 : above >= 0) ? wrapped(x[0], i) : 0.0;
              });
            },
            {random(shape)});
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    CHECK(ints(tril(ones({2, 3}, {.dtype = dtype, .device = device()}), 1)) ==
          std::vector<int>{1, 1, 0, 1, 1, 1});
  }
  const Tensor odd = tensor({1, NAN, INFINITY, 1}, {2, 2});
  CHECK(tril(odd).to_vector<float>() == std::vector<float>{1, 0, INFINITY, 1});
  CHECK(ints(triu(numbered({2, 2}), INT64_MIN)) == std::vector<int>{0, 1, 2, 3});
  CHECK_THROWS_WITH(tril(zeros({3})), Contains("tril: expects at least two dimensions, got [3]"));
  CHECK_THROWS_WITH(triu(zeros({})), Contains("triu: expects at least two dimensions"));
}

TEST_CASE("diagonal takes any diagonal of any two dimensions") {
  struct Case {
    Shape before;
    std::int64_t offset;
    int dim1, dim2;
    Shape after;
  };
  for (const Case& c : std::vector<Case>{{{3, 3}, 0, 0, 1, {3}},
                                         {{3, 5}, 1, 0, 1, {3}},
                                         {{3, 5}, -2, 0, 1, {1}},
                                         {{3, 5}, 3, 1, 0, {0}},
                                         {{3, 5}, 100, 0, 1, {0}},
                                         {{3, 5}, -100, 0, 1, {0}},
                                         {{2, 3, 4}, 0, 1, 2, {2, 3}},
                                         {{2, 3, 4}, -1, -1, 0, {3, 2}},
                                         {{2, 0}, 0, 0, 1, {0}}})
    check_op(
        "diagonal", [&](const auto& x) { return diagonal(x[0], c.offset, c.dim1, c.dim2); },
        [&](const auto& x) {
          const int dims = c.before.dims();
          const auto row = static_cast<std::size_t>(c.dim1 < 0 ? c.dim1 + dims : c.dim1);
          const auto column = static_cast<std::size_t>(c.dim2 < 0 ? c.dim2 + dims : c.dim2);
          return generate(c.after, [&](const Index& i) {
            Index from(static_cast<std::size_t>(dims));
            std::size_t next = 0;
            for (std::size_t d = 0; d < from.size(); ++d)
              if (d != row && d != column) from[d] = i[next++];
            from[row] = i.back() + std::max<std::int64_t>(-c.offset, 0);
            from[column] = i.back() + std::max<std::int64_t>(c.offset, 0);
            return wrapped(x[0], from);
          });
        },
        {random(c.before)});
  check_every_dtype(numbered({3, 4}, i64), [](const Tensor& y) { return diagonal(y, 1); });
  CHECK_THROWS_WITH(diagonal(zeros({2, 2}), 0, 1, -1), Contains("expects two dimensions, got 1 and -1"));
  CHECK_THROWS_WITH(diagonal(zeros({2})), Contains("diagonal: dimension 1"));
}

TEST_CASE("chunk and unbind cut a tensor") {
  const Tensor x = numbered({2, 5});
  const auto sizes = [](const std::vector<Tensor>& pieces) {
    std::vector<std::int64_t> all;
    for (const Tensor& piece : pieces) all.push_back(piece.size(-1));
    return all;
  };
  CHECK(sizes(chunk(x, 2, 1)) == Index{3, 2});
  CHECK(sizes(chunk(x, 4, -1)) == Index{2, 2, 1});
  CHECK(sizes(chunk(x, 9, 1)) == Index{1, 1, 1, 1, 1});
  CHECK(sizes(chunk(zeros({2, 0}), 3, 1)) == Index{0, 0, 0});
  CHECK(ints(chunk(x, 2, 1)[1]) == std::vector<int>{3, 4, 8, 9});
  CHECK(chunk(x, 2).size() == 2);
  CHECK_THROWS_WITH(chunk(x, 0), Contains("at least 1 chunk, got 0"));
  CHECK_THROWS_WITH(chunk(x, 1, 2), Contains("chunk: dimension 2"));

  REQUIRE(unbind(x, 1).size() == 5);
  CHECK(ints(unbind(x, -1)[3]) == std::vector<int>{3, 8});
  CHECK(ints(unbind(x)[1]) == std::vector<int>{5, 6, 7, 8, 9});
  CHECK(unbind(zeros({0, 2})).empty());
  CHECK_THROWS_WITH(unbind(zeros({})), Contains("unbind: dimension 0"));

  check_op(
      "chunk and unbind",
      [](const auto& in) { return chunk(in[0], 2, 1)[1] + unsqueeze(unbind(in[0], 1)[0], 1); },
      [](const auto& in) {
        return generate({2, 2}, [&](const Index& i) {
          return wrapped(in[0], {i[0], i[1] + 2}) + wrapped(in[0], {i[0], 0});
        });
      },
      {random({2, 4})});
}

TEST_CASE("hstack and vstack join columns and rows") {
  CHECK(ints(hstack({numbered({2}), numbered({3})})) == std::vector<int>{0, 1, 0, 1, 2});
  CHECK(hstack({zeros({2, 3, 4}), zeros({2, 1, 4})}).shape() == Shape{2, 4, 4});
  CHECK(ints(hstack({numbered({}), numbered({2})})) == std::vector<int>{0, 0, 1});
  CHECK(vstack({zeros({3}), zeros({2, 3})}).shape() == Shape{3, 3});
  CHECK(vstack({zeros({}), zeros({})}).shape() == Shape{2, 1});
  CHECK(vstack({zeros({2, 3, 4}), zeros({1, 3, 4})}).shape() == Shape{3, 3, 4});
  CHECK_THROWS_WITH(hstack({}), Contains("hstack: expects at least one"));
  CHECK_THROWS_WITH(vstack({}), Contains("vstack: expects at least one"));
  CHECK_THROWS_WITH(vstack({zeros({3}), zeros({2})}), Contains("cat: expects shapes that agree"));
}

TEST_CASE("shapes change with the same bits for any number of threads") {
  const Tensor x = random({3, 101, 97, 13});
  CHECK(same_for_any_thread_count([&] {
    return std::vector{flip(x, {1, 3}),
                       roll(x, {5, -3}, {1, 2}),
                       repeat(x, {1, 2, 1, 2}),
                       expand(unsqueeze(x, 1), {3, 2, 101, 97, 13}),
                       tril(x),
                       diagonal(x, 2, 1, 2),
                       permute(x, {1, 0, 2, 3})};
  }));
}
