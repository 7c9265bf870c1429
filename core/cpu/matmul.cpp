#include <karyon/core/ops/matmul.h>
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
  const std::int64_t row_blocks = (m + block_rows - 1) / block_rows;
  const std::int64_t column_blocks = (n + block_columns - 1) / block_columns;
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

void matmul_cpu(bool transpose_a, bool transpose_b, bool accumulate, const Tensor& a, const Tensor& b,
                Tensor& y) {
  dispatch_floating(y.dtype(), "matmul",
                    [&]<class T>() { matmul_typed<T>(transpose_a, transpose_b, accumulate, a, b, y); });
}

}  // namespace

constinit Kernel<void(bool, bool, bool, const Tensor&, const Tensor&, Tensor&)> kernels::matmul{"matmul",
                                                                                                matmul_cpu};

}  // namespace karyon
