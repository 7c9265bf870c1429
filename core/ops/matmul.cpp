#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/kernels/elementwise.h>
#include <karyon/core/kernels/matmul.h>
#include <karyon/core/ops/conv.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/reduce.h>

namespace karyon {
namespace {

void check_dtypes(const char* op, const Tensor& a, const Tensor& b) {
  check_computed(op, a);
  check(a.dtype() == b.dtype(), op, ": expects one dtype, got ", a.dtype(), " and ", b.dtype(),
        mixed(a, b) && b.dtype() != f16 ? "; cast one of them, or both by AutocastGuard(bf16)" : "");
}

// The first `count` sizes, then two more.
Shape with_matrix(const Shape& leading, int count, std::int64_t rows, std::int64_t columns) {
  Shape shape(std::span(leading.begin(), static_cast<std::size_t>(count)));
  shape.push_back(rows);
  shape.push_back(columns);
  return shape;
}

// Whether y = x weight, [rows, in] and [in, out], goes to the convolutions, which keep the packed weight where
// later calls use it, too.
bool keeps_packed(const Tensor& x, std::int64_t rows, std::int64_t in, std::int64_t out) {
  constexpr double worthwhile = 48 * 48 * 48;  // multiplications
  return !grad_enabled() && (x.dtype() == f32 || x.dtype() == bf16) && x.device() == Device::cpu() &&
         std::min(in, out) >= 16 &&
         static_cast<double>(rows) * static_cast<double>(in) * static_cast<double>(out) >= worthwhile;
}

// x weight by the gradient of a 1 x 1 convolution.
Tensor product_with_weight(const Tensor& x, const Tensor& weight) {
  const std::int64_t rows = x.size(0), in = x.size(1), out = weight.size(1);
  Tensor y = empty({rows, out}, {.dtype = x.dtype()}), pixels = view(y, {rows, 1, 1, out});
  const ConvGeometry g{.n = rows, .h = 1, .w = 1, .c = out, .h_out = 1, .w_out = 1, .k = in};
  kernels::conv2d_backward_data(g, {.keep_filters = true}, view(x, {rows, 1, 1, in}),
                                view(weight, {in, 1, 1, out}), {}, pixels);
  return y;
}

// op(a) op(b); the batch dimensions are `batch`.
Tensor product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b, const Shape& batch) {
  Tensor y =
      empty(with_matrix(batch, batch.dims(), a.size(transpose_a ? -1 : -2), b.size(transpose_b ? -2 : -1)),
            {.dtype = a.dtype(), .device = a.device()});
  kernels::matmul(transpose_a, transpose_b, false, a, b, y);
  return y;
}

// The same for a gradient, which may be recorded. Both operands broadcast to `batch`.
Tensor gradient_product(const Tensor& a, bool transpose_a, const Tensor& b, bool transpose_b,
                        const Shape& batch) {
  if (!grad_enabled()) return product(a, transpose_a, b, transpose_b, batch);
  return matmul(transpose_a ? transpose(a, -1, -2) : a, transpose_b ? transpose(b, -1, -2) : b);
}

Shape batch_of(const Tensor& x) {
  return Shape(std::span(x.shape().begin(), static_cast<std::size_t>(x.dim() - 2)));
}

// [rows, columns], all leading dimensions as rows.
Shape flat(const Shape& shape) {
  std::int64_t rows = 1;
  for (int d = 0; d + 1 < shape.dims(); ++d) rows *= shape[d];
  return {rows, shape[shape.dims() - 1]};
}
Tensor as_matrix(const Tensor& x) { return x.reshape(flat(x.shape())); }

// y = x weight^T + bias, x [rows, in]. In bf16 as a convolution of 1 x 1 images, which adds the bias in f32
// before it rounds.
void multiply_add(const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const std::int64_t rows = x.size(0), in = x.size(1), out = weight.size(0);
  // A convolution adds the bias to its sums, and keeps the weights packed where later calls use them, too.
  const bool keeps = keeps_packed(x, rows, in, out);
  if ((y.dtype() == bf16 && bias.defined()) || keeps) {
    if (y.numel() == 0) return;
    if (in == 0) {  // not a convolution
      Tensor sums = empty(y.shape(), {.device = y.device()});
      kernels::broadcast(1, bias, sums);
      return kernels::convert(sums, y);
    }
    const ConvGeometry g{.n = rows, .h = 1, .w = 1, .c = in, .h_out = 1, .w_out = 1, .k = out};
    Tensor pixels = view(y, {rows, 1, 1, out});
    return kernels::conv2d(g, {.keep_filters = !grad_enabled()}, view(x, {rows, 1, 1, in}),
                           view(weight, {out, 1, 1, in}), bias, pixels);
  }
  if (bias.defined()) kernels::broadcast(1, bias, y);
  Tensor y_rows = view(y, {rows, out});
  kernels::matmul(false, true, bias.defined(), x, weight, y_rows);
}

// A vector is a row on the left and a column on the right, which the result does not have.
Tensor with_vector(const Tensor& a, const Tensor& b) {
  const bool row = a.dim() == 1, column = b.dim() == 1;
  const Tensor y = matmul(row ? a.reshape({1, a.size(0)}) : a, column ? b.reshape({b.size(0), 1}) : b);
  Shape shape;
  for (int d = 0; d < y.dim(); ++d)
    if (!(row && d == y.dim() - 2) && !(column && d == y.dim() - 1)) shape.push_back(y.size(d));
  return y.reshape(shape);
}

}  // namespace

Tensor matmul(const Tensor& left, const Tensor& right) {
  const Tensor a = autocast(left), b = right.dim() == 2 ? autocast_weight(right) : autocast(right);
  check_dtypes("matmul", a, b);
  check(a.dim() >= 1 && b.dim() >= 1, "matmul: expects at least one dimension each, got ", a.shape(), " and ",
        b.shape());
  if (a.dim() == 1 || b.dim() == 1) return with_vector(a, b);
  check(a.size(-1) == b.size(-2), "matmul: ", a.shape(), " has ", a.size(-1), " columns, ", b.shape(),
        " has ", b.size(-2), " rows");
  // One matrix on the right: all rows of a make one product, forward and backward.
  if (b.dim() == 2 && a.dim() > 2) {
    Shape shape = a.shape();
    shape[a.dim() - 1] = b.size(-1);
    return matmul(a.reshape(flat(a.shape())), b).reshape(shape);
  }
  if (a.dim() == 2 && b.dim() == 2 && keeps_packed(a, a.size(0), a.size(1), b.size(1)))
    return product_with_weight(a, b);
  const Shape batch = broadcast_shapes(batch_of(a), batch_of(b), "matmul");
  return record(
      "matmul", product(a, false, b, false, batch), {a, b}, twice_differentiable,
      [batch, a_shape = a.shape(), b_shape = b.shape(), a = SavedTensor(b.requires_grad() ? a : Tensor()),
       b = SavedTensor(a.requires_grad() ? b : Tensor())](const Tensor& dy) {
        Tensor da, db;
        const Tensor from_a = a.get(), from_b = b.get();
        if (from_b.defined()) da = sum_to(gradient_product(dy, false, from_b, true, batch), a_shape);
        if (from_a.defined()) db = sum_to(gradient_product(from_a, true, dy, false, batch), b_shape);
        return std::vector{da, db};
      });
}

Tensor linear(const Tensor& input, const Tensor& weights, const Tensor& any_bias) {
  const Tensor x = autocast(input), weight = autocast_weight(weights), bias = beside(x, any_bias);
  check_dtypes("linear", x, weight);
  check(x.dim() >= 1, "linear: expects x with at least one dimension, got ", x.shape());
  check(weight.dim() == 2 && weight.size(1) == x.size(-1), "linear: expects a weight of [out, ", x.size(-1),
        "] for x ", x.shape(), ", got ", weight.shape());
  if (bias.defined()) {
    const DType dtype = parameter_dtype(x.dtype());
    check(bias.shape() == Shape{weight.size(0)} && bias.dtype() == dtype, "linear: expects a bias of ", dtype,
          " [", weight.size(0), "]", dtype == x.dtype() ? "" : " beside bf16", ", got ", bias.dtype(), " ",
          bias.shape());
  }
  Shape shape = x.shape();
  shape[x.dim() - 1] = weight.size(0);
  Tensor y = empty(shape, {.dtype = x.dtype(), .device = x.device()});
  multiply_add(view(x, flat(x.shape())), weight, bias, y);
  return record("linear", y, {x, weight, bias}, twice_differentiable,
                [bias_grad = bias.defined() && bias.requires_grad(), x_shape = x.shape(),
                 x = SavedTensor(weight.requires_grad() ? x : Tensor()),
                 weight = SavedTensor(x.requires_grad() ? weight : Tensor())](const Tensor& dy) {
                  const Tensor rows = as_matrix(dy);
                  const Tensor from = x.get(), by = weight.get();
                  Tensor dx, dw, db;
                  if (by.defined()) dx = gradient_product(rows, false, by, false, {}).reshape(x_shape);
                  if (from.defined()) dw = gradient_product(rows, true, as_matrix(from), false, {});
                  if (bias_grad) db = sum(rows, {0});  // f32 for bf16
                  return std::vector{dx, dw, db};
                });
}

}  // namespace karyon
