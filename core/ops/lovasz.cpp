#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/lovasz.h>
#include <karyon/core/ops/reduce.h>

namespace karyon {
namespace {

// errors and truth [rows, n] -> [rows]. The weights are constant where no two errors are equal.
Tensor lovasz(const Tensor& errors, const Tensor& truth) {
  Tensor weights = empty_like(errors);
  kernels::lovasz_weights(errors, truth, weights);
  return sum(mul(relu(errors), weights), {1});
}

Tensor floating(const Tensor& any_input, const char* op) {
  Tensor input = widen(any_input);
  check(input.dtype() == f32 || input.dtype() == f64, op, ": expects f32, f64 or bf16, got ", input.dtype());
  return input;
}

}  // namespace

Tensor lovasz_hinge_loss(const Tensor& any_input, const Tensor& any_target,
                         const LovaszHingeOptions& options) {
  const Tensor input = floating(any_input, "lovasz_hinge_loss"), target = widen(any_target).detach();
  check(target.shape() == input.shape() && target.dtype() == input.dtype() && input.dim() >= 1,
        "lovasz_hinge_loss: expects input [N, ...] and a target like it, got ", input.dtype(), input.shape(),
        " and ", target.dtype(), target.shape());
  const std::int64_t rows = options.per_image ? input.size(0) : 1, n = rows > 0 ? input.numel() / rows : 0;
  const Tensor truth = gt(target, 0.5).reshape({rows, n});
  const Tensor side = truth.to(input.dtype()) * 2 - 1;
  return mean(lovasz(1 - mul(input.reshape({rows, n}), side), truth));
}

Tensor lovasz_softmax_loss(const Tensor& any_input, const Tensor& target,
                           const LovaszSoftmaxOptions& options) {
  const char* op = "lovasz_softmax_loss";
  const Tensor input = floating(any_input, op);
  check(target.dtype() == i64, op, ": expects a target of i64, got ", target.dtype());
  check(input.dim() >= 2 && input.size(-1) >= 1 && target.dim() == input.dim() - 1 &&
            std::equal(target.shape().begin(), target.shape().end(), input.shape().begin()),
        op, ": expects input [N, ..., C] and target [N, ...], got ", input.shape(), " and ", target.shape());
  const std::int64_t c = input.size(-1), images = options.per_image ? input.size(0) : 1;
  const std::int64_t n = images > 0 ? target.numel() / images : 0;
  Tensor bad = empty({1}, {.dtype = i64, .device = target.device()});
  kernels::find_bad_class(target, c, options.ignore_index, bad);
  if (const auto at = bad.item<std::int64_t>(); at >= 0)
    check(false, op, ": target ", view(target, {1}, at).item<std::int64_t>(), " at position ", at,
          " is not a class in [0, ", c, ")");

  const Tensor p = permute(softmax(input, -1).reshape({images, n, c}), {0, 2, 1});
  const Tensor classes = target.reshape({images, 1, n});
  const Tensor truth = eq(classes, arange(c, {.dtype = i64, .device = target.device()}).reshape({c, 1}));
  // An ignored pixel has an error below all others, which relu makes 0.
  const TensorOptions like{.dtype = input.dtype(), .device = input.device()};
  const Tensor errors = where(eq(classes, static_cast<double>(options.ignore_index)), full({}, -1, like),
                              abs(truth.to(input.dtype()) - p));
  const Tensor losses = lovasz(errors.reshape({images * c, n}), truth.reshape({images * c, n}));
  const Tensor counted =
      options.all_classes ? ones({images, c}, like) : gt(sum(truth, {2}), 0).to(input.dtype());
  const Tensor totals = sum(mul(losses.reshape({images, c}), counted), {1});
  return mean(div(totals, maximum(sum(counted, {1}), ones({}, like))));
}

}  // namespace karyon
