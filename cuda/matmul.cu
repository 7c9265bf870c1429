// Batched matrix products: the same tiles as convolution (gemm.h), where a matrix is a row of images of one
// pixel.
#include <karyon/core/kernels/matmul.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/gemm/gemm.h>
#include <karyon/cuda/launch.cuh>

namespace karyon::cuda {
namespace {

// Offsets of a's matrices along y's batch dimensions, 0 where they are broadcast.
void set_strides(const Shape& a, const Shape& y, std::int64_t (&strides)[Product::max_dims]) {
  std::int64_t stride = a[a.dims() - 2] * a[a.dims() - 1];
  for (int d = y.dims() - 3; d >= 0; --d) {
    const int e = d - (y.dims() - a.dims());
    if (e < 0 || a[e] == 1) continue;
    strides[d] = stride;
    stride *= a[e];
  }
}

// [count, depth], depth contiguous, as images of one pixel.
Patches pixels(const void* data, std::int64_t depth, bool vector) {
  return {.data = data,
          .image = depth,
          .h = 1,
          .w = 1,
          .depth = Divisor(std::max<std::int64_t>(1, depth)),
          .vector = vector};
}
TapRows rows_by_k(const void* data, std::int64_t stride, bool vector) {
  return {.data = data, .stride = stride, .depth = Divisor((std::int64_t{1} << 31) - 1), .vector = vector};
}

void matmul(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
            Tensor& y) {
  check(y.dtype() == f32 || y.dtype() == bf16, "matmul: the cuda kernel expects f32 or bf16, got ",
        y.dtype());
  if (y.numel() == 0) return;
  const std::int64_t m = y.size(-2), n = y.size(-1), k = a.size(transpose_a ? -2 : -1),
                     batches = y.numel() / (m * n);
  const std::int64_t limit = (std::int64_t{1} << 31) - 1;
  check(std::max({m, n, k, batches}) <= limit, "matmul: a size of ", std::max({m, n, k, batches}),
        " is more than the cuda kernel takes");
  Product p{.m = static_cast<int>(m), .n = static_cast<int>(n), .k = static_cast<int>(k)};
  p.dims = y.dim() - 2;
  p.batches = static_cast<int>(batches);
  for (int d = 0; d < p.dims; ++d) p.size[d] = Divisor(y.size(d));
  set_strides(a.shape(), y.shape(), p.stride_a);
  set_strides(b.shape(), y.shape(), p.stride_b);
  p.stride_c = m * n;

  const auto whole = [](const Tensor& x) {
    return x.size(-1) % static_cast<std::int64_t>(16 / element_size(x.dtype())) == 0 &&
           aligned(16, x.data_ptr());
  };
  const Output out{.data = y.data_ptr(),
                   .accumulate = accumulate,
                   .vector = whole(y),
                   .contiguous = true,
                   .image_stride = n};
  const bool vector_a = whole(a), vector_b = whole(b);
  const Rows b_by_column{.data = b.data_ptr(), .stride = k, .vector = vector_b};
  const TapRows a_by_k = rows_by_k(a.data_ptr(), m, vector_a);
  const Patches a_by_row = pixels(a.data_ptr(), k, vector_a);
  if (transpose_a && transpose_b) {
    multiply(y.dtype(), p, a_by_k, b_by_column, out);
  } else if (transpose_a) {
    multiply(y.dtype(), p, a_by_k, pixels(b.data_ptr(), n, vector_b), out);
  } else if (transpose_b) {
    multiply(y.dtype(), p, a_by_row, b_by_column, out);
  } else {
    multiply(y.dtype(), p, a_by_row, rows_by_k(b.data_ptr(), n, vector_b), out);
  }
}

}  // namespace

void register_matmul_kernels(KernelTable& table) { table.add<decltype(kernels::matmul), matmul>("matmul"); }

}  // namespace karyon::cuda
