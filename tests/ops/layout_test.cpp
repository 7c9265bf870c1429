#include <catch2/catch.hpp>
#include <numeric>

#include <karyon/core/ops/layout.h>

#include "bf16_check.h"
#include "elements.h"

using namespace karyon;
using namespace karyon::test;

namespace {

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return randn(shape, generator);
}

}  // namespace

TEST_CASE("cat joins along any dimension") {
  struct Case {
    std::vector<Shape> shapes;
    int dim;
  };
  const std::vector<Case> cases = {{{{2, 3, 5, 3}, {2, 3, 5, 4}}, -1},
                                   {{{2, 3}, {1, 3}, {4, 3}}, 0},
                                   {{{2, 1, 3}, {2, 4, 3}}, 1},
                                   {{{1}, {2}}, 0},
                                   {{{1, 1, 1, 1}}, 3},
                                   {{{2, 0, 3}, {2, 2, 3}}, 1}};
  for (const Case& c : cases) {
    std::vector<Tensor> inputs;
    for (const Shape& shape : c.shapes) inputs.push_back(random(shape, inputs.size() + 1));
    const int dim = c.dim < 0 ? c.dim + c.shapes[0].dims() : c.dim;
    check_op(
        "cat", [&](const std::vector<Tensor>& x) { return cat(x, c.dim); },
        [&](const std::vector<Tensor>& x) {
          Shape shape = x[0].shape();
          shape[dim] = 0;
          for (const Tensor& t : x) shape[dim] += t.size(dim);
          return generate(shape, [&](Index i) {
            std::size_t k = 0;
            auto& along = i[static_cast<std::size_t>(dim)];
            while (along >= x[k].size(dim)) along -= x[k++].size(dim);
            return at(x[k], i);
          });
        },
        inputs);
  }
}

TEST_CASE("cat gives gradients only to inputs that want them") {
  Tensor a = random({2, 3}).requires_grad_(), b = random({2, 2});
  cat({a, b, a}, 1).backward(counted({2, 8}, f32));
  CHECK(a.grad().to_vector<float>() == std::vector<float>{0 + 5, 1 + 6, 2 + 7, 8 + 13, 9 + 14, 10 + 15});
  CHECK_FALSE(b.grad().defined());
}

TEST_CASE("narrow, split and stack") {
  for (int dim : {0, 1, 2, -1}) {
    check_op(
        "narrow", [&](const std::vector<Tensor>& x) { return narrow(x[0], dim, 1, 2); },
        [&](const std::vector<Tensor>& x) {
          const auto d = static_cast<std::size_t>(dim < 0 ? 2 : dim);
          Shape shape = x[0].shape();
          shape[static_cast<int>(d)] = 2;
          return generate(shape, [&](Index i) {
            i[d] += 1;
            return at(x[0], i);
          });
        },
        {random({4, 3, 5})});
  }
  for (int dim : {0, 1, 2, -1}) {
    check_op(
        "stack", [&](const std::vector<Tensor>& x) { return stack(x, dim); },
        [&](const std::vector<Tensor>& x) {
          const auto d = static_cast<std::size_t>(dim < 0 ? 2 : dim);
          std::vector<std::int64_t> sizes = {2, 3};
          sizes.insert(sizes.begin() + static_cast<std::ptrdiff_t>(d), 2);
          return generate(Shape(sizes), [&](Index i) {
            const auto which = static_cast<std::size_t>(i[d]);
            i.erase(i.begin() + static_cast<std::ptrdiff_t>(d));
            return at(x[which], i);
          });
        },
        {random({2, 3}, 1), random({2, 3}, 2)});
  }
  const Tensor x = counted({2, 5}, f32);
  const auto pieces = split(x, 2, 1);
  REQUIRE(pieces.size() == 3);
  CHECK(pieces[1].to_vector<float>() == std::vector<float>{2, 3, 7, 8});
  CHECK(pieces[2].to_vector<float>() == std::vector<float>{4, 9});
  CHECK(split(x, std::vector<std::int64_t>{0, 4, 1}, 1)[0].shape() == Shape{2, 0});
  CHECK(split(x, 1, 0)[1].data_ptr() == narrow(x, 0, 1, 1).data_ptr());
  REQUIRE(split(zeros({2, 0}), 3, 1).size() == 1);
  CHECK(split(zeros({2, 0}), 3, 1)[0].shape() == Shape{2, 0});
  CHECK(narrow(x, 1, -2, 2).to_vector<float>() == std::vector<float>{3, 4, 8, 9});
  CHECK_THROWS_AS(narrow(x, 1, -6, 1), Error);
  CHECK_THROWS_AS(narrow(x, 1, -2, 3), Error);

  Tensor leaf = random({2, 5}).requires_grad_();
  const auto parts = split(leaf, std::vector<std::int64_t>{2, 3}, 1);
  parts[1].backward(ones({2, 3}));
  CHECK(leaf.grad().to_vector<float>() == std::vector<float>{0, 0, 1, 1, 1, 0, 0, 1, 1, 1});
}

TEST_CASE("pad and crop") {
  const std::vector<std::pair<Shape, Pad2d>> cases = {
      {{2, 4, 5, 3}, {3, 2, 1, 4}}, {{1, 3, 2, 1}, {0, 2, 1, 0}}, {{1, 1, 1, 2}, {0, 0, 0, 0}}};
  for (const auto& [shape, border] : cases)
    for (PadMode mode : {PadMode::zeros, PadMode::reflect}) {
      check_op(
          "pad", [&, &border = border](const std::vector<Tensor>& x) { return pad(x[0], border, mode); },
          [&, &border = border](const std::vector<Tensor>& x) {
            const std::int64_t h = x[0].size(1), w = x[0].size(2);
            const Shape out{x[0].size(0), h + border.top + border.bottom, w + border.left + border.right,
                            x[0].size(3)};
            return generate(out, [&](Index i) {
              std::int64_t iy = i[1] - border.top, ix = i[2] - border.left;
              if (mode == PadMode::zeros && (iy < 0 || ix < 0 || iy >= h || ix >= w)) return 0.0;
              if (iy < 0) iy = -iy;
              if (ix < 0) ix = -ix;
              if (iy >= h) iy = h - 1 - (iy - (h - 1));
              if (ix >= w) ix = w - 1 - (ix - (w - 1));
              return at(x[0], {i[0], iy, ix, i[3]});
            });
          },
          {random(shape)});
    }
  check_op(
      "crop",
      [](const std::vector<Tensor>& x) {
        return crop(x[0], 1, 2, {3, 2});
      },
      [](const std::vector<Tensor>& x) {
        return generate({2, 3, 2, 3}, [&](const Index& i) {
          return at(x[0], {i[0], i[1] + 1, i[2] + 2, i[3]});
        });
      },
      {random({2, 5, 4, 3})});
  const Tensor x = counted({1, 3, 3, 1}, u8);
  CHECK(crop(pad(x, {1, 2, 3, 0}), 1, 3, 3).to_vector<std::uint8_t>() == x.to_vector<std::uint8_t>());

  Tensor half = counted({1, 3, 3, 1}, bf16).requires_grad_();
  pad(half, {1, 0, 0, 0}, PadMode::reflect).backward(ones({1, 4, 3, 1}, {.dtype = bf16}));
  CHECK(half.grad().dtype() == bf16);
  CHECK(half.grad().to_vector<float>() == std::vector<float>{1, 1, 1, 2, 2, 2, 1, 1, 1});
}

TEST_CASE("permute in every order") {
  const Shape shape{2, 3, 4, 5};
  std::vector<int> order = {0, 1, 2, 3};
  do {
    check_op(
        "permute", [&](const std::vector<Tensor>& x) { return permute(x[0], order); },
        [&](const std::vector<Tensor>& x) {
          Shape out;
          for (int d : order) out.push_back(shape[d]);
          return generate(out, [&](const Index& i) {
            Index from(4);
            for (std::size_t d = 0; d < 4; ++d) from[static_cast<std::size_t>(order[d])] = i[d];
            return at(x[0], from);
          });
        },
        {random(shape)});
  } while (std::next_permutation(order.begin(), order.end()));
}

TEST_CASE("transpose exchanges two dimensions") {
  check_op(
      "transpose", [](const std::vector<Tensor>& x) { return transpose(x[0], -1, 0); },
      [](const std::vector<Tensor>& x) {
        return generate({4, 3, 2}, [&](const Index& i) { return at(x[0], {i[2], i[1], i[0]}); });
      },
      {random({2, 3, 4})});
  CHECK(transpose(ones({}), 0, -1).shape() == Shape());
  CHECK_THROWS_AS(transpose(ones({}), 0, 1), Error);
  CHECK_THROWS_AS(transpose(zeros({2}), 0, 1), Error);
}

TEST_CASE("select takes one element of any dimension") {
  for (const std::int64_t index : {1, -2})
    check_op(
        "select", [&](const std::vector<Tensor>& x) { return select(x[0], 1, index); },
        [](const std::vector<Tensor>& x) {
          return generate({2, 4}, [&](const Index& i) { return at(x[0], {i[0], 1, i[1]}); });
        },
        {random({2, 3, 4})});
  CHECK_THROWS_WITH(select(zeros({2, 3}), 1, 3), Catch::Contains("index 3 of dimension 1 of [2, 3]"));
  CHECK_THROWS_AS(select(zeros({2, 3}), 1, -4), Error);
}

TEST_CASE("permute beyond one tile, of every element size, with unit dimensions") {
  for (DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    const Tensor x = counted({1, 67, 1, 41}, i64).to(dtype);
    const auto in = x.to_vector<double>(), out = permute(x, {3, 0, -3, 2}).to_vector<double>();
    bool same = true;
    for (std::size_t i = 0; i < 67; ++i)
      for (std::size_t j = 0; j < 41; ++j) same = same && out[j * 67 + i] == in[i * 41 + j];
    INFO(dtype);
    CHECK(same);
  }
  CHECK(permute(zeros({0, 3}), {1, 0}).shape() == Shape{3, 0});
  CHECK(permute(tensor({5}, Shape{}), {}).item() == 5);
  CHECK(reshape(counted({2, 3}, f32), {3, -1}).shape() == Shape{3, 2});
}

TEST_CASE("layout operations copy the same bytes with any number of threads") {
  const Tensor x = random({3, 101, 97, 13});
  CHECK(same_for_any_thread_count([&] {
    return std::vector{cat({x, x}, 3), permute(x, {0, 3, 1, 2}), permute(x, {2, 1, 0, 3}),
                       pad(x, {3, 4, 5, 6}, PadMode::reflect), narrow(x, 1, 3, 90)};
  }));
}

TEST_CASE("layout errors say what was expected and what came") {
  const Tensor x = zeros({2, 3, 4, 5});
  using Catch::Contains;
  CHECK_THROWS_WITH(cat({}, 0), Contains("cat: expects at least one"));
  CHECK_THROWS_WITH(cat({x, zeros({2, 3, 4})}, 0), Contains("[2, 3, 4, 5]") && Contains("[2, 3, 4]"));
  CHECK_THROWS_WITH(cat({x, zeros({2, 3, 5, 5})}, 3), Contains("dimension 3"));
  CHECK_THROWS_WITH(cat({x, x.to(f64)}, 0), Contains("f32 and f64"));
  CHECK_THROWS_WITH(cat({x}, 4), Contains("cat: dimension 4"));
  CHECK_THROWS_WITH(narrow(x, 1, 2, 2), Contains("narrow: 2 elements from 2"));
  CHECK_THROWS_WITH(narrow(x, 1, 0, -1), Contains("narrow"));
  CHECK_THROWS_WITH(split(x, std::vector<std::int64_t>{1, 1}, 1), Contains("sum to 3, got 2"));
  CHECK_THROWS_WITH(split(x, 0, 1), Contains("at least 1, got 0"));
  CHECK_THROWS_WITH(stack({x, zeros({2})}), Contains("stack: expects one shape"));
  CHECK_THROWS_WITH(pad(x, {-1, 0, 0, 0}), Contains("got top -1"));
  CHECK_THROWS_WITH(pad(x, {0, 3, 0, 0}, PadMode::reflect), Contains("smaller than the image"));
  CHECK_NOTHROW(pad(x, {0, 3, 0, 0}));
  CHECK_THROWS_WITH(pad(zeros({2, 2}), {}), Contains("[N, H, W, C], got [2, 2]"));
  CHECK_THROWS_WITH(crop(x, 1, 0, {3, 1}), Contains("(3, 1) at (1, 0)"));
  CHECK_THROWS_WITH(permute(x, {0, 1, 2}), Contains("expects 4 dimensions"));
  CHECK_THROWS_WITH(permute(x, {0, 1, 2, 2}), Contains("dimension 2 is named twice"));
}

TEST_CASE("bf16 cat and pad", "[cpu]") {
  check_bf16("cat",
             [](const auto& in) {
               return cat({in[0], in[1]}, -1);
             },
             {{{2, 5, 7, 32}}, {{2, 5, 7, 64}}});
  check_bf16("pad",
             [](const auto& in) {
               return pad(in[0], {1, 2, 3, 1}, PadMode::reflect);
             },
             {{{2, 5, 7, 6}}});
}
