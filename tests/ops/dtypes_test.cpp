// f16 and i32 in operations: what is moved, what is computed, what is refused.
#include <karyon/karyon.h>
#include <catch2/catch.hpp>

#include "elements.h"
#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

using Tensors = std::vector<Tensor>;
using Ints = std::vector<std::int64_t>;

struct NamedOp {
  const char* name;
  Op op;
};

Tensor on_device(const Tensor& x) { return x.to(device()); }
Tensor positive(const Shape& shape, std::uint64_t seed) {
  Generator generator(seed);
  return rand(shape, generator) + 0.5;
}
Tensor whole(const Shape& shape, DType dtype) { return counted(shape, dtype).to(device()); }
Tensor indices(const Ints& values, DType dtype) { return tensor(values, {.dtype = dtype}).to(device()); }

// op of f16 is op of the same numbers in f64, rounded; so are the gradients.
void check_f16(const NamedOp& named, const Tensors& inputs, DType result) {
  INFO(named.name);
  Tensors halves, wide;
  for (const Tensor& x : inputs) {
    const Tensor half = x.detach().to(f16);
    wide.push_back(half.to(f64).requires_grad_());
    halves.push_back(on_device(half).requires_grad_());
  }
  const Tensor got = named.op(halves), expected = named.op(wide);
  CHECK(got.dtype() == result);
  const double digits = result == f16 ? 1.125 / 2048 : 1e-5;
  CHECK(difference(got, expected) <= digits);
  if (!expected.requires_grad()) return;
  Generator generator(7);
  const Tensor dy = randn(expected.shape(), generator).to(f16);
  got.backward(on_device(dy.to(result)));
  expected.backward(dy.to(f64));
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    INFO("gradient of input " << i);
    REQUIRE(halves[i].grad().defined());
    CHECK(halves[i].grad().dtype() == f16);
    CHECK(difference(halves[i].grad(), wide[i].grad()) <= 3 * 1.125 / 2048);
  }
}

#define OF_ONE(f)                                \
  NamedOp {                                      \
#f, [](const Tensors& x) { return f(x[0]); } \
  }
#define OF_TWO(f)                                      \
  NamedOp {                                            \
#f, [](const Tensors& x) { return f(x[0], x[1]); } \
  }

}  // namespace

TEST_CASE("f16: elements are computed in f32 and rounded once") {
  const Tensor a = positive({3, 5, 4}, 1), b = positive({5, 1}, 2), weight = positive({4}, 3);
  for (const NamedOp& op :
       {OF_TWO(add), OF_TWO(sub), OF_TWO(mul), OF_TWO(div), OF_TWO(maximum), OF_TWO(minimum)})
    check_f16(op, {a, b}, f16);
  for (const NamedOp& op :
       {OF_ONE(neg), OF_ONE(abs), OF_ONE(square), OF_ONE(floor), OF_ONE(ceil), OF_ONE(round), OF_ONE(trunc),
        OF_ONE(sign), OF_ONE(relu), OF_ONE(gelu), OF_ONE(sigmoid), OF_ONE(tanh), OF_ONE(silu), OF_ONE(glu)})
    check_f16(op, {a - 1}, f16);
  check_f16({"lerp", [](const Tensors& x) { return lerp(x[0], x[1], x[2]); }}, {a, b, weight}, f16);
  check_f16({"lerp", [](const Tensors& x) { return lerp(x[0], x[1], 0.25); }}, {a, b}, f16);
  check_f16({"prelu", [](const Tensors& x) { return prelu(x[0], x[1]); }}, {a - 1, weight}, f16);
  check_f16({"clamp", [](const Tensors& x) { return clamp(x[0], 0.7, 1.2); }}, {a}, f16);
  check_f16({"numbers", [](const Tensors& x) { return (x[0] * 1.5 + 0.25) / 3 - 1; }}, {a}, f16);
  check_f16({"1 / x", [](const Tensors& x) { return 1 / x[0]; }}, {a}, f16);
  const Tensor x = on_device(tensor({5.5, -7.25}, {.dtype = f16}));
  CHECK(fmod(x, 2).to_vector<float>() == std::vector<float>{1.5f, -1.25f});
  CHECK(remainder(x, x.clone().fill_(2)).to_vector<float>() == std::vector<float>{1.5f, 0.75f});
  CHECK(fmod(x, 2).dtype() == f16);
  Tensor y = x.clone();
  y *= 2;
  y += x;
  CHECK(y.to_vector<float>() == std::vector<float>{16.5f, -21.75f});
  CHECK(y.dtype() == f16);
}

TEST_CASE("f16: functions, reductions and losses give f32") {
  const Tensor a = positive({3, 5, 4}, 1), b = positive({3, 5, 4}, 2);
  for (const NamedOp& op : {OF_ONE(exp), OF_ONE(log), OF_ONE(sqrt), OF_ONE(sin), OF_ONE(sum), OF_ONE(mean),
                            OF_ONE(prod), OF_ONE(var), OF_ONE(norm), OF_ONE(logsumexp)})
    check_f16(op, {a}, f32);
  check_f16({"max", [](const Tensors& x) { return max(x[0], {1}); }}, {a}, f32);
  check_f16({"softmax", [](const Tensors& x) { return softmax(x[0], 1); }}, {a}, f32);
  check_f16({"cumsum", [](const Tensors& x) { return cumsum(x[0], 1); }}, {a}, f32);
  check_f16({"cosine_similarity", [](const Tensors& x) { return cosine_similarity(x[0], x[1]); }}, {a, b},
            f32);
  check_f16({"mse_loss", [](const Tensors& x) { return mse_loss(x[0], x[1]); }}, {a, b}, f32);
  check_f16({"pow", [](const Tensors& x) { return pow(x[0], 1.5); }}, {a}, f32);
}

TEST_CASE("f16 and i32: types beside each other") {
  const auto of = [](DType dtype) { return on_device(tensor({1, 2, 3}, {.dtype = dtype})); };
  struct Case {
    DType a, b, result;
  };
  for (const auto& [a, b, result] : {Case{f16, f32, f32}, Case{f16, bf16, f32}, Case{bf16, f32, f32},
                                     Case{i32, i64, i64}, Case{i32, i32, i32}}) {
    INFO(a << " and " << b);
    for (const auto& [x, y] : {std::pair(of(a), of(b)), std::pair(of(b), of(a))}) {
      CHECK(add(x, y).dtype() == result);
      CHECK(mul(x, y).to_vector<double>() == std::vector<double>{1, 4, 9});
      CHECK(sub(x, y).to_vector<double>() == std::vector<double>{0, 0, 0});
      CHECK(where(on_device(tensor({true, false, true})), x, y).dtype() == result);
      CHECK(cat({x, y}, 0).dtype() == result);
      CHECK(cat({x, y}, 0).to_vector<double>() == std::vector<double>{1, 2, 3, 1, 2, 3});
      CHECK(eq(x, y).to_vector<bool>() == std::vector<bool>{true, true, true});
    }
  }
  CHECK(div(of(f16), of(bf16)).dtype() == f32);
  CHECK(lerp(of(f16), of(f32), of(f32)).dtype() == f32);
  CHECK_THROWS_WITH(add(of(f16), of(f64)), Contains("add: expects one dtype, got f16 and f64"));
  CHECK_THROWS_WITH(add(of(i32), of(f32)), Contains("add: expects one dtype, got i32 and f32"));
  CHECK_THROWS_WITH(lerp(of(f32), of(i32), of(i64)), Contains("lerp: expects one dtype, got f32 and i64"));
}

TEST_CASE("i32: arithmetic as of i64, in 32 bits") {
  const Tensor x = on_device(tensor({INT32_MAX, -3, 4}, {.dtype = i32}));
  CHECK((x + 1).to_vector<int>() == std::vector{INT32_MIN, -2, 5});
  CHECK((x * 2).to_vector<int>() == std::vector{-2, -6, 8});
  CHECK((x * x).to_vector<int>() == std::vector{1, 9, 16});
  CHECK((x - x).dtype() == i32);
  Tensor y = x.clone();
  y += x;
  y -= on_device(tensor({0, 1, 1}, {.dtype = i32}));
  CHECK(y.to_vector<int>() == std::vector{-2, -7, 7});
  CHECK(sum(x).dtype() == i64);
  CHECK(sum(x).item<std::int64_t>() == std::int64_t{INT32_MAX} + 1);
  CHECK(prod(x, {0}).item<std::int64_t>() == std::int64_t{INT32_MAX} * -12);
  CHECK(cumsum(x, 0).to_vector<std::int64_t>() ==
        Ints{INT32_MAX, INT32_MAX - 3, std::int64_t{INT32_MAX} + 1});
  CHECK(max(x).dtype() == i32);
  CHECK(min(x, {0}).item<int>() == -3);
  CHECK(max(x, 0).values.dtype() == i32);
  CHECK(argmax(x, 0).item<int>() == 0);
  CHECK(cummax(x, 0).values.to_vector<int>() == std::vector{INT32_MAX, INT32_MAX, INT32_MAX});
  CHECK(median(x, 0).values.item<int>() == 4);
  CHECK(lt(x, 2.5).to_vector<bool>() == std::vector<bool>{false, true, false});
  CHECK(gt(x, -1e18).to_vector<bool>() == std::vector<bool>{true, true, true});
  CHECK(eq(x, INT32_MAX).to_vector<bool>() == std::vector<bool>{true, false, false});
  CHECK(isfinite(x).to_vector<bool>() == std::vector<bool>{true, true, true});
  CHECK_THROWS_WITH(x * 0.5, Contains("mul: expects a whole number beside i32, got 0.5"));
  CHECK_THROWS_WITH(div(x, x), Contains("div: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(x / 2, Contains("div: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(neg(x), Contains("neg: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(exp(x), Contains("exp: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(maximum(x, x), Contains("maximum: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(mean(x), Contains("mean: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(relu(x), Contains("relu: expects f32, f64 or bf16, got i32"));
  CHECK_THROWS_WITH(matmul(x, x), Contains("got i32"));
}

TEST_CASE("f16 and i32: what moves elements moves them") {
  const std::vector<NamedOp> moves = {
      {"cat",
       [](const Tensors& x) {
         return cat({x[0], x[0]}, 1);
       }},
      {"stack",
       [](const Tensors& x) {
         return stack({x[0], x[0]}, 1);
       }},
      {"narrow", [](const Tensors& x) { return narrow(x[0], 2, 1, 2); }},
      {"select", [](const Tensors& x) { return select(x[0], 1, -1); }},
      {"permute",
       [](const Tensors& x) {
         return permute(x[0], {3, 0, 2, 1});
       }},
      {"flip",
       [](const Tensors& x) {
         return flip(x[0], {1, 3});
       }},
      {"roll", [](const Tensors& x) { return roll(x[0], 1, 2); }},
      {"repeat",
       [](const Tensors& x) {
         return repeat(x[0], {1, 2, 1, 3});
       }},
      {"expand",
       [](const Tensors& x) {
         return expand(x[0][0], {2, 3, 4, 5});
       }},
      {"triu", [](const Tensors& x) { return triu(x[0]); }},
      {"diagonal", [](const Tensors& x) { return diagonal(x[0]); }},
      {"pad",
       [](const Tensors& x) {
         return pad(x[0], {1, 2, 1, 2});
       }},
      {"pad",
       [](const Tensors& x) {
         return pad(x[0], {1, 2, 1, 2}, PadMode::reflect);
       }},
      {"pad_nd",
       [](const Tensors& x) {
         return pad_nd(x[0], {{0, 1}, {1, 1}, {0, 0}, {2, 0}}, PadMode::circular);
       }},
      {"pad_nd",
       [](const Tensors& x) {
         return pad_nd(x[0], {{0, 1}, {1, 1}, {0, 0}, {2, 0}}, PadMode::constant, 7);
       }},
      {"crop",
       [](const Tensors& x) {
         return crop(x[0], 1, 1, {2, 2});
       }},
      {"unfold",
       [](const Tensors& x) {
         return unfold(x[0], {.kernel_size = {2, 2}});
       }},
      {"index",
       [](const Tensors& x) {
         return index(x[0], {Slice(), 1, Slice(0, 4, 2)});
       }},
      {"index_select",
       [](const Tensors& x) {
         return index_select(x[0], 2, indices({3, 0, 0}, i64).to(x[0].device()));
       }},
      {"masked_fill", [](const Tensors& x) { return masked_fill(x[0], gt(x[0], 60), 3); }},
      {"masked_select", [](const Tensors& x) { return masked_select(x[0], gt(x[0], 60)); }},
      {"sort", [](const Tensors& x) { return sort(x[0], 1, true).values; }},
      {"topk", [](const Tensors& x) { return topk(x[0], 2, 3).values; }},
      {"clone", [](const Tensors& x) { return x[0].clone(); }}};
  for (const DType dtype : {f16, i32})
    for (const NamedOp& move : moves) {
      INFO(move.name << " of " << dtype);
      const Tensor x = counted({2, 3, 4, 5}, f64);
      const Tensor got = move.op({on_device(x.to(dtype))}), expected = move.op({x});
      CHECK(got.dtype() == dtype);
      CHECK(got.shape() == expected.shape());
      CHECK(got.to_vector<double>() == expected.to_vector<double>());
      if (dtype == f16) check_f16(move, {x}, f16);
    }
}

TEST_CASE("i32 is an index wherever i64 is") {
  const Tensor x = on_device(positive({4, 5}, 1));
  const Ints rows = {3, 0, 0}, pairs = {1, 4, 0, 2};
  const Tensor narrow_rows = indices(rows, i32), wide_rows = indices(rows, i64);
  const Tensor narrow_at = indices(pairs, i32).reshape({2, 2}), wide_at = indices(pairs, i64).reshape({2, 2});
  const auto same = [](const char* what, const Tensor& got, const Tensor& expected) {
    INFO(what);
    CHECK(got.dtype() == expected.dtype());
    CHECK(got.shape() == expected.shape());
    CHECK(got.to_vector<double>() == expected.to_vector<double>());
  };
  same("index_select", index_select(x, 0, narrow_rows), index_select(x, 0, wide_rows));
  same("gather", gather(x, 1, narrow_at), gather(x, 1, wide_at));
  same("take_along_dim", take_along_dim(x, narrow_at), take_along_dim(x, wide_at));
  same("scatter", scatter(x, 1, narrow_at, 2.0), scatter(x, 1, wide_at, 2.0));
  same("scatter_add", scatter_add(x, 1, narrow_at, x), scatter_add(x, 1, wide_at, x));
  same("index", x.index({narrow_rows}), x.index({wide_rows}));
  same("index", x.index({Slice(), narrow_at}), x.index({Slice(), wide_at}));
  same("index", x.index({indices({2}, i32).reshape({})}), x[2]);
  Tensor a = x.clone(), b = x.clone();
  same("index_put_", a.index_put_({narrow_rows}, 5), b.index_put_({wide_rows}, 5));
  same("embedding", embedding(narrow_at.reshape({4, 1}) * 0, x), embedding(wide_at.reshape({4, 1}) * 0, x));
  same("one_hot", one_hot(narrow_at), one_hot(wide_at));
  same("bincount", bincount(narrow_rows), bincount(wide_rows));
  CHECK_THROWS_WITH(index_select(x, 0, indices({4}, i32)), Contains("index 4 is out of range"));

  const Tensor scores = x.detach().clone().requires_grad_(), labels = indices({4, 0, 2, 2}, i64);
  const auto loss = [&](const char* what, auto f) {
    const Tensor narrow = f(scores, labels.to(i32)), wide = f(scores, labels);
    same(what, narrow, wide);
    same(what, grad({narrow}, {scores})[0], grad({wide}, {scores})[0]);
  };
  loss("cross_entropy", [](const auto& s, const auto& t) { return cross_entropy(s, t); });
  loss("nll_loss", [](const auto& s, const auto& t) { return nll_loss(log_softmax(s, 1), t); });
  loss("dice_loss", [](const auto& s, const auto& t) { return dice_loss(s, t); });
  loss("tversky_loss", [](const auto& s, const auto& t) { return tversky_loss(s, t); });
  loss("lovasz_softmax_loss", [](const auto& s, const auto& t) { return lovasz_softmax_loss(s, t); });
  CHECK(topk_accuracy(x, labels.to(i32), 2) == topk_accuracy(x, labels, 2));
  ConfusionMatrix matrix(5);
  matrix.update(labels, labels.to(i32));
  CHECK(matrix.counts().to_vector<std::int64_t>()[12] == 2);
  CHECK(pixel_accuracy(labels, labels.to(i32)) == 1);
  CHECK_THROWS_WITH(cross_entropy(x, indices({5, 0, 0, 0}, i32)), Contains("target 5 at position 0"));
}

TEST_CASE("i32 and f16 are scattered and added as PyTorch adds them") {
  const Tensor at = indices({0, 0, 1}, i64);
  for (const DType dtype : {f16, i32}) {
    const Tensor y = scatter_add(whole({2}, dtype), 0, at, whole({3}, dtype) + 1);
    CHECK(y.dtype() == dtype);
    CHECK(y.to_vector<double>() == std::vector<double>{3, 4});
    const auto [values, inverse, counts] = unique(whole({3}, dtype) * 0);
    CHECK(values.dtype() == dtype);
    CHECK(values.numel() == 1);
    CHECK(searchsorted(whole({3}, dtype), whole({2}, dtype)).to_vector<std::int64_t>() == Ints{0, 1});
  }
  const Tensor odd = on_device(tensor({0.0, -0.0, double(NAN), 1.0}, {.dtype = f16}));
  CHECK(nonzero(odd).to_vector<std::int64_t>() == Ints{2, 3});
  CHECK(isnan(odd).to_vector<bool>() == std::vector<bool>{false, false, true, false});
  CHECK(eq(odd, 0).to_vector<bool>() == std::vector<bool>{true, true, false, false});
  CHECK(eq(odd, odd).to_vector<bool>() == std::vector<bool>{true, true, false, true});
}

TEST_CASE("what computes on images and matrices refuses f16 and names the cast") {
  const Tensor x = on_device(ones({1, 4, 4, 2}, {.dtype = f16})),
               w = on_device(ones({2, 3, 3, 2}, {.dtype = f16}));
  const Tensor m = x.reshape({8, 4}), one = on_device(ones({2}));
  const auto refused = [](const std::string& op, auto f) {
    INFO(op);
    CHECK_THROWS_WITH(f(),
                      Contains(op) && Contains("expects f32, f64 or bf16, got f16; cast it by .to(f32)"));
  };
  refused("conv2d", [&] { return conv2d(x, w); });
  refused("conv_transpose2d", [&] { return conv_transpose2d(x, w); });
  refused("conv1d", [&] { return conv1d(x.reshape({1, 16, 2}), w.reshape({2, 9, 2})); });
  refused("conv3d", [&] { return conv3d(x.reshape({1, 1, 4, 4, 2}), w.reshape({2, 1, 3, 3, 2})); });
  refused("matmul", [&] { return matmul(m, m.transpose(0, 1)); });
  refused("linear", [&] { return linear(m, m); });
  refused("matmul", [&] { return einsum("ij,kj->ik", {m, m}); });
  refused("batch_norm", [&] { return batch_norm(x, one, one, {}, {}, {.training = true}); });
  refused("group_norm", [&] { return group_norm(x, 1, one, one); });
  refused("layer_norm", [&] { return layer_norm(x, {2}, one, one); });
  refused("rms_norm", [&] { return rms_norm(x, {2}, one); });
  refused("max_pool2d", [&] { return max_pool2d(x, {.kernel_size = 2}); });
  refused("avg_pool2d", [&] { return avg_pool2d(x, {.kernel_size = 2}); });
  refused("adaptive_avg_pool2d", [&] { return adaptive_avg_pool2d(x, 1); });
  refused("interpolate", [&] { return interpolate(x, {8, 8}); });
  refused("grid_sample", [&] { return grid_sample(x, x); });
  refused("affine_grid", [&] { return affine_grid(on_device(ones({1, 2, 3}, {.dtype = f16})), {4, 4}); });
  refused("dropout", [&] { return dropout(x); });
  refused("fold", [&] {
    return fold(on_device(ones({1, 1, 16}, {.dtype = f16})), {4, 4}, {.kernel_size = {4, 4}});
  });
  refused("attention", [&] { return scaled_dot_product_attention(x, x, x); });
  CHECK_THROWS_WITH(conv2d(x.to(f32), w), Contains("conv2d: x is f32 but weight is f16"));
  CHECK_THROWS_WITH(Linear(2, 2).to(f16), Contains("Module::to: expects f32 or f64, got f16"));
  CHECK_THROWS_WITH(AutocastGuard(f16), Contains("AutocastGuard: expects bf16"));
}
