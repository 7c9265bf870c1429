// Every tile of the matrix product with each order of a and b, in f32, TF32 and bf16, so that the emulator
// can count what each moves (GPUEMU_COUNTERS) and scripts/cuda_gates can judge it. Compares nothing:
// bf16_test does.
#include <catch2/catch.hpp>
#include <cstdlib>
#include <string>

#include <karyon/core/kernels/matmul.h>
#include <karyon/karyon.h>

using namespace karyon;

namespace {

const Device cuda = Device::cuda();

Tensor random(const Shape& shape, DType dtype) { return randn(shape).to(dtype).to(cuda); }

}  // namespace

// Whole chunks of 16 bytes only, so that what is left of bank conflicts is what docs/explanation/cuda.md
// explains. With KARYON_TF32=1 the products of f32 are those of TF32, and those of bf16 are left to the other
// run.
TEST_CASE("traffic of every tile of the matrix product, in whole chunks", "[.][products]") {
  struct Sizes {
    std::int64_t m, n, k;
    bool transpose_a, transpose_b;
  };
  const char* tf32 = std::getenv("KARYON_TF32");
  for (const DType dtype : {f32, bf16}) {
    if (dtype == bf16 && tf32 && std::string(tf32) == "1") continue;
    const std::int64_t two = dtype == f32 ? 32 : 64, many = dtype == f32 ? 12800 : 25600;  // slices of K
    for (const Sizes& s : std::initializer_list<Sizes>{{12800, 128, two, false, true},
                                                       {12800, 128, two, false, false},
                                                       {128, 128, many, true, false},
                                                       {64, 64, two, false, true},
                                                       {64, 64, two, false, false},
                                                       {64, 64, two, true, false},
                                                       {64, 64, two, true, true},
                                                       {8704, 32, two, false, true},
                                                       {8704, 32, two, false, false},
                                                       {32, 8704, two, true, false}}) {
      const Tensor a = random(s.transpose_a ? Shape{s.k, s.m} : Shape{s.m, s.k}, dtype);
      const Tensor b = random(s.transpose_b ? Shape{s.n, s.k} : Shape{s.k, s.n}, dtype);
      Tensor y = empty({s.m, s.n}, {.dtype = dtype, .device = cuda});
      kernels::matmul(s.transpose_a, s.transpose_b, false, a, b, y);
    }
    Tensor x = random({1, 16, 16, 32}, dtype).requires_grad_(),
           w = random({64, 3, 3, 32}, dtype).requires_grad_();
    const Tensor y = conv2d(x, w, random({64}, f32), {.padding = 1});
    y.backward(ones_like(y));
    conv_transpose2d(x, random({32, 2, 2, 16}, dtype), random({16}, f32), {.stride = 2});
  }
}
