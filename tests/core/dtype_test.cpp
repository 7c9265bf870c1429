#include <catch2/catch.hpp>
#include <cmath>
#include <cstring>
#include <limits>
#include <sstream>
#include <vector>

#include <karyon/core/factories.h>
#include <karyon/core/tensor.h>

#include "test_device.h"

using namespace karyon;
using karyon::test::device;

namespace {

constexpr DType every[] = {f32, f64, bf16, i64, u8, boolean, f16, i32};

Float16 of_bits(unsigned bits) {
  Float16 half;
  half.bits = static_cast<std::uint16_t>(bits);
  return half;
}

// What the bits say, by the definition of the format.
double value_of(unsigned bits) {
  const int exponent = bits >> 10 & 31, fraction = bits & 1023;
  const double magnitude = exponent == 31  ? (fraction == 0 ? INFINITY : NAN)
                           : exponent == 0 ? std::ldexp(fraction, -24)
                                           : std::ldexp(1024 + fraction, exponent - 25);
  return bits & 0x8000 ? -magnitude : magnitude;
}

unsigned rounded(double x) { return Float16(static_cast<float>(x)).bits; }

}  // namespace

TEST_CASE("f16: all 65,536 values are what their bits say, and come back") {
  std::size_t wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const double expected = value_of(bits);
    const auto got = static_cast<float>(of_bits(bits));
    if (std::isnan(expected)) {
      wrong += std::isnan(got) && std::signbit(got) == (bits >= 0x8000) ? 0 : 1;
      wrong += std::isnan(value_of(Float16(got).bits)) ? 0 : 1;
    } else {
      wrong += got == expected && std::signbit(got) == std::signbit(expected) ? 0 : 1;
      wrong += Float16(got).bits == bits ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
  static_assert(static_cast<float>(Float16(1.5f)) == 1.5f);
}

TEST_CASE("f16: every float between two neighbours goes to the nearer one, a tie to the even one") {
  std::size_t wrong = 0;
  for (unsigned bits = 0; bits < 0x7bff; ++bits) {
    const double low = value_of(bits), high = value_of(bits + 1);
    const auto middle = static_cast<float>((low + high) / 2);
    REQUIRE(middle == (low + high) / 2);
    for (const unsigned sign : {0u, 0x8000u}) {
      const float s = sign == 0 ? 1 : -1;
      wrong += rounded(s * std::nextafter(middle, 0.0f)) == (sign | bits) ? 0 : 1;
      wrong += rounded(s * std::nextafter(middle, INFINITY)) == (sign | (bits + 1)) ? 0 : 1;
      wrong += rounded(s * middle) == (sign | (bits % 2 == 0 ? bits : bits + 1)) ? 0 : 1;
    }
  }
  CHECK(wrong == 0);
  CHECK(rounded(65504) == 0x7bff);
  CHECK(rounded(std::nextafter(65520.0f, 0.0f)) == 0x7bff);
  for (const double large : {65520.0, 65536.0, 1e30, double{INFINITY}}) CHECK(rounded(large) == 0x7c00);
  CHECK(rounded(-65520) == 0xfc00);
  CHECK(rounded(0x1p-25) == 0);
  CHECK(rounded(-0x1p-25) == 0x8000);
  CHECK(rounded(std::numeric_limits<float>::denorm_min()) == 0);
}

TEST_CASE("f16: a tensor of all values converts as the values do") {
  std::vector<Float16> all;
  for (unsigned bits = 0; bits < 65536; ++bits) all.push_back(of_bits(bits));
  const Tensor x = tensor(all).to(device());
  CHECK(x.dtype() == f16);
  const std::vector<float> wide = x.to(f32).to_vector<float>();
  const std::vector<Float16> back = x.to(f32).to(f16).to_vector<Float16>();
  std::size_t wrong = 0;
  for (unsigned bits = 0; bits < 65536; ++bits) {
    const double expected = value_of(bits);
    wrong += wide[bits] == expected || (std::isnan(wide[bits]) && std::isnan(expected)) ? 0 : 1;
    wrong +=
        back[bits].bits == bits || (std::isnan(expected) && std::isnan(value_of(back[bits].bits))) ? 0 : 1;
  }
  CHECK(wrong == 0);
}

TEST_CASE("every dtype becomes every other") {
  const std::vector<double> values = {0, 1, 2, 7, 100, 255, 0, 64};
  for (const DType from : every)
    for (const DType to : every) {
      INFO(from << " to " << to);
      const Tensor x = tensor(values, {.dtype = from}).to(device());
      const Tensor y = x.to(to);
      CHECK(y.dtype() == to);
      std::vector<double> expected = values;
      for (double& v : expected)
        if (from == boolean || to == boolean) v = v != 0;
      CHECK(y.to_vector<double>() == expected);
      Tensor copy = zeros({8}, {.dtype = to, .device = device()});
      copy.copy_(x);
      CHECK(copy.to_vector<double>() == expected);
    }
  // Fractions of f16 are cut off, and numbers of 64 bits keep their last 32.
  CHECK(tensor({-1.75, 2.5}, {.dtype = f16}).to(i32).to_vector<int>() == std::vector{-1, 2});
  const std::vector<std::int64_t> large = {(std::int64_t{1} << 32) + 5, -1, std::int64_t{1} << 31};
  CHECK(tensor(large).to(i32).to_vector<int>() == std::vector{5, -1, std::numeric_limits<int>::min()});
  CHECK(tensor({16777217}, {.dtype = i32}).item<int>() == 16777217);  // no float
  CHECK(tensor({300.0}, {.dtype = f16}).to(u8).item<int>() == 44);
}

TEST_CASE("f16 and i32 tensors from numbers, memory and other tensors") {
  CHECK(name(f16) == std::string("f16"));
  CHECK(name(i32) == std::string("i32"));
  CHECK(element_size(f16) == 2);
  CHECK(element_size(i32) == 4);
  CHECK(dtype_of<std::int32_t> == i32);
  CHECK(dtype_of<Float16> == f16);
  CHECK((is_floating(f16) && !is_floating(i32) && is_index(i32) && is_index(i64) && !is_index(u8)));
  CHECK(parameter_dtype(f16) == f32);

  CHECK(tensor({1, 2}).dtype() == f32);  // as before: a type is named, or the numbers are floats
  CHECK(tensor(std::vector<std::int32_t>{1, -2}, {.dtype = i32}).to_vector<int>() == std::vector{1, -2});
  std::vector<std::int32_t> numbers = {1, 2, 3, 4, 5, 6};
  Tensor x = from_blob(numbers.data(), {2, 3}, {.dtype = i32});
  x[1].fill_(9);
  CHECK(numbers == std::vector<std::int32_t>{1, 2, 3, 9, 9, 9});
  CHECK(x.data<std::int32_t>() == numbers.data());
  CHECK_THROWS_AS(x.data<std::int64_t>(), Error);
  std::vector<Float16> halves(4, Float16(0.5f));
  CHECK(from_blob(halves.data(), {4}, {.dtype = f16}).to_vector<float>() == std::vector<float>(4, 0.5f));

  for (const DType dtype : {f16, i32}) {
    INFO(dtype);
    const TensorOptions options{.dtype = dtype, .device = device()};
    CHECK(zeros({3}, options).to_vector<double>() == std::vector<double>{0, 0, 0});
    CHECK(ones({2}, options).to_vector<double>() == std::vector<double>{1, 1});
    CHECK(full({2}, -7, options).to_vector<double>() == std::vector<double>{-7, -7});
    CHECK(arange(4, options).to_vector<double>() == std::vector<double>{0, 1, 2, 3});
    CHECK(arange(2, 9, 3, options).to_vector<double>() == std::vector<double>{2, 5, 8});
    CHECK(eye(2, options).to_vector<double>() == std::vector<double>{1, 0, 0, 1});
    const Tensor y = tensor({3, 4}, options);
    CHECK(ones_like(y).dtype() == dtype);
    CHECK(full_like(y, 5).to_vector<double>() == std::vector<double>{5, 5});
    CHECK(y.clone().to_vector<double>() == std::vector<double>{3, 4});
    CHECK(y[1].item() == 4);
    CHECK(y[1].item<std::int64_t>() == 4);
    std::ostringstream text;
    text << y;
    CHECK(text.str() == std::string(name(dtype)) + "[2] {3, 4}");
    Tensor sum = y.clone();
    sum.add_(y, 2);
    CHECK(sum.to_vector<double>() == std::vector<double>{9, 12});
  }
  CHECK(linspace(0, 1, 3, {.dtype = f16}).to_vector<float>() == std::vector<float>{0, 0.5f, 1});
  CHECK_THROWS_WITH(tensor({1}, {.dtype = i32}).requires_grad_(),
                    Catch::Contains("requires_grad_: expects a floating type, got i32"));
  CHECK_THROWS_WITH(rand({2}, {.dtype = f16}), Catch::Contains("f32 or f64, got f16"));
}

TEST_CASE("f16 passes gradients on") {
  Tensor x = tensor({1, 2, 3}).to(device()).requires_grad_();
  x.to(f16).to(f32).backward(tensor({1, 2, 0.1}).to(device()));
  CHECK(x.grad().to_vector<float>() == std::vector<float>{1, 2, static_cast<float>(Float16(0.1f))});
  Tensor half = tensor({1, 2}, {.dtype = f16, .device = device()}).requires_grad_();
  for (int i = 0; i < 2; ++i) half.to(f32).backward(tensor({0.5, 4}).to(device()));
  CHECK(half.grad().dtype() == f16);
  CHECK(half.grad().to_vector<float>() == std::vector<float>{1, 8});
}
