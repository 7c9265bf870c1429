#include <algorithm>

#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/widened.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/parallel.h>
#include <Eigen/Core>

namespace karyon {
namespace {

// Products are cut into blocks of these many rows and columns, whatever the number of threads.
constexpr std::int64_t block_rows = 128, block_columns = 512;

template <class T>
using Matrix = Eigen::Map<const Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>>;
template <class T>
using Block =
    Eigen::Map<Eigen::Matrix<T, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>, 0, Eigen::OuterStride<>>;

template <class A, class B, class C>
void multiply(bool accumulate, const A& a, const B& b, C& c) {
  if (accumulate) {
    c.noalias() += a * b;
  } else {
    c.noalias() = a * b;
  }
}

// Which of x's matrices goes into matrix i of a batch.
std::int64_t matrix_index(const Shape& x, const Shape& batch, std::int64_t i) {
  std::int64_t index = 0, stride = 1;
  for (int d = batch.dims() - 3; d >= 0; --d) {
    const int e = d - (batch.dims() - x.dims());
    if (e >= 0 && x[e] != 1) {
      index += i % batch[d] * stride;
      stride *= x[e];
    }
    i /= batch[d];
  }
  return index;
}

template <class T>
void matmul_typed(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                  Tensor& y) {
  const std::int64_t m = y.size(-2), n = y.size(-1), k = a.size(transpose_a ? -2 : -1);
  if (y.numel() == 0) return;
  const std::int64_t row_blocks = cpu::ceil_div(m, block_rows);
  const std::int64_t column_blocks = cpu::ceil_div(n, block_columns);
  const std::int64_t blocks = row_blocks * column_blocks, batches = y.numel() / (m * n);
  const std::int64_t cost =
      std::max<std::int64_t>(std::min(m, block_rows) * std::min(n, block_columns) * k, 1);
  const T *a_data = a.data<T>(), *b_data = b.data<T>();
  T* y_data = y.data<T>();

  parallel_for(
      batches * blocks, std::max<std::int64_t>(100000 / cost, 1), [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t u = begin; u < end; ++u) {
          const std::int64_t i = u / blocks, row = u % blocks / column_blocks * block_rows;
          const std::int64_t column = u % column_blocks * block_columns;
          const std::int64_t rows = std::min(block_rows, m - row),
                             columns = std::min(block_columns, n - column);
          const Matrix<T> am(a_data + matrix_index(a.shape(), y.shape(), i) * m * k, transpose_a ? k : m,
                             transpose_a ? m : k);
          const Matrix<T> bm(b_data + matrix_index(b.shape(), y.shape(), i) * k * n, transpose_b ? n : k,
                             transpose_b ? k : n);
          Block<T> c(y_data + i * m * n + row * n + column, rows, columns, Eigen::OuterStride<>(n));
          if (transpose_a && transpose_b) {
            multiply(accumulate, am.middleCols(row, rows).transpose(),
                     bm.middleRows(column, columns).transpose(), c);
          } else if (transpose_a) {
            multiply(accumulate, am.middleCols(row, rows).transpose(), bm.middleCols(column, columns), c);
          } else if (transpose_b) {
            multiply(accumulate, am.middleRows(row, rows), bm.middleRows(column, columns).transpose(), c);
          } else {
            multiply(accumulate, am.middleRows(row, rows), bm.middleCols(column, columns), c);
          }
        }
      });
}

// A product of matrices is a 1 x 1 convolution whose pixels are the rows, so it uses the kernels of
// convolution. a b^T is conv2d, a b is its gradient in the input, and a^T b is the one in the filters.
constexpr std::int64_t row_pixels = 128;           // width of the images that hold the rows
constexpr std::int64_t worthwhile = 48 * 48 * 48;  // multiplications; below, packing costs too much

ConvGeometry pointwise(std::int64_t n, std::int64_t w, std::int64_t c, std::int64_t k) {
  return {.n = n, .h = 1, .w = w, .c = c, .h_out = 1, .w_out = w, .k = k};
}

// y [m, n] = a b or a b^T.
void multiply_rows(bool transpose_b, const Tensor& a, const Tensor& b, Tensor& y) {
  const std::int64_t m = y.size(0), n = y.size(1), k = a.size(1), whole = m / row_pixels;
  // Whole rows of pixels, then the rest as one short row.
  const auto part = [&](std::int64_t first, std::int64_t images, std::int64_t w) {
    if (images * w == 0) return;
    const Tensor from = view(a, {images, 1, w, k}, first * k);
    Tensor to = view(y, {images, 1, w, n}, first * n);
    if (transpose_b) {
      kernels::conv2d(pointwise(images, w, k, n), {}, from, b, {}, to);
    } else {
      kernels::conv2d_backward_data(pointwise(images, w, n, k), {}, from, b, {}, to);
    }
  };
  part(0, whole, row_pixels);
  part(whole * row_pixels, 1, m - whole * row_pixels);
}

// The longest row that k pixels are a whole number of.
std::int64_t divisor(std::int64_t k) {
  std::int64_t w = std::min(k, row_pixels);
  while (k % w != 0) --w;
  return w;
}

// Whether the kernels of convolution took the product.
bool multiply_as_conv(bool transpose_a, bool transpose_b, const Tensor& a, const Tensor& b, Tensor& y) {
  const std::int64_t m = y.size(-2), n = y.size(-1), k = a.size(transpose_a ? -2 : -1);
  if (m * n * k < worthwhile || n < 16 || (transpose_a && (transpose_b || divisor(k) < 16))) return false;
  for (std::int64_t i = 0; i < y.numel() / (m * n); ++i) {
    const Tensor ai = view(a, {a.size(-2), a.size(-1)}, matrix_index(a.shape(), y.shape(), i) * m * k);
    const Tensor bi = view(b, {b.size(-2), b.size(-1)}, matrix_index(b.shape(), y.shape(), i) * k * n);
    Tensor yi = view(y, {m, n}, i * m * n);
    if (transpose_a) {
      kernels::conv2d_backward_weight(pointwise(k / divisor(k), divisor(k), n, m), bi, ai, yi);
    } else {
      multiply_rows(transpose_b, ai, bi, yi);
    }
  }
  return true;
}

void matmul_cpu(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                Tensor& y) {
  if (y.dtype() == f32) {
    Tensor product = accumulate ? empty_like(y) : y;
    if (multiply_as_conv(transpose_a, transpose_b, a, b, product)) {
      if (accumulate) y.add_(product);
      return;
    }
  }
  dispatch_floating(y.dtype(), "matmul",
                    [&]<class T>() { matmul_typed<T>(transpose_a, transpose_b, accumulate, a, b, y); });
}

// bf16 is multiplied and summed in f32.
void matmul_any(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                Tensor& y) {
  const bool add = accumulate && y.dtype() == bf16;
  Tensor product = add ? empty_like(y) : y;
  cpu::widened<matmul_cpu>(transpose_a, transpose_b, accumulate && !add, a, b, product);
  if (add) y.add_(product);
}

}  // namespace

constinit decltype(kernels::matmul) kernels::matmul{"matmul", matmul_any};

}  // namespace karyon
