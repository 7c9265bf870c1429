#include <catch2/catch.hpp>
#include <limits>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/index.h>
#include <karyon/core/ops/reduce.h>

#include "elements.h"
#include "op_check.h"

using namespace karyon;
using namespace karyon::indexing;
using namespace karyon::test;
using Catch::Contains;

namespace {

using Floats = std::vector<float>;
using Wholes = std::vector<std::int64_t>;
using Source = std::function<Index(const Index&)>;

Tensor random(const Shape& shape, std::uint64_t seed = 1) {
  Generator generator(seed);
  return randn(shape, generator);
}
// On the device of the test.
Tensor whole_numbers(const Wholes& values, const Shape& shape) { return tensor(values, shape).to(device()); }
Tensor whole_numbers(const Wholes& values) { return tensor(values).to(device()); }

struct IndexCase {
  Shape x;
  std::vector<TensorIndex> indices;
  Shape result;
  Source source;  // the element of x behind one of the result
};

// The same indices with their tensors on x's device.
std::vector<TensorIndex> on(const Tensor& x, const std::vector<TensorIndex>& indices) {
  std::vector<TensorIndex> moved;
  for (const TensorIndex& one : indices) {
    const auto* tensor = std::get_if<Tensor>(&one.value());
    moved.push_back(tensor ? TensorIndex(tensor->to(x.device())) : one);
  }
  return moved;
}

std::vector<IndexCase> cases() {
  const Tensor rows = tensor(Wholes{2, 0, -1, 2}), columns = tensor(Wholes{1, 1, 0, -5});
  const Tensor grid = tensor(Wholes{0, 2, 1, 0, 0, 2}, {2, 3});
  const Tensor mask = tensor(std::vector<bool>{true, false, true, true, false, true}, {2, 3});
  const Wholes r{2, 0, 2, 2}, c{1, 1, 0, 0}, g{0, 2, 1, 0, 0, 2}, m{0, 2, 3, 5};
  const auto u = [](std::int64_t i) { return static_cast<std::size_t>(i); };
  return {
      {{4, 5}, {}, {4, 5}, [](const Index& i) { return i; }},
      {{4, 5},
       {1},
       {5},
       [](const Index& i) {
         return Index{1, i[0]};
       }},
      {{4, 5},
       {-1, -5},
       {},
       [](const Index&) {
         return Index{3, 0};
       }},
      {{3, 4, 5},
       {Slice(), 0, Slice(2, none, 2)},
       {3, 2},
       [](const Index& i) {
         return Index{i[0], 0, 2 + 2 * i[1]};
       }},
      {{3, 4, 5},
       {ellipsis, 3},
       {3, 4},
       [](const Index& i) {
         return Index{i[0], i[1], 3};
       }},
      {{3, 4, 5},
       {2, ellipsis, Slice(-2)},
       {4, 2},
       [](const Index& i) {
         return Index{2, i[0], 3 + i[1]};
       }},
      {{3, 4},
       {none, Slice(), newaxis, Slice(none, -1)},
       {1, 3, 1, 3},
       [](const Index& i) {
         return Index{i[1], i[3]};
       }},
      {{70, 3, 33},
       {Slice(1, 70, 23), ellipsis, Slice(none, none, 32)},
       {3, 3, 2},
       [](const Index& i) {
         return Index{1 + 23 * i[0], i[1], 32 * i[2]};
       }},
      {{3, 4}, {Slice(1, 1)}, {0, 4}, [](const Index& i) { return i; }},
      {{3, 4}, {Slice(), Slice(3, 1)}, {3, 0}, [](const Index& i) { return i; }},
      {{3, 4},
       {Slice(-9, 9), Slice(2, 100, 50)},
       {3, 1},
       [](const Index& i) {
         return Index{i[0], 2};
       }},
      {{2, 0}, {1}, {0}, [](const Index& i) { return i; }},
      {{}, {none, ellipsis}, {1}, [](const Index&) { return Index{}; }},
      // Tensors.
      {{3, 5},
       {rows},
       {4, 5},
       [=](const Index& i) {
         return Index{r[u(i[0])], i[1]};
       }},
      {{2, 3, 5},
       {Slice(), rows},
       {2, 4, 5},
       [=](const Index& i) {
         return Index{i[0], r[u(i[1])], i[2]};
       }},
      {{2, 3, 5},
       {ellipsis, rows, columns},
       {2, 4},
       [=](const Index& i) {
         return Index{i[0], r[u(i[1])], c[u(i[1])]};
       }},
      {{3, 2, 5},
       {rows, Slice(), columns},
       {4, 2},
       [=](const Index& i) {
         return Index{r[u(i[0])], i[1], c[u(i[0])]};
       }},
      {{2, 3, 5},
       {1, Slice(), grid},
       {3, 2, 3},
       [=](const Index& i) {
         return Index{1, i[0], g[u(i[1] * 3 + i[2])]};
       }},
      {{4, 3, 5},
       {Slice(1, none, 2), grid, Slice(0, 2)},
       {2, 2, 3, 2},
       [=](const Index& i) {
         return Index{1 + 2 * i[0], g[u(i[1] * 3 + i[2])], i[3]};
       }},
      {{3, 3},
       {tensor(Wholes{0, 2}, {2, 1}), tensor(Wholes{1, 0, 2})},
       {2, 3},
       [](const Index& i) {
         return Index{2 * i[0], i[1] == 0 ? 1 : i[1] == 1 ? 0 : 2};
       }},
      {{3, 5},
       {tensor(std::int64_t{-1})},
       {5},
       [](const Index& i) {
         return Index{2, i[0]};
       }},
      {{2, 3, 5},
       {mask},
       {4, 5},
       [=](const Index& i) {
         return Index{m[u(i[0])] / 3, m[u(i[0])] % 3, i[1]};
       }},
      {{5, 2, 3},
       {Slice(0, 3), mask},
       {3, 4},
       [=](const Index& i) {
         return Index{i[0], m[u(i[1])] / 3, m[u(i[1])] % 3};
       }},
      {{2, 3, 3},
       {mask, rows},
       {4},
       [=](const Index& i) {
         return Index{m[u(i[0])] / 3, m[u(i[0])] % 3, r[u(i[0])]};
       }},
      {{2, 3},
       {eq(mask, mask)},
       {6},
       [](const Index& i) {
         return Index{i[0] / 3, i[0] % 3};
       }},
      {{2, 3}, {ne(mask, mask)}, {0}, [](const Index& i) { return i; }},
      {{2}, {tensor(true)}, {1, 2}, [](const Index& i) { return Index{i[1]}; }},
      {{2}, {0, tensor(true)}, {1}, [](const Index&) { return Index{0}; }},
      {{4},
       {Slice(1, none, std::numeric_limits<std::int64_t>::max())},
       {1},
       [](const Index&) { return Index{1}; }},
  };
}

}  // namespace

TEST_CASE("index takes numbers, slices, new dimensions and tensors") {
  for (const IndexCase& c : cases())
    check_op(
        "index", [&](const std::vector<Tensor>& x) { return x[0].index(on(x[0], c.indices)); },
        [&](const std::vector<Tensor>& x) {
          return generate(c.result, [&](const Index& i) { return at(x[0], c.source(i)); });
        },
        {random(c.x)});
}

TEST_CASE("index_put writes where index reads") {
  for (const IndexCase& c : cases()) {
    const auto put_reference = [&](const Tensor& x, const std::function<double(const Index&)>& value) {
      std::vector<double> y = x.to_vector<double>();
      generate(c.result, [&](const Index& i) {
        y[static_cast<std::size_t>(position(c.x, c.source(i)))] = value(i);
        return 0.0;
      });
      return tensor(y, c.x, {.dtype = f64});
    };
    // With equal indices every value that is written counts in the gradient, the last one in the result: no
    // finite differences there.
    OpCheckOptions options;
    options.gradient = false;
    check_op(
        "index_put", [&](const std::vector<Tensor>& x) { return index_put(x[0], on(x[0], c.indices), x[1]); },
        [&](const std::vector<Tensor>& x) {
          return put_reference(x[0], [&](const Index& i) { return at(x[1], i); });
        },
        {random(c.x), random(c.result, 2)}, options);
    const Tensor x = random(c.x).to(device());
    const Tensor expected = put_reference(x, [](const Index&) { return 2.5; });
    for (const DType dtype : {f32, bf16, i64, u8, f16, i32}) {
      Tensor y = x.to(dtype).clone();
      y.index_put_(on(y, c.indices), 2.5);
      CHECK(y.to_vector<double>() == (dtype == f32 ? expected : put_reference(x.to(dtype), [&](const Index&) {
                                       return is_floating(dtype) ? 2.5 : 2;
                                     })).to_vector<double>());
    }
  }
}

TEST_CASE("gradients of index_put") {
  const std::vector<std::vector<TensorIndex>> all = {
      {Slice(), 0, Slice(2, none, 2)},
      {1},
      {ellipsis, tensor(Wholes{3, 0, -1})},
      {tensor(Wholes{1, 0, 2}), Slice(), tensor(Wholes{0, 3, 4})},
      {tensor(Wholes{2, 0}), Slice(none, none, 3)}};
  const Tensor x = random({3, 4, 5});
  for (const auto& indices : all) {
    const Shape whole = x.index(indices).shape();
    for (const Shape& shape : {whole, Shape{}, Shape{1, 1, 1, whole[whole.dims() - 1]}}) {
      const auto reference = [&](const std::vector<Tensor>& in) {
        const Wholes places = counted({3, 4, 5}, i64).index(indices).to_vector<std::int64_t>();
        std::vector<double> y = in[0].to_vector<double>();
        const std::vector<double> value = add(in[1], zeros(whole, {.dtype = f64})).to_vector<double>();
        for (std::size_t i = 0; i < places.size(); ++i) y[static_cast<std::size_t>(places[i])] = value[i];
        return tensor(y, {3, 4, 5}, {.dtype = f64});
      };
      check_op("index_put",
               [&](const std::vector<Tensor>& in) { return index_put(in[0], on(in[0], indices), in[1]); },
               reference, {x, random(shape, 2)});
    }
  }
}

TEST_CASE("leading indices share memory, and the rest is a copy") {
  Tensor x = zeros({3, 4, 5}, {.device = device()});
  for (const std::vector<TensorIndex>& shared :
       std::vector<std::vector<TensorIndex>>{{},
                                             {1},
                                             {1, 2},
                                             {0, 1, Slice(2, 4)},
                                             {Slice(1, none)},
                                             {Slice(1, none), Slice(), Slice()},
                                             {none, 1, ellipsis}}) {
    const float before = x.to(f64).to_vector<float>().empty() ? 0 : sum(x).item();
    Tensor part = x.index(shared);
    part += 1;
    CHECK(sum(x).item() == before + static_cast<float>(part.numel()));
  }
  for (const std::vector<TensorIndex>& apart : std::vector<std::vector<TensorIndex>>{
           {Slice(), 0}, {Slice(none, none, 2)}, {Slice(), Slice(0, 4)}, {whole_numbers({0})}}) {
    const float before = sum(x).item();
    Tensor part = x.index(apart);
    part += 1;
    CHECK(sum(x).item() == before);
  }
}

TEST_CASE("index_put_ converts, broadcasts and reads the memory that it writes") {
  Tensor x = counted({2, 3}, f32).to(device());
  x.index_put_({Slice(), Slice(1, none)}, x.index({Slice(), Slice(none, -1)}));
  CHECK(x.to_vector<float>() == Floats{0, 0, 1, 3, 3, 4});
  x.index_put_({Slice(none, 1)}, x.index({1}));
  CHECK(x.to_vector<float>() == Floats{3, 3, 4, 3, 3, 4});
  x.index_put_({1, Slice(0, 2)}, whole_numbers({7, 8}, {1, 1, 2}));
  CHECK(x.to_vector<float>() == Floats{3, 3, 4, 7, 8, 4});
  x.index_put_({gt(x, 3.5)}, 0);
  CHECK(x.to_vector<float>() == Floats{3, 3, 0, 0, 0, 0});
  x.index_put_({whole_numbers({1, 0, 1}), 0}, tensor({1.0, 2.0, 3.0}).to(device()));  // the last one counts
  CHECK(x.to_vector<float>() == Floats{2, 3, 0, 3, 0, 0});
  index_put_(x, {ellipsis}, 1);
  CHECK(sum(x).item() == 6);
  const Tensor mask = tensor(std::vector<bool>{false, true}).to(device());
  index_put_(x, {mask}, tensor({5.0, 6.0, 7.0}).to(device()));
  CHECK(x.to_vector<float>() == Floats{1, 1, 1, 5, 6, 7});

  x.index_put_({tensor(true).to(device())}, 3);
  CHECK(sum(x).item() == 18);

  Tensor leaf = zeros({2}).requires_grad_();
  CHECK_THROWS_WITH(leaf.index_put_({0}, 1), Contains("index_put_: would change a tensor that requires"));
  CHECK_THROWS_WITH(zeros({2}).index_put_({0}, leaf.index({0})), Contains("the source requires a gradient"));
}

TEST_CASE("a changed index tensor is noticed") {
  Tensor rows = tensor(Wholes{0, 1});
  Tensor x = zeros({2, 2}).requires_grad_();
  const Tensor y = index_put(x, {rows}, 1);
  rows.fill_(0);
  CHECK_THROWS_WITH(sum(y).backward(), Contains("changed in place"));
}

TEST_CASE("index errors say what was expected and what came") {
  const Tensor x = zeros({2, 3, 4}), mask = gt(zeros({2, 4}), 0.0);
  CHECK_THROWS_WITH(x.index({2}), Contains("index: 2 is out of range for dimension 0 of [2, 3, 4]"));
  CHECK_THROWS_WITH(x.index({Slice(), -4}), Contains("index: -4 is out of range for dimension 1"));
  CHECK_THROWS_WITH(x.index({0, 0, 0, 0}), Contains("index: 4 dimensions are indexed, but x is [2, 3, 4]"));
  CHECK_THROWS_WITH(x.index({ellipsis, ellipsis}), Contains("at most one ellipsis, got 2"));
  CHECK_THROWS_WITH(x.index({Slice(none, none, -1)}), Contains("a step of at least 1, got -1"));
  CHECK_THROWS_WITH(x.index({Slice(0, 1, 0)}), Contains("a step of at least 1, got 0"));
  CHECK_THROWS_WITH(x.index({tensor({0.0})}), Contains("expects tensors of i64, i32 or bool, got f32[1]"));
  CHECK_THROWS_WITH(x.index({Tensor()}), Contains("expects tensors of i64, i32 or bool"));
  CHECK_THROWS_WITH(x.index({mask}),
                    Contains("a mask of shape [2, 4] does not fit dimension 1 of [2, 3, 4]"));
  CHECK_THROWS_WITH(x.index({tensor(Wholes{0, 1, 2})}),
                    Contains("index 2 is out of range for a dimension of size 2"));
  CHECK_THROWS_WITH(x.index({tensor(Wholes{0, -3})}), Contains("index -3 is out of range"));
  CHECK_THROWS_WITH(x.index({tensor(Wholes{0, 1}), tensor(Wholes{0, 1, 2})}), Contains("index: shapes"));
  CHECK_THROWS_WITH(Tensor(x).index_put_({0}, zeros({2})),
                    Contains("index_put_: shapes [2] and [3, 4] do not broadcast"));
  CHECK_THROWS_WITH(Tensor(x).index_put_({tensor(Wholes{0})}, zeros({2, 3, 4})),
                    Contains("a value of shape [2, 3, 4] does not broadcast to [1, 3, 4]"));
  CHECK_THROWS_WITH(Tensor(x).index_put_({tensor(Wholes{0})}, zeros({1}, {.dtype = f64})),
                    Contains("index_put_: expects a value of f32 beside index tensors, got f64"));
  const Tensor deep = zeros({1, 1, 1, 1, 1, 1, 1, 1});
  CHECK_THROWS_WITH(deep.index({none}), Contains("at most 8 dimensions"));
}

TEST_CASE("indexing has the same bits with any number of threads", "[cpu]") {
  const Tensor x = random({300, 257}), many = random({2000, 257}, 2);
  const Tensor rows = repeated({2000}, 300), places = repeated({300, 257}, 300);
  CHECK(same_for_any_thread_count([&] {
    Tensor leaf = x.clone().requires_grad_();
    sum(mul(leaf.index({rows}), many)).backward();
    return std::vector{leaf.grad(), scatter_add(x, 0, places, x),
                       leaf.index({Slice(none, none, 3), Slice(1)}), masked_select(x, gt(x, 0.0)),
                       index_put(x, {rows}, many)};
  }));
}
