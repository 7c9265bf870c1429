// The cuDNN of the emulator's tests against the CPU's convolutions, and with it the graphs that we build:
// planned by the real library, computed on host memory. Needs no emulator: the one function of the CUDA
// runtime that the shim calls is defined here.
#include <cuda_runtime_api.h>

#include <catch2/catch.hpp>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <vector>

#include <karyon/core/kernels/conv.h>
#include <karyon/core/random.h>
#include <karyon/core/tensor.h>
#include <karyon/cuda/conv/conv_plan.h>

using namespace karyon;
using namespace karyon::cuda;
using Catch::Matchers::Contains;

namespace {

std::vector<std::function<void()>>& stream_queue() {
  static std::vector<std::function<void()>> queue;
  return queue;
}

void finish_stream() {
  for (const auto& work : stream_queue()) work();
  stream_queue().clear();
}

}  // namespace

#pragma GCC visibility push(default)
extern "C" {
cudaError_t cudaLaunchHostFunc(cudaStream_t, cudaHostFn_t function, void* data) {
  stream_queue().push_back([=] { function(data); });
  return cudaSuccess;
}
cudaError_t cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind, cudaStream_t) {
  stream_queue().push_back([=] { std::memcpy(to, from, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMemsetAsync(void* to, int value, size_t bytes, cudaStream_t) {
  stream_queue().push_back([=] { std::memset(to, value, bytes); });
  return cudaSuccess;
}
cudaError_t cudaMallocHost(void** memory, size_t bytes) {
  *memory = std::malloc(bytes);
  return cudaSuccess;
}
}
#pragma GCC visibility pop

namespace {

// Bytes at an aligned place, as device memory is.
class Buffer {
 public:
  explicit Buffer(std::size_t bytes) : memory_(bytes + 64) {
    void* data = memory_.data();
    std::size_t room = memory_.size();
    data_ = std::align(64, bytes, data, room);
  }
  void* data() { return data_; }

 private:
  std::vector<unsigned char> memory_;
  void* data_;
};

// The values of x in f32 or bf16; x becomes what they are.
Buffer stored(Tensor& x, DType dtype) {
  Buffer buffer(static_cast<std::size_t>(x.numel()) * element_size(dtype));
  double* values = x.data<double>();
  for (std::int64_t i = 0; i < x.numel(); ++i) {
    if (dtype == f32) {
      const auto v = static_cast<float>(values[i]);
      static_cast<float*>(buffer.data())[i] = v;
      values[i] = v;
    } else {
      const BFloat16 v(static_cast<float>(values[i]));
      static_cast<BFloat16*>(buffer.data())[i] = v;
      values[i] = static_cast<double>(static_cast<float>(v));
    }
  }
  return buffer;
}

Tensor random(const Shape& shape, Generator& generator) { return randn(shape, generator).to(f64); }

const cudnn::Target& device() {
  static const auto* const handle = new cudnn::Handle;  // as long as its plans
  static const cudnn::Target target(*handle);
  return target;
}

struct Run {
  ConvProblem problem;
  Buffer x, weight, y, shift;
  ConvPlans found;

  void execute(void* workspace) {
    const std::vector<std::int64_t> uids{1, 2, 3, 4};
    const std::vector<void*> pointers{x.data(), weight.data(), y.data(), shift.data()};
    const std::size_t count = problem.shift ? 4 : 3;
    cudnn::Handle handle;
    cudnn::execute(handle, found.plans.at(0), std::span(uids).first(count), std::span(pointers).first(count),
                   workspace);
  }
};

void check_conv(const ConvProblem& problem) {
  const ConvGeometry& g = problem.geometry;
  Generator generator(3);
  Tensor x = random({g.n, g.h, g.w, g.c}, generator), y = random({g.n, g.h_out, g.w_out, g.k}, generator),
         weight = random({g.k, g.kernel.h, g.kernel.w, g.c / g.groups}, generator),
         shift = random({g.k}, generator);
  Run run{problem,
          stored(x, problem.dtype),
          stored(weight, problem.dtype),
          stored(y, problem.dtype),
          stored(shift, problem.dtype),
          find_conv_plans(problem, device())};
  INFO(describe(problem) << ": " << run.found.explain());
  REQUIRE(!run.found.plans.empty());
  Buffer workspace(run.found.plans[0].workspace);
  run.execute(workspace.data());

  Buffer* result = &run.y;
  Tensor expected;
  switch (problem.direction) {
    case ConvDirection::forward:
      expected = empty_like(y);
      kernels::conv2d_affine(g, {}, x, weight, {}, problem.shift ? shift : Tensor(),
                             {problem.relu ? ActivationKind::relu : ActivationKind::none}, expected);
      break;
    case ConvDirection::backward_data:
      expected = empty_like(x);
      kernels::conv2d_backward_data(g, {}, y, weight, {}, expected);
      result = &run.x;
      break;
    case ConvDirection::backward_weight:
      expected = empty_like(weight);
      kernels::conv2d_backward_weight(g, x, y, expected);
      result = &run.weight;
      break;
  }
  const auto at = [&](std::int64_t i) {
    return problem.dtype == f32
               ? static_cast<double>(static_cast<const float*>(result->data())[i])
               : static_cast<double>(static_cast<float>(static_cast<const BFloat16*>(result->data())[i]));
  };
  finish_stream();
  double largest = 0, off = 0;
  for (std::int64_t i = 0; i < expected.numel(); ++i) {
    largest = std::max(largest, std::abs(expected.data<double>()[i]));
    off = std::max(off, std::abs(expected.data<double>()[i] - at(i)));
  }
  CHECK(largest > 0);
  CHECK(off <= largest * (problem.dtype == f32 ? 1e-6 : 4e-3));
}

const ConvGeometry geometries[] = {
    {.n = 2, .h = 6, .w = 5, .c = 8, .h_out = 6, .w_out = 5, .k = 16, .kernel = 3, .padding = 1},
    {.n = 1, .h = 5, .w = 4, .c = 3, .h_out = 5, .w_out = 4, .k = 7},
    {.n = 2, .h = 8, .w = 6, .c = 8, .h_out = 4, .w_out = 3, .k = 16, .kernel = 2, .stride = 2},
    {.n = 1,
     .h = 9,
     .w = 7,
     .c = 4,
     .h_out = 3,
     .w_out = 5,
     .k = 8,
     .kernel = {4, 3},
     .stride = {3, 1},
     .padding = {1, 0}},
    {.n = 1,
     .h = 8,
     .w = 9,
     .c = 8,
     .h_out = 4,
     .w_out = 7,
     .k = 8,
     .kernel = 3,
     .padding = {0, 1},
     .dilation = 2},
    {.n = 1,
     .h = 6,
     .w = 6,
     .c = 16,
     .h_out = 6,
     .w_out = 6,
     .k = 32,
     .kernel = 3,
     .padding = 1,
     .groups = 2},
};

}  // namespace

TEST_CASE("The graphs compute convolutions in all directions") {
  for (const DType dtype : {f32, bf16})
    for (const ConvGeometry& geometry : geometries) {
      if (dtype == bf16 && geometry.c % 8 != 0) continue;
      for (const ConvDirection direction :
           {ConvDirection::forward, ConvDirection::backward_data, ConvDirection::backward_weight})
        check_conv({.direction = direction, .geometry = geometry, .dtype = dtype});
    }
}

TEST_CASE("The graphs add a shift and take the maximum") {
  for (const DType dtype : {f32, bf16})
    for (const bool relu : {false, true})
      check_conv({.geometry = geometries[0], .dtype = dtype, .shift = true, .relu = relu});
}

TEST_CASE("Work is done in the order of the stream, not before") {
  Run run{{.geometry = geometries[0]},
          Buffer(2 * 6 * 5 * 8 * 4),
          Buffer(16 * 9 * 8 * 4),
          Buffer(2 * 6 * 5 * 16 * 4),
          Buffer(64),
          find_conv_plans({.geometry = geometries[0]}, device())};
  std::memset(run.y.data(), 0x7f, 64);
  Buffer workspace(run.found.plans.at(0).workspace);
  run.execute(workspace.data());
  CHECK(*static_cast<const std::uint32_t*>(run.y.data()) == 0x7f7f7f7fu);
  finish_stream();
  CHECK(*static_cast<const std::uint32_t*>(run.y.data()) == 0u);
}

TEST_CASE("What is wrong with a call is said") {
  Run run{{.geometry = geometries[0]},
          Buffer(2 * 6 * 5 * 8 * 4),
          Buffer(16 * 9 * 8 * 4),
          Buffer(2 * 6 * 5 * 16 * 4),
          Buffer(64),
          find_conv_plans({.geometry = geometries[0]}, device())};
  const cudnn::Plan& plan = run.found.plans.at(0);
  Buffer workspace(plan.workspace);
  const cudnn::Handle handle;
  const std::int64_t uids[] = {1, 2, 3};
  void* two[] = {run.x.data(), run.weight.data()};
  CHECK_THROWS_WITH(cudnn::execute(handle, plan, std::span(uids).first(2), two, workspace.data()),
                    Contains("no pointer for tensor 3"));
  void* crooked[] = {static_cast<char*>(run.x.data()) + 4, run.weight.data(), run.y.data()};
  CHECK_THROWS_WITH(cudnn::execute(handle, plan, uids, crooked, workspace.data()),
                    Contains("tensor 1 is not aligned to 16"));
  const ConvPlans large = find_conv_plans(
      {.geometry =
           {.n = 4, .h = 64, .w = 64, .c = 32, .h_out = 64, .w_out = 64, .k = 32, .kernel = 3, .padding = 1}},
      device());
  REQUIRE(large.plans.at(0).workspace > 0);
  void* pointers[] = {run.x.data(), run.weight.data(), run.y.data()};
  CHECK_THROWS_WITH(cudnn::execute(handle, large.plans[0], uids, pointers, nullptr),
                    Contains("bytes of workspace, got none"));
  CHECK(stream_queue().empty());
}
