// Tensors from the user's values and on the user's memory.
#include <array>
#include <catch2/catch.hpp>
#include <cstring>
#include <limits>
#include <span>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/norm.h>
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>

using namespace karyon;
using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

TEST_CASE("tensor: values of every type keep their type and all digits") {
  const std::int64_t large = (std::int64_t{1} << 53) + 1;  // no double
  const auto check_values = [](const Tensor& x, DType dtype, const Shape& shape, const Ints& values) {
    CHECK(x.dtype() == dtype);
    CHECK(x.shape() == shape);
    CHECK(x.to_vector<std::int64_t>() == values);
  };
  check_values(tensor(Floats{1, 2}), f32, {2}, {1, 2});
  check_values(tensor(Floats{1, 2}, {2, 1}), f32, {2, 1}, {1, 2});
  check_values(tensor(Ints{large, -large}), i64, {2}, {large, -large});
  check_values(tensor(std::vector<std::uint8_t>{255, 0}), u8, {2}, {255, 0});
  check_values(tensor(std::vector<bool>{true, false, true}, {3, 1}), boolean, {3, 1}, {1, 0, 1});
  check_values(tensor(std::vector<BFloat16>{BFloat16(3.0f)}), bf16, {1}, {3});
  check_values(tensor(std::vector<int>{1, 2}), f32, {2}, {1, 2});
  check_values(tensor(std::vector<int>{1, 2}, {.dtype = i64}), i64, {2}, {1, 2});
  check_values(tensor(std::vector<double>{1, 2}), f32, {2}, {1, 2});
  check_values(tensor(Floats{}, {0, 3}), f32, {0, 3}, {});

  const Floats all{1, 2, 3, 4};
  check_values(tensor(std::span(all).subspan(1, 2)), f32, {2}, {2, 3});
  check_values(tensor(std::span<const float>(all), {2, 2}, {.dtype = f64}), f64, {2, 2}, {1, 2, 3, 4});
  check_values(tensor(std::array{large}), i64, {1}, {large});

  // In braces: f32 unless a type is named or the numbers have one.
  check_values(tensor({1, 2}), f32, {2}, {1, 2});
  check_values(tensor({1, 2.0}), f32, {2}, {1, 2});
  check_values(tensor({1, 2}, {1, 2}, {.dtype = u8}), u8, {1, 2}, {1, 2});
  check_values(tensor({large, large - 2}, {.dtype = i64}), i64, {2}, {large, large - 2});
  check_values(tensor({true, false}), boolean, {2}, {1, 0});

  check_values(tensor(2.0), f32, {}, {2});
  check_values(tensor(2, {.dtype = i64}), i64, {}, {2});
  check_values(tensor(large), i64, {}, {large});
  check_values(tensor(true), boolean, {}, {1});
}

TEST_CASE("tensor: values that do not fill the shape are refused") {
  CHECK_THROWS_WITH(tensor(Floats{1, 2, 3}, {2, 2}), Catch::Contains("tensor: 3 values do not fill [2, 2]"));
  CHECK_THROWS_WITH(tensor(Floats{1, 2}, {-1, -2}), Catch::Contains("negative size"));
  CHECK_THROWS_WITH(tensor(Floats{}, {std::int64_t{1} << 62, 4}), Catch::Contains("too large"));
}

TEST_CASE("tensor: to_vector gives every element type") {
  CHECK(tensor({1.5, 2}).to_vector<BFloat16>()[0].bits == BFloat16(1.5f).bits);
  CHECK(tensor({0, 2}).to_vector<bool>() == std::vector<bool>{false, true});
}

TEST_CASE("from_blob: reads and writes the user's memory, and gives it back") {
  float values[] = {1, 2, 3, 4, 5, 6};
  int freed = 0;
  {
    Tensor x = from_blob(values, {2, 3}, {}, [&](void* data) { freed += data == values ? 1 : 10; });
    CHECK(x.to_vector<float>() == Floats{1, 2, 3, 4, 5, 6});
    CHECK(x.data_ptr() == static_cast<void*>(values));
    CHECK_FALSE(x.owns_storage_alone());
    values[0] = 7;
    CHECK(x.to_vector<float>()[0] == 7);
    x.mul_(2);
    CHECK(values[5] == 12);
    x[1].fill_(0);
    CHECK(values[3] == 0);
    const Tensor row = x[0];
    x = Tensor();
    CHECK(freed == 0);
    CHECK(row.to_vector<float>() == Floats{14, 4, 6});
  }
  CHECK(freed == 1);
  CHECK(values[2] == 6);

  bool truth[] = {true, false};
  CHECK(from_blob(truth, {2}, {.dtype = boolean}).to_vector<bool>() == std::vector<bool>{true, false});
  CHECK(from_blob(nullptr, {0, 3}, {.dtype = f64}).to_vector<double>().empty());
  CHECK((from_blob(nullptr, {0, 3}) + 1).shape() == Shape{0, 3});
}

TEST_CASE("from_blob: gradients, and none in the user's memory") {
  float values[] = {1, 2}, gradient[] = {5, 6};
  {
    Tensor x = from_blob(values, {2}).requires_grad_();
    for (int i = 0; i < 2; ++i) (x * 3).backward(from_blob(gradient, {2}));
    CHECK(x.grad().to_vector<float>() == Floats{30, 36});
    x.set_grad({});
    x.register_hook([&](const Tensor&) { return from_blob(gradient, {2}); });
    for (int i = 0; i < 2; ++i) (x * 3).backward(ones({2}));
    CHECK(x.grad().to_vector<float>() == Floats{10, 12});
  }
  CHECK(gradient[0] == 5);
  CHECK(values[1] == 2);
}

TEST_CASE("from_blob: what others write there is seen, whatever was computed from it before") {
  Generator generator(1);
  const Tensor pixels = randn({1, 8, 8, 32}, generator), filters = randn({32, 3, 3, 32}, generator);
  Floats x_memory = pixels.to_vector<float>(), w_memory = filters.to_vector<float>();
  const Tensor x = from_blob(x_memory.data(), pixels.shape()),
               w = from_blob(w_memory.data(), filters.shape());
  {
    const NoGradGuard no_grad;  // packed filters would be kept
    for (int i = 0; i < 3; ++i) conv2d(x, w, {}, {.padding = 1});
    std::fill(w_memory.begin(), w_memory.end(), 0.0f);
    CHECK(conv2d(x, w, {}, {.padding = 1}).to_vector<float>() == Floats(8 * 8 * 32, 0));
  }
  // A batch norm with ReLU would be lazy.
  const Tensor scale = ones({32}).requires_grad_(), shift = zeros({32});
  const BatchNormOptions options{.training = true, .relu = true};
  const Tensor expected = batch_norm(pixels, scale, shift, {}, {}, options),
               y = batch_norm(x, scale, shift, {}, {}, options);
  std::fill(x_memory.begin(), x_memory.end(), 0.0f);
  CHECK(y.to_vector<float>() == expected.to_vector<float>());
}

TEST_CASE("from_blob: misuse") {
  alignas(8) char bytes[16] = {};
  CHECK_THROWS_WITH(from_blob(nullptr, {2}),
                    Catch::Contains("from_blob: expects the memory of [2], got null"));
  CHECK_THROWS_WITH(from_blob(bytes + 1, {2}),
                    Catch::Contains("from_blob: expects memory aligned to 4 bytes for f32"));
  CHECK_THROWS_WITH(from_blob(bytes, {2}, {.device = Device::cuda()}),
                    Catch::Contains("from_blob: expects memory of the CPU"));
  CHECK_THROWS_WITH(from_blob(bytes, {-2}), Catch::Contains("negative size"));
  CHECK_NOTHROW(from_blob(bytes + 1, {2}, {.dtype = u8}));
}

TEST_CASE("tensor: a pointer without a type is for reading, or counts as a write") {
  static_assert(std::is_same_v<decltype(std::declval<const Tensor&>().data_ptr()), const void*>);
  Generator generator(1);
  Tensor x = randn({2, 8, 8, 16}, generator);
  const Tensor w = ones({16}).requires_grad_(), before = x.clone();
  const BatchNormOptions options{.training = true, .relu = true};
  const Tensor y = batch_norm(x, w, zeros({16}), {}, {}, options);
  std::memset(x.data_ptr(), 0, static_cast<std::size_t>(x.numel()) * sizeof(float));
  CHECK(y.to_vector<float>() == batch_norm(before, w, zeros({16}), {}, {}, options).to_vector<float>());
}
