// Lazy results: every use sees what it would have seen in memory, and gradients do not depend on the use.
#include "bf16_check.h"

#include <optional>
#include <utility>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/moments.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/optim/sgd.h>
#include <karyon/core/storage.h>

using namespace karyon;
using namespace karyon::test;

namespace {

Tensor norm_relu(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  return batch_norm(x, weight, bias, {}, {}, {.training = true, .relu = true});
}

// What uses a batch norm: [norm of x, filters or undefined] -> output.
struct Use {
  const char* name;
  Shape weight;
  std::function<Tensor(const Tensor& x, const Tensor& weight)> run;
};
const std::vector<Use>& uses() {
  static const std::vector<Use> all{
      {"winograd", {32, 3, 3, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.padding = 1}); }},
      {"winograd without padding", {48, 3, 3, 32}, [](auto& x, auto& w) { return conv2d(x, w); }},
      {"stride 2",
       {20, 3, 3, 32},
       [](auto& x, auto& w) { return conv2d(x, w, {}, {.stride = 2, .padding = 1}); }},
      {"1 x 1", {5, 1, 1, 32}, [](auto& x, auto& w) { return conv2d(x, w); }},
      {"a wide dilation",
       {4, 3, 3, 32},
       [](auto& x, auto& w) { return conv2d(x, w, {}, {.padding = 6, .dilation = 6}); }},
      {"groups of 16", {4, 3, 3, 16}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.groups = 2}); }},
      {"groups of 8", {4, 3, 3, 8}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.groups = 4}); }},
      {"transposed",
       {32, 2, 2, 24},
       [](auto& x, auto& w) { return conv_transpose2d(x, w, {}, {.stride = 2}); }},
      {"max pool", {}, [](auto& x, auto&) { return max_pool2d(x); }},
      {"max pool of 3", {}, [](auto& x, auto&) { return max_pool2d(x, {.kernel_size = 3, .stride = 2}); }},
      {"average pool", {}, [](auto& x, auto&) { return avg_pool2d(x, {.kernel_size = 2}); }},
      {"twice", {32, 3, 3, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.padding = 1}) * x; }},
      {"reshaped",
       {},
       [](auto& x, auto&) {
         return x.reshape({-1, 64}) * 2.0;
       }},
  };
  return all;
}

// f32, which is lazy, against f64, which is not.
void check_against_f64(const std::function<Tensor(const std::vector<Tensor>&)>& f,
                       const std::vector<Tensor>& inputs) {
  std::vector<Tensor> in32, in64;
  for (const Tensor& x : inputs) {
    in32.push_back(x.clone().requires_grad_());
    in64.push_back(x.to(f64).requires_grad_());
  }
  const Tensor y32 = f(in32), y64 = f(in64);
  CHECK(difference(y32, y64) < 5e-5);
  Generator generator(3);
  const Tensor dy = randn(y32.shape(), generator);
  y32.backward(dy);
  y64.backward(dy.to(f64));
  for (std::size_t i = 0; i < inputs.size(); ++i) CHECK(difference(in32[i].grad(), in64[i].grad()) < 5e-5);
}

}  // namespace

TEST_CASE("a lazy batch norm serves every operation") {
  Generator generator(1);
  const Tensor x = randn({2, 17, 16, 32}, generator), scale = randn({32}, generator),
               shift = randn({32}, generator);
  for (const Use& use : uses()) {
    INFO(use.name);
    std::vector<Tensor> inputs{x, scale, shift};
    if (use.weight.dims() > 0) inputs.push_back(randn(use.weight, generator) * 0.2);
    check_against_f64(
        [&](const auto& in) {
          const Tensor y = norm_relu(in[0], in[1], in[2]);
          return use.run(y, in.size() > 3 ? in[3] : Tensor());
        },
        inputs);
  }
}

TEST_CASE("batch norm is lazy only where it is recorded, in f32, with whole vectors of channels") {
  Generator generator(2);
  const auto is_lazy = [](const Tensor& y) { return lazy_as<LazyNorm>(y) != nullptr; };
  const Tensor w = ones({32}).requires_grad_(), b = zeros({32});
  const Tensor x = randn({1, 4, 4, 32}, generator);
  const Tensor y = norm_relu(x, w, b);
  CHECK(is_lazy(y));
  CHECK(is_lazy(y.detach()));
  CHECK(y.data<float>() != nullptr);
  CHECK(!is_lazy(y));  // materialized
  CHECK(!is_lazy(batch_norm(x, w, b, {}, {}, {.training = true})));
  CHECK(!is_lazy(norm_relu(x, ones({32}), b)));
  CHECK(!is_lazy(norm_relu(x.to(f64), w.detach().to(f64).requires_grad_(), b.to(f64))));
  CHECK(!is_lazy(norm_relu(randn({1, 4, 4, 24}, generator), ones({24}).requires_grad_(), zeros({24}))));
  const NoGradGuard no_grad;
  CHECK(!is_lazy(norm_relu(x, w, b)));
}

TEST_CASE("a lazy result does not see later changes of its sources") {
  Generator generator(4);
  Tensor x = randn({1, 6, 6, 16}, generator), w = ones({16}).requires_grad_(), b = zeros({16});
  const std::vector<float> expected = norm_relu(x, w, b).to_vector<float>();
  const Tensor y = norm_relu(x, w, b), again = norm_relu(x, w, b);
  const Tensor joined = cat({y, again}, -1);
  {
    const NoGradGuard no_grad;
    w.mul_(3);
    x.mul_(2);
  }
  CHECK(y.to_vector<float>() == expected);
  CHECK(narrow(joined.detach(), -1, 16, 16).to_vector<float>() == expected);
}

TEST_CASE("images are joined where they are read") {
  // Parts that begin blocks of outputs, ones that do not, and three of them.
  const auto channels = GENERATE(values<std::vector<std::int64_t>>({{32, 32}, {16, 32}, {64, 32, 16}}));
  Generator generator(5);
  std::vector<Tensor> inputs;
  std::int64_t total = 0;
  for (std::int64_t c : channels) {
    inputs.push_back(randn({2, 12, 13, c}, generator));
    total += c;
  }
  const std::size_t parts = inputs.size();
  const std::int64_t kernel = GENERATE(3, 1);
  inputs.push_back(randn({24, kernel, kernel, total}, generator) * 0.2);
  inputs.push_back(randn({channels[0]}, generator));
  inputs.push_back(randn({channels[0]}, generator));
  check_against_f64(
      [&](const auto& in) {
        std::vector<Tensor> tensors(in.begin(), in.begin() + static_cast<std::ptrdiff_t>(parts));
        tensors[0] = norm_relu(tensors[0], in[parts + 1], in[parts + 2]);  // both are lazy
        const Tensor x = cat(tensors, -1);
        return conv2d(x, in[parts], {}, {.padding = kernel / 2});
      },
      inputs);
}

TEST_CASE("a hook on joined images sees their whole gradient") {
  Generator generator(6);
  const Tensor a = randn({1, 16, 16, 32}, generator).requires_grad_(),
               b = randn({1, 16, 16, 32}, generator).requires_grad_();
  const Tensor w = randn({16, 3, 3, 64}, generator);
  Tensor x = cat({a, b}, -1);
  x.retain_grad();
  std::vector<float> seen;
  x.register_hook([&](const Tensor& grad) {
    seen = grad.to_vector<float>();
    return grad * 2.0;
  });
  const Tensor y = conv2d(x, w, {}, {.padding = 1});
  y.backward(ones_like(y));
  REQUIRE(x.grad().defined());
  const Tensor grads = cat({a.grad(), b.grad()}, -1);
  std::vector<float> twice = seen;
  for (float& value : twice) value *= 2;
  CHECK(seen.size() == static_cast<std::size_t>(x.numel()));
  CHECK(grads.to_vector<float>() == twice);
}

TEST_CASE("conv2d_affine of parts is conv2d_affine of the joined images") {
  Generator generator(7);
  const NoGradGuard no_grad;
  for (const auto& [first, second, size] : {std::tuple{32, 32, 20}, {16, 48, 16}, {8, 24, 16}, {3, 13, 6}}) {
    const Tensor a = randn({1, size, size, first}, generator), b = randn({1, size, size, second}, generator);
    const Tensor w = randn({24, 3, 3, first + second}, generator), scale = randn({24}, generator);
    const Conv2dAffineOptions options{.conv = {.padding = 1}, .activation = ActivationKind::relu};
    CHECK(conv2d_affine({a, b}, w, scale, {}, options).to_vector<float>() ==
          conv2d_affine(cat({a, b}, -1), w, scale, {}, options).to_vector<float>());
  }
  const Tensor a = zeros({1, 4, 4, 16}), w = zeros({4, 3, 3, 32});
  CHECK_THROWS_WITH(conv2d_affine({a, zeros({1, 5, 4, 16})}, w, {}, {}), Catch::Contains("cat"));
  CHECK_THROWS_WITH(conv2d_affine({a, a, a}, w, {}, {}), Catch::Contains("expects 32 input channels"));
  CHECK_THROWS_WITH(conv2d_affine(std::vector<Tensor>{}, w, {}, {}), Catch::Contains("[N, H, W, C]"));
}

TEST_CASE("lazy results have the same bits with any number of threads") {
  CHECK(same_for_any_thread_count([] {
    Generator generator(8);
    const Tensor x = randn({2, 40, 36, 32}, generator).requires_grad_(),
                 other = randn({2, 40, 36, 32}, generator).requires_grad_(),
                 w = randn({32, 3, 3, 64}, generator).requires_grad_(),
                 scale = randn({32}, generator).requires_grad_(), shift = randn({32}, generator);
    const Tensor y = conv2d(cat({norm_relu(x, scale, shift), other}, -1), w, {}, {.padding = 1});
    y.backward(y.detach());
    return std::vector{y, x.grad(), other.grad(), w.grad(), scale.grad()};
  }));
}

TEST_CASE("a write by pointer materializes what depends on the memory, and drops its caches") {
  Generator generator(3);
  Tensor x = randn({1, 6, 6, 32}, generator).requires_grad_();
  const Tensor weight = ones({32}), bias = zeros({32});
  const auto fill = [](Tensor& t, float value) { std::fill_n(t.data<float>(), t.numel(), value); };

  // A lazy batch norm is that of the old values.
  const auto before = norm_relu(x.detach(), weight, bias).to_vector<float>();
  const Tensor norm = norm_relu(x, weight, bias);
  fill(x, 7);
  CHECK(norm.to_vector<float>() == before);

  // Optimizers and random numbers write, too.
  Tensor a = ones({1, 1, 1, 32}).requires_grad_(), b = ones({1, 1, 1, 32});
  const Tensor joined = cat({a, b}, -1);
  uniform_(b, 2, 3, generator);
  a.set_grad(ones({1, 1, 1, 32}));
  SGD({a}, {.lr = 1}).step();
  CHECK(joined.to_vector<float>() == std::vector<float>(64, 1));
  CHECK(a.detach().to_vector<float>() == std::vector<float>(32, 0));

  // Caches: the filters that inference keeps packed, the moments that a convolution keeps with its output.
  const NoGradGuard no_grad;
  Tensor filters = randn({32, 3, 3, 32}, generator);
  Tensor y;
  for (int i = 0; i < 3; ++i) y = conv2d(x, filters, {}, {.padding = 1});
  fill(filters, 0);
  y = conv2d(x, filters, {}, {.padding = 1});
  for (const float v : y.to_vector<float>()) REQUIRE(v == 0);
  Tensor output =
      conv2d(randn({1, 6, 6, 32}, generator), randn({32, 3, 3, 32}, generator), {}, {.padding = 1});
  for (std::int64_t i = 0; i < output.numel(); ++i) output.data<float>()[i] = static_cast<float>(i / 32 % 2);
  const Tensor centred = batch_norm(output, weight, bias, {}, {}, {.training = true});
  for (const float v : centred.to_vector<float>()) REQUIRE(std::abs(std::abs(v) - 1) < 1e-3);
}

TEST_CASE("the gradient of a max pool is added where the input has another use") {
  // Odd sizes leave a row and a column that no window sees; channels that fill no vector.
  const auto shape = GENERATE(values<Shape>({{2, 8, 6, 32}, {1, 7, 9, 16}, {1, 5, 5, 3}}));
  const DType dtype = GENERATE(f32, bf16);
  Generator generator(9);
  const Tensor x0 = randn(shape, generator).to(dtype), other = randn(shape, generator).to(dtype);
  const auto run = [&](bool pool_last, bool hook, const Tensor& from) {
    const Tensor x = from.clone().requires_grad_();
    Tensor y = x * 1.0;  // of two uses, in either order
    std::vector<double> seen;
    if (hook)
      y.register_hook([&](const Tensor& grad) {
        seen = grad.to_vector<double>();
        return Tensor();
      });
    const Tensor weight = other.to(from.dtype());
    Tensor pooled, scaled;
    if (pool_last) scaled = y * weight;
    pooled = max_pool2d(y);
    if (!pool_last) scaled = y * weight;
    (sum(pooled.to(f64)) + sum(scaled.to(f64))).backward();
    const auto grad = x.grad().to_vector<double>();
    CHECK((!hook || seen == grad));
    return grad;
  };
  const auto exact = run(false, false, x0.to(f64));
  for (const bool pool_last : {false, true})
    for (const bool hook : {false, true}) {
      const auto got = run(pool_last, hook, x0);
      for (std::size_t i = 0; i < got.size(); ++i)
        REQUIRE(std::abs(got[i] - exact[i]) <= (dtype == f32 ? 1e-6 : 4e-3) * (1 + std::abs(exact[i])));
    }
}

TEST_CASE("the gradient of a max pool alone is materialized on access, and does not change later") {
  Generator generator(10);
  Tensor x = randn({1, 4, 4, 16}, generator).requires_grad_(), dy = randn({1, 2, 2, 16}, generator);
  max_pool2d(x).backward(dy);
  CHECK(lazy_as<LazyMaxPoolGradient>(x.grad()) != nullptr);
  const Tensor expected = max_pool2d(x.detach().to(f64).requires_grad_());
  const Tensor before = dy.clone();
  dy.mul_(3);
  CHECK(lazy_as<LazyMaxPoolGradient>(x.grad()) == nullptr);  // materialized before its source changed
  CHECK(sum(x.grad()).item() == Approx(sum(before).item()));
  max_pool2d(x).backward(before);  // added to the first
  CHECK(sum(x.grad()).item() == Approx(2 * sum(before).item()));
}

TEST_CASE("a storage caches one value of each type, until it is written") {
  struct Packed {
    int value;
  };
  struct Sums {
    int value;
  };
  Tensor x = ones({4});
  Storage& storage = *x.impl()->storage;
  CHECK(storage.cache<Packed>() == nullptr);
  storage.set_cache(std::make_shared<Packed>(Packed{1}));
  storage.set_cache(std::make_shared<Sums>(Sums{2}));
  CHECK(storage.cache<Packed>()->value == 1);  // neither evicts the other
  CHECK(storage.cache<Sums>()->value == 2);
  storage.set_cache(std::make_shared<Packed>(Packed{3}));
  CHECK(storage.cache<Packed>()->value == 3);
  CHECK(std::as_const(x).data<float>()[0] == 1);  // reading keeps them
  CHECK(storage.cache<Sums>() != nullptr);

  const std::uint64_t version = x.version();
  SECTION("by pointer") {
    x.data<float>()[0] = 2;
    CHECK(x.version() == version);
  }
  SECTION("in place") {
    x.mul_(2);
    CHECK(x.version() == version + 1);
  }
  CHECK(storage.cache<Packed>() == nullptr);
  CHECK(storage.cache<Sums>() == nullptr);
}

TEST_CASE("one output keeps the moments and the packed filters of its values") {
  if (std::getenv("KARYON_CONV") != nullptr) return;
  Generator generator(12);
  const Tensor x = randn({1, 32, 32, 16}, generator);
  // A convolution's output as the filters of another.
  const Tensor w = randn({16, 3, 3, 16}, generator).requires_grad_();
  const Tensor y = conv2d(x, w, {}, {.padding = 1}), filters = y.detach().reshape({1024, 1, 1, 16});
  REQUIRE(y.impl()->storage->cache<cpu::ChannelMoments>() != nullptr);
  const NoGradGuard no_grad;
  const Tensor images = randn({1, 2, 2, 16}, generator);
  const auto first = conv2d(images, filters).to_vector<float>();
  for (int i = 0; i < 3; ++i) CHECK(conv2d(images, filters).to_vector<float>() == first);
  CHECK(y.impl()->storage->cache<cpu::ChannelMoments>() != nullptr);
}

TEST_CASE("a saved batch norm is its recipe, whether it was materialized or not") {
  // Channels that kernels read lazily, and ones that they do not.
  const std::int64_t c = GENERATE(32, 6);
  const bool materialized = GENERATE(false, true);
  Generator generator(13);
  Tensor x = randn({2, 8, 8, c}, generator).requires_grad_();
  const Tensor weight = randn({c}, generator).requires_grad_(), bias = randn({c}, generator);
  std::optional<SavedTensor> saved;
  std::weak_ptr<Storage> memory;
  std::vector<float> values;
  {
    const Tensor y = norm_relu(x, weight, bias);
    if (materialized) values = y.to_vector<float>();
    saved.emplace(y);
    memory = y.impl()->storage;
    if (!materialized) values = y.to_vector<float>();
  }
  CHECK(memory.expired());
  CHECK(saved->get().to_vector<float>() == values);
  CHECK(saved->get().to_vector<float>() == values);

  SECTION("a source that is changed in place is an error") {
    const NoGradGuard no_grad;
    x.mul_(2);
    CHECK_THROWS_WITH(saved->get(), Catch::Contains("changed in place"));
  }
  SECTION("a result that is changed in place is saved as it is") {
    Tensor y = norm_relu(x, weight, bias);
    {
      const NoGradGuard no_grad;
      y.fill_(3);
    }
    CHECK(SavedTensor(y).get().to_vector<float>() ==
          std::vector<float>(static_cast<std::size_t>(y.numel()), 3));
    const SavedTensor before(y);
    const NoGradGuard no_grad;
    y.fill_(4);
    CHECK_THROWS_WITH(before.get(), Catch::Contains("changed in place"));
  }
  SECTION("views are saved by their memory") {
    const Tensor y = norm_relu(x, weight, bias);
    const Tensor part = narrow(y, 0, 1, 1), flat = y.reshape({-1});
    CHECK(SavedTensor(part).get().to_vector<float>() == part.to_vector<float>());
    CHECK(SavedTensor(flat).get().to_vector<float>() == flat.to_vector<float>());
  }
}

TEST_CASE("a recipe dies with the graph: what it reads is not kept for the result's sake") {
  const std::int64_t c = GENERATE(32, 6);
  Generator generator(14);
  const Tensor leaf = randn({2, 8, 8, c}, generator).requires_grad_();
  const Tensor weight = ones({c}).requires_grad_();
  std::weak_ptr<Storage> memory;
  Tensor y;
  {
    const Tensor x = leaf * 2.0;
    memory = x.impl()->storage;
    y = norm_relu(x, weight, {});
  }
  y.backward(y.detach());  // materializes y
  CHECK(memory.expired());
  CHECK(y.impl()->storage->recipe() == nullptr);
}

TEST_CASE("what a cat joined lives no longer than the cat is lazy") {
  Generator generator(15);
  const Tensor a = randn({1, 4, 4, 16}, generator).requires_grad_();
  std::weak_ptr<Storage> memory;
  Tensor y;
  {
    const Tensor part = a * 2.0;
    memory = part.impl()->storage;
    y = cat({part, part}, -1);
  }
  CHECK(lazy_as<LazyCat>(y) != nullptr);
  CHECK(!memory.expired());
  const SavedTensor saved(y);
  CHECK(y.data_ptr() != nullptr);
  CHECK(memory.expired());
  CHECK(saved.get().data_ptr() == y.data_ptr());
}

TEST_CASE("f64 is never lazy: the backend does not read it so") {
  const Tensor x32 = ones({1, 4, 4, 32}), x64 = x32.to(f64), x_bf16 = x32.to(bf16);
  for (const LazyKind kind : {LazyKind::norm, LazyKind::cat}) {
    CHECK(reads_lazily(kind, x32));
    CHECK(reads_lazily(kind, x_bf16));
    CHECK(!reads_lazily(kind, x64));
    CHECK(!reads_lazily(kind, ones({1, 4, 4, 8})));
    CHECK(!reads_lazily(kind, ones({1, 4, 4, 16}).to(bf16)));
  }
}

TEST_CASE("bf16 convolutions and pools of lazy batch norms and cats", "[cpu]") {
  const auto joined = [](const auto& in) {
    const Tensor x = batch_norm(in[0], in[1], in[2], {}, {}, {.relu = true});
    return cat({x, in[3]}, -1);
  };
  const std::vector<Bf16Input> inputs{{{2, 18, 21, 32}}, {{32}, f32}, {{32}, f32}, {{2, 18, 21, 64}}};
  auto with_filters = inputs;
  with_filters.push_back({{40, 3, 3, 96}, bf16, 0.1});
  // The norm's parameters get sums of rounded gradients, which cancel.
  check_bf16(
      "conv2d", [&](const auto& in) { return conv2d(joined(in), in[4], {}, {.padding = 1}); }, with_filters,
      4e-2);
  check_bf16(
      "max_pool2d", [&](const auto& in) { return max_pool2d(joined(in)); }, inputs, 4e-2);
}

TEST_CASE("bf16 convolutions read a lazy batch norm as they read a materialized one", "[cpu]") {
  struct Case {
    const char* name;
    Shape weight;
    std::function<Tensor(const Tensor& x, const Tensor& weight)> run;
  };
  const auto c = GENERATE(values<Case>({
      {"1 x 1", {3, 1, 1, 32}, [](auto& x, auto& w) { return conv2d(x, w); }},
      {"2 x 2", {40, 2, 2, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.stride = 2}); }},
      {"overlapping", {9, 3, 3, 32}, [](auto& x, auto& w) { return conv2d(x, w, {}, {.stride = 2}); }},
      {"padded",
       {24, 3, 5, 32},
       [](auto& x, auto& w) { return conv2d(x, w, {}, {.padding = 3, .dilation = 2}); }},
      {"transposed",
       {32, 2, 2, 24},
       [](auto& x, auto& w) { return conv_transpose2d(x, w, {}, {.stride = 2}); }},
  }));
  INFO(c.name);
  Generator generator(31);
  const Tensor from = randn({2, 13, 18, 32}, generator).to(bf16), scale = randn({32}, generator),
               shift = randn({32}, generator), weight = randn(c.weight, generator).to(bf16);
  std::vector<std::vector<float>> results[2];
  for (const bool materialized : {false, true}) {
    const Tensor x = from.detach().requires_grad_(), w = weight.detach().requires_grad_();
    const Tensor normed = batch_norm(x, scale.detach().requires_grad_(), shift, {}, {}, {.relu = true});
    CHECK(lazy_as<LazyNorm>(normed) != nullptr);
    if (materialized) CHECK(normed.data<BFloat16>() != nullptr);
    const Tensor y = c.run(normed, w);
    Generator gradients(3);
    y.backward(randn(y.shape(), gradients).to(bf16));
    for (const Tensor& result : {y, w.grad(), x.grad()})
      results[materialized].push_back(result.to_vector<float>());
    if (std::getenv("KARYON_CONV") == nullptr && cpu::has_bf16_dot())
      CHECK((lazy_as<LazyNorm>(normed) == nullptr) == materialized);
  }
  CHECK(results[0] == results[1]);
}
