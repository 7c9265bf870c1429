// Memory, copies and the table of kernels of the CUDA backend, through core's own interface.
#include <algorithm>
#include <catch2/catch.hpp>
#include <filesystem>
#include <fstream>
#include <regex>
#include <sstream>

#include <karyon/core/backend.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>

#include "test_device.h"

using namespace karyon;
using Catch::Contains;
using Floats = std::vector<float>;

namespace {

const Device cuda = Device::cuda();

// Core's kernels as it defines them, kernels::relu{"relu", ...}: what each is called in the program, and its
// name.
std::vector<std::pair<std::string, std::string>> kernels_of_core() {
  std::vector<std::pair<std::string, std::string>> kernels;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(std::string(KARYON_SOURCE) + "/core/cpu")) {
    if (entry.path().extension() != ".cpp") continue;
    std::ifstream file(entry.path());
    std::ostringstream text;
    text << file.rdbuf();
    const std::string source = text.str();
    const std::regex pattern("kernels::(\\w+)\\{\\s*\"(\\w+)\"");
    for (std::sregex_iterator it(source.begin(), source.end(), pattern), end; it != end; ++it)
      kernels.emplace_back((*it)[1], (*it)[2]);
  }
  return kernels;
}

}  // namespace

TEST_CASE("every operation of the core has a kernel, by a name of its own") {
  const auto kernels = kernels_of_core();
  CHECK(kernels.size() > 50);
  for (const auto& [variable, name] : kernels) {
    INFO(variable);
    CHECK(name == variable);
    const bool of_lazy_results = name == "add_max_pool2d_backward";  // the CPU's backend alone has those
    CHECK((find_cuda_kernel(name.c_str()) != nullptr) != of_lazy_results);
  }
  CHECK(find_cuda_kernel("no such kernel") == nullptr);
}

TEST_CASE("tensors go to the device and come back, whole and in part") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const Tensor x = gt(arange(101, {.dtype = f32}), 40.0).to(dtype);
    const Tensor there = x.to(cuda);
    CHECK(there.device() == cuda);
    CHECK(there.to(Device::cpu()).to_vector<double>() == x.to_vector<double>());
    CHECK(narrow(there, 0, 39, 5).to_vector<double>() == std::vector<double>{0, 0, 1, 1, 1});
    Tensor filled = zeros({7}, {.dtype = dtype, .device = cuda});
    filled.fill_(1);
    CHECK(filled.to_vector<double>() == std::vector<double>(7, 1.0));
    filled.zero_().copy_(narrow(x, 0, 38, 7));
    CHECK(filled.to_vector<double>() == std::vector<double>{0, 0, 0, 1, 1, 1, 1});
  }
  CHECK(empty({0, 3}, {.device = cuda}).to_vector<float>().empty());
  CHECK(tensor({2.5}, {.device = cuda}).item() == 2.5f);
}

TEST_CASE("every type converts to every other as on the CPU") {
  const Tensor values = tensor({0, 1, 2, 3.75, 100, 200, 255, 0.3, 1.00390625, 1.01171875});
  for (const DType from : {f32, f64, bf16, i64, u8, boolean, f16, i32})
    for (const DType to : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
      INFO(from << " to " << to);
      const Tensor x = values.to(from);
      CHECK(x.to(cuda).to(to).to_vector<double>() == x.to(to).to_vector<double>());
    }
  const Tensor large = tensor({300, -1.5, 70000.75, -3e9});
  for (const DType to : {i64, u8, i32})
    CHECK(large.to(cuda).to(to).to_vector<double>() == large.to(to).to_vector<double>());
  const Tensor odd = tensor({NAN, INFINITY, -INFINITY, 3.4e38});
  const auto here = odd.to(bf16).to_vector<float>(), there = odd.to(cuda).to(bf16).to_vector<float>();
  CHECK(std::isnan(there[0]));
  CHECK(std::equal(here.begin() + 1, here.end(), there.begin() + 1));
}

TEST_CASE("arithmetic in place works on every type it works on on the CPU") {
  for (const DType dtype : {f32, f64, bf16, i64, u8, f16, i32}) {
    INFO(dtype);
    Tensor x = tensor({1, 2, 3, 4, 5}, {.dtype = dtype}), y = tensor({7, 6, 5, 4, 3}, {.dtype = dtype});
    Tensor there = y.to(cuda).clone();
    y.add_(x, 2);
    there.add_(x.to(cuda), 2);
    CHECK(there.to_vector<double>() == y.to_vector<double>());
  }
  Tensor x = ones({9}, {.device = cuda});
  x.mul_(3);
  CHECK(x.to_vector<float>() == Floats(9, 3.0f));
}

TEST_CASE(
    "comparisons, choices and arithmetic of whole numbers are the CPU's, broadcast and off their alignment") {
  Generator generator(3);
  const Tensor values = randn({65}, generator) * 4.0;
  for (const DType dtype : {f32, f64, bf16, i64, u8, boolean, f16, i32}) {
    INFO(dtype);
    const Tensor x = narrow(abs(values).to(dtype), 0, 1, 64).reshape({4, 16});
    const Tensor row = narrow(x, 0, 2, 1), column = narrow(x, 1, 3, 1);
    const Tensor condition = gt(values, 0.0);
    for (const Tensor& other : {row, column, x, narrow(x.reshape({64}), 0, 5, 1).reshape({})}) {
      const Tensor a = x.to(cuda), b = other.to(cuda);
      CHECK(eq(a, b).to_vector<bool>() == eq(x, other).to_vector<bool>());
      CHECK(ne(a, b).to_vector<bool>() == ne(x, other).to_vector<bool>());
      CHECK(lt(a, b).to_vector<bool>() == lt(x, other).to_vector<bool>());
      CHECK(le(a, b).to_vector<bool>() == le(x, other).to_vector<bool>());
      CHECK(gt(a, b).to_vector<bool>() == gt(x, other).to_vector<bool>());
      CHECK(ge(a, b).to_vector<bool>() == ge(x, other).to_vector<bool>());
      const Tensor c = narrow(condition, 0, 1, 64).reshape({4, 16});
      CHECK(where(c.to(cuda), a, b).to_vector<double>() == where(c, x, other).to_vector<double>());
      if (dtype == i64) {
        CHECK((a + b).to_vector<std::int64_t>() == (x + other).to_vector<std::int64_t>());
        CHECK((a - b).to_vector<std::int64_t>() == (x - other).to_vector<std::int64_t>());
        CHECK((a * b).to_vector<std::int64_t>() == (x * other).to_vector<std::int64_t>());
        CHECK((a + 3.0).to_vector<std::int64_t>() == (x + 3.0).to_vector<std::int64_t>());
      }
    }
  }
  // A view that starts within a vector.
  const Tensor x = narrow(values.to(cuda), 0, 3, 50), y = narrow(values, 0, 3, 50);
  CHECK((x * x).to_vector<float>() == (y * y).to_vector<float>());
  CHECK(relu(x).to_vector<float>() == relu(y).to_vector<float>());
}

TEST_CASE("memory is counted, kept and used again") {
  backend(cuda.type).empty_cache();
  const MemoryStats before = memory_stats(cuda);
  CHECK(before.reserved == before.current);
  const void* first = nullptr;
  {
    const Tensor x = empty({1000}, {.device = cuda});
    first = x.data_ptr();
    CHECK(reinterpret_cast<std::uintptr_t>(first) % 256 == 0);
    CHECK(memory_stats(cuda).current >= before.current + 4000);
    CHECK(memory_stats(cuda).current < before.current + 4000 + 1024);
  }
  CHECK(memory_stats(cuda).current == before.current);
  CHECK(memory_stats(cuda).reserved > before.reserved);
  CHECK(empty({1000}, {.device = cuda}).data_ptr() == first);
  reset_peak_memory_stats(cuda);
  { const Tensor a = empty({1 << 20}, {.device = cuda}), b = empty({1 << 20}, {.device = cuda}); }
  CHECK(memory_stats(cuda).peak >= before.current + (std::size_t{8} << 20));
  backend(cuda.type).empty_cache();
  CHECK(memory_stats(cuda).reserved == memory_stats(cuda).current);
}

TEST_CASE("what the device cannot do is an Error that says so") {
  const Tensor x = ones({3}, {.device = cuda});
  CHECK_THROWS_WITH(add(x, ones({3})), Contains("cuda:0 and cpu:0") || Contains("cpu:0 and cuda:0"));
  CHECK_THROWS_WITH(exp(x.to(f64)), Contains("expects f32 on cuda, got f64"));
  CHECK_THROWS_WITH(empty({1}, {.device = Device::cuda(1)}), Contains("index 0, got 1"));
}
