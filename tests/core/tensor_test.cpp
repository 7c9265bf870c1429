#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <sstream>

#include <karyon/core/autograd.h>
#include <karyon/core/backend.h>
#include <karyon/core/tensor.h>

using namespace karyon;
using Floats = std::vector<float>;
using Ints = std::vector<std::int64_t>;

TEST_CASE("tensor: factories give shape, type and values") {
  const Tensor x = tensor({1, 2, 3, 4, 5, 6}, {2, 3});
  CHECK(x.shape() == Shape{2, 3});
  CHECK(x.dtype() == f32);
  CHECK(x.size(-1) == 3);
  CHECK(x.numel() == 6);
  CHECK(x.to_vector<float>() == Floats{1, 2, 3, 4, 5, 6});
  CHECK(full({2}, 7, {.dtype = i64}).to_vector<std::int64_t>() == Ints{7, 7});
  CHECK(arange(3).to_vector<std::int64_t>() == Ints{0, 1, 2});
  CHECK(ones_like(zeros({2}, {.dtype = f64})).dtype() == f64);
  CHECK(zeros({}).numel() == 1);
  CHECK(zeros({3, 0}).numel() == 0);
  CHECK(zeros({3, 0}).to_vector<float>().empty());
  CHECK(tensor({2.5}).item() == 2.5f);
  CHECK(tensor({2.5}).item<int>() == 2);
}

TEST_CASE("tensor: copies of a handle and detach share memory, clone does not") {
  Tensor x = tensor({1, 2});
  const Tensor handle = x, cut = x.detach(), copy = x.clone();
  CHECK_FALSE(x.owns_storage_alone());
  CHECK(copy.owns_storage_alone());
  const std::uint64_t version = x.version();
  x.fill_(5);
  CHECK(x.version() > version);
  CHECK(handle.to_vector<float>() == Floats{5, 5});
  CHECK(cut.to_vector<float>() == Floats{5, 5});
  CHECK(copy.to_vector<float>() == Floats{1, 2});
}

TEST_CASE("tensor: reshape shares memory, infers one size and passes gradients") {
  Tensor x = tensor({1, 2, 3, 4, 5, 6});
  CHECK(x.reshape({2, -1}).shape() == Shape{2, 3});
  CHECK(x.reshape({-1, 1, 6}).shape() == Shape{1, 1, 6});
  CHECK(x.reshape({3, 2}).data_ptr() == x.data_ptr());
  CHECK_THROWS_WITH(x.reshape({4, -1}), Catch::Contains("[6]"));
  CHECK_THROWS_AS(x.reshape({-1, -1}), Error);
  CHECK_THROWS_AS(x.reshape({7}), Error);
  x.requires_grad_();
  x.reshape({2, 3}).backward(tensor({1, 2, 3, 4, 5, 6}, {2, 3}));
  CHECK(x.grad().to_vector<float>() == Floats{1, 2, 3, 4, 5, 6});
}

TEST_CASE("tensor: a view is a window on the same memory, and stays inside") {
  Tensor x = arange(10);
  Tensor middle = view(x, {2, 3}, 2);
  CHECK(middle.to_vector<std::int64_t>() == Ints{2, 3, 4, 5, 6, 7});
  middle.fill_(0);
  CHECK(x.to_vector<std::int64_t>() == Ints{0, 1, 0, 0, 0, 0, 0, 0, 8, 9});
  CHECK_THROWS_AS(view(x, {3}, 8), Error);
  CHECK_THROWS_AS(view(x, {3}, -1), Error);
}

TEST_CASE("tensor: every type converts to every other") {
  for (const DType from : {f32, f64, bf16, i64, u8, boolean})
    for (const DType to : {f32, f64, bf16, i64, u8, boolean}) {
      INFO(from << " to " << to);
      const Tensor y = tensor({0, 1, 1}).to(from).to(to);
      CHECK(y.dtype() == to);
      CHECK(y.to_vector<double>() == std::vector<double>{0, 1, 1});
    }
  CHECK(tensor({0.5, -2, 0}).to(boolean).to_vector<bool>() == std::vector<bool>{true, true, false});
  const Tensor x = tensor({1});
  CHECK(x.to(f32).data_ptr() == x.data_ptr());
}

TEST_CASE("tensor: bf16 rounds to the nearest, ties to even") {
  auto rounded = [](float x) { return static_cast<float>(BFloat16(x)); };
  CHECK(rounded(1 + 0x1p-7f) == 1 + 0x1p-7f);
  CHECK(rounded(1 + 0x1p-8f) == 1);                       // a tie, down to even
  CHECK(rounded(1 + 3 * 0x1p-8f) == 1 + 2 * 0x1p-7f);     // a tie, up to even
  CHECK(rounded(1 + 0x1p-8f + 0x1p-20f) == 1 + 0x1p-7f);  // just above a tie
  CHECK(rounded(-1 - 0x1p-8f - 0x1p-20f) == -1 - 0x1p-7f);
  CHECK(rounded(3.4e38f) == INFINITY);
  CHECK(rounded(-INFINITY) == -INFINITY);
  CHECK(std::isnan(rounded(NAN)));
  CHECK(std::isnan(rounded(std::bit_cast<float>(0x7f800001u))));  // a NaN whose fraction would be cut off
  CHECK(std::signbit(rounded(-0.0f)));
  CHECK(tensor({1 + 0x1p-8}).to(bf16).item() == 1);
}

TEST_CASE("tensor: conversion between floating types is differentiable") {
  Tensor x = tensor({1, 2}).requires_grad_();
  x.to(f64).backward(tensor({3, 4}, {.dtype = f64}));
  CHECK(x.grad().dtype() == f32);
  CHECK(x.grad().to_vector<float>() == Floats{3, 4});
  CHECK_FALSE(x.to(i64).requires_grad());
}

TEST_CASE("tensor: in-place arithmetic") {
  Tensor x = tensor({1, 2});
  x.add_(tensor({10, 20}), 0.5).mul_(2);
  CHECK(x.to_vector<float>() == Floats{12, 24});
  x.copy_(tensor({3, 4}, {.dtype = i64}));
  CHECK(x.to_vector<float>() == Floats{3, 4});
  CHECK_THROWS_WITH(x.copy_(tensor({1})), Catch::Contains("copy_"));
  CHECK_THROWS_AS(x.add_(tensor({1, 2}, {.dtype = f64})), Error);
  CHECK(x.zero_().to_vector<float>() == Floats{0, 0});
}

TEST_CASE("tensor: misuse is an Error that says what came") {
  CHECK_THROWS_WITH(tensor({1, 2}).item(), Catch::Contains("[2]"));
  CHECK_THROWS_WITH(tensor({1}).data<double>(), Catch::Contains("f64") && Catch::Contains("f32"));
  CHECK_THROWS_AS(tensor({1, 2}, Shape{3}), Error);
  CHECK_THROWS_AS(empty({-1}), Error);
  CHECK_THROWS_AS(empty({1 << 30, 1 << 30, 1 << 30}), Error);
  CHECK_THROWS_AS(tensor({1}).size(1), Error);
  CHECK_THROWS_AS(Tensor().numel(), Error);
  CHECK_THROWS_AS(Shape({1, 1, 1, 1, 1, 1, 1, 1, 1}), Error);
  CHECK_THROWS_AS(tensor({1}).set_grad(tensor({1, 2})), Error);
  CHECK_THROWS_AS(arange(-1), Error);
}

TEST_CASE("tensor: shapes broadcast from the right") {
  CHECK(broadcast_shapes({2, 1, 3}, {4, 1}, "t") == Shape{2, 4, 3});
  CHECK(broadcast_shapes({}, {4}, "t") == Shape{4});
  CHECK(broadcast_shapes({0}, {1}, "t") == Shape{0});
  CHECK_THROWS_WITH(broadcast_shapes({2}, {3}, "add"), Catch::StartsWith("add"));
}

TEST_CASE("tensor: printing shows type, shape and the first values") {
  std::ostringstream os;
  os << arange(10) << ' ' << tensor({1.5}) << ' ' << Tensor();
  CHECK(os.str() == "i64[10] {0, 1, 2, 3, 4, 5, 6, 7, ...} f32[1] {1.5} undefined tensor");
}

TEST_CASE("tensor: a free block serves what is smaller by up to a third, and no less", "[cache]") {
  backend(DeviceType::cpu).empty_cache();
  { const Tensor block = empty({3 << 20}); }
  const std::size_t reserved = memory_stats().reserved, current = memory_stats().current;
  {
    const Tensor smaller = empty({9 << 18});  // three quarters of it
    CHECK(memory_stats().reserved == reserved);
    CHECK(memory_stats().current - current == (9 << 18) * sizeof(float));
  }
  CHECK(memory_stats().current == current);
  const Tensor half = empty({3 << 19});
  CHECK(memory_stats().reserved > reserved);
}

TEST_CASE("tensor: the allocator counts what is in use and reuses what is not", "[cache]") {
  const MemoryStats before = memory_stats();
  reset_peak_memory_stats();
  const void* first = nullptr;
  {
    const Tensor x = empty({1000}), y = empty({1 << 20});
    first = y.data_ptr();
    CHECK(reinterpret_cast<std::uintptr_t>(x.data_ptr()) % 64 == 0);
    CHECK(memory_stats().current >= before.current + 4000 + (4 << 20));
  }
  CHECK(memory_stats().current == before.current);
  CHECK(memory_stats().peak >= before.current + 4000 + (4 << 20));
  CHECK(memory_stats().reserved >= memory_stats().current);
  CHECK(empty({1 << 20}).data_ptr() == first);
  backend(DeviceType::cpu).empty_cache();
  CHECK(memory_stats().reserved == memory_stats().current);
}

TEST_CASE("tensor: with KARYON_CPU_CACHE=off blocks have their exact sizes and are not kept",
          "[.][no_cache]") {
  const MemoryStats before = memory_stats();
  {
    const Tensor x = empty({1001}), nothing = empty({0});
    CHECK(reinterpret_cast<std::uintptr_t>(x.data_ptr()) % 64 == 0);
    CHECK(memory_stats().current == before.current + 4004 + 1);
  }
  CHECK(memory_stats().current == before.current);
  CHECK(memory_stats().reserved == before.current);
}

TEST_CASE("tensor: sizes that overflow or are negative are refused") {
  const std::int64_t half = std::int64_t{1} << 32;
  CHECK_THROWS_WITH(zeros({0}).reshape({half, half}), Catch::Contains("too large"));
  CHECK_THROWS_WITH(view(zeros({4}), {half, half}), Catch::Contains("too large"));
  CHECK_THROWS_WITH(view(zeros({4}), {-1, 2}), Catch::Contains("negative size"));
  CHECK_THROWS_WITH(empty({half, half, 1}), Catch::Contains("too large"));
  // Where there are no elements, too: parts of these shapes have sizes.
  CHECK_THROWS_WITH(zeros({0}).reshape({0, half, half}), Catch::Contains("too large"));
  CHECK_THROWS_WITH(zeros({half, half, 0}), Catch::Contains("[4294967296, 4294967296, 0] is too large"));
  CHECK_THROWS_WITH(Shape({half * (half / 4), 4, 0}).numel(), Catch::Contains("too large"));
  CHECK(Shape({half, 0, half / 4}).numel() == 0);
  CHECK_THROWS_WITH(zeros({0}).reshape({-1, 0}), Catch::Contains("do not fill"));
  CHECK(zeros({6}).reshape({-1, 2}).shape() == Shape{3, 2});
}

TEST_CASE("tensor: in place, a source that overlaps or wants a gradient is refused") {
  Tensor x = arange(10, {.dtype = f32});
  CHECK_THROWS_WITH(view(x, {9}, 1).copy_(view(x, {9})), Catch::Contains("copy_: source and target overlap"));
  CHECK_THROWS_WITH(view(x, {9}, 1).add_(view(x, {9})), Catch::Contains("add_: source and target overlap"));
  view(x, {5}).copy_(view(x, {5}, 5));
  CHECK(x.to_vector<float>() == Floats{5, 6, 7, 8, 9, 5, 6, 7, 8, 9});
  x.add_(x);
  CHECK(x.to_vector<float>()[4] == 18);

  Tensor w = ones({2}).requires_grad_(), sum = zeros({2});
  CHECK_THROWS_WITH(sum.add_(w), Catch::Contains("add_: the source requires a gradient"));
  CHECK_THROWS_WITH(sum.copy_(w), Catch::Contains("copy_: the source requires a gradient"));
  CHECK_THROWS_WITH(sum.add_(Tensor()), Catch::Contains("add_: the source is undefined"));
  const NoGradGuard no_grad;
  sum.add_(w);
  CHECK(sum.to_vector<float>() == Floats{1, 1});
}

TEST_CASE("tensor: floats beyond the range of whole numbers convert to something defined") {
  const Tensor odd = tensor({NAN, INFINITY, 1e30, -1e30, 300, -1}, {.dtype = f64});
  const auto least = std::numeric_limits<std::int64_t>::min();
  for (const DType from : {f32, f64})
    CHECK(odd.to(from).to(i64).to_vector<std::int64_t>() == Ints{least, least, least, least, 300, -1});
  CHECK(odd.to(u8).to_vector<std::int64_t>() == Ints{0, 0, 0, 0, 44, 255});
  CHECK(full({1}, 1e30, {.dtype = i64}).item<std::int64_t>() == least);
}
