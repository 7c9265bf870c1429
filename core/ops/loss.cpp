#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/ops/loss.h>

namespace karyon {
namespace {

void check_pair(const Tensor& input, const Tensor& target, const char* op) {
  check(input.dtype() == f32 || input.dtype() == f64, op, ": expects f32, f64 or bf16, got ", input.dtype());
  check(target.shape() == input.shape() && target.dtype() == input.dtype(), op,
        ": expects a target like the input ", input.dtype(), input.shape(), ", got ", target.dtype(),
        target.shape());
}

// Only the input is differentiable; the other arguments are data.
void check_constant(const Tensor& x, const char* op, const char* what) {
  check(!x.defined() || !x.requires_grad() || !grad_enabled(), op, ": the ", what,
        " requires a gradient and would get none; detach() it");
}

Tensor empty_loss(const Tensor& input, const Shape& unreduced, Reduction reduction) {
  return empty(reduction == Reduction::none ? unreduced : Shape(),
               {.dtype = input.dtype(), .device = input.device()});
}

// A weight whose elements repeat with period numel() over those of `shape`: itself, if its shape is the end
// of `shape`, else broadcast.
Tensor periodic(const Tensor& weight, const Tensor& input, const char* op, const char* what) {
  if (!weight.defined()) return weight;
  check_constant(weight, op, what);
  const Shape &shape = input.shape(), from = weight.shape();
  check(weight.dtype() == input.dtype(), op, ": ", what, " expects ", input.dtype(), ", got ",
        weight.dtype());
  check(broadcast_shapes(from, shape, op) == shape, op, ": ", what, " ", from, " does not broadcast to ",
        shape);
  int first = 0;
  while (first < from.dims() && from[first] == 1) ++first;
  if (std::equal(from.begin() + first, from.end(), shape.end() - (from.dims() - first)))
    return weight.detach();
  Tensor out = empty(shape, {.dtype = input.dtype()});
  const Tensor source = weight.detach().to(Device::cpu());
  dispatch_floating(input.dtype(), op, [&]<class T>() {
    for (std::int64_t i = 0; i < out.numel(); ++i) {
      std::int64_t at = 0, stride = 1, rest = i;
      for (int d = 1; d <= from.dims(); ++d) {
        const std::int64_t size = shape[shape.dims() - d], k = rest % size;
        rest /= size;
        if (from[from.dims() - d] == 1) continue;
        at += k * stride;
        stride *= size;
      }
      out.data<T>()[i] = source.data<T>()[at];
    }
  });
  return out.to(input.device());
}

using PointLoss = Kernel<void(const Tensor&, const Tensor&, Reduction, Tensor&)>;
using PointLossBackward = Kernel<void(const Tensor&, const Tensor&, const Tensor&, Reduction, Tensor&)>;

Tensor difference_loss(const char* op, const PointLoss& forward, const PointLossBackward& backward,
                       const Tensor& any_input, const Tensor& any_target, Reduction reduction) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, op);
  Tensor out = empty_loss(input, input.shape(), reduction);
  forward(input, target, reduction, out);
  return record(op, out, {input, target},
                [backward = &backward, input = SavedTensor(input), target = SavedTensor(target), reduction,
                 want_input = input.requires_grad(), want_target = target.requires_grad()](const Tensor& dy) {
                  Tensor dx = empty_like(input.get()), dt;
                  (*backward)(dy, input.get(), target.get(), reduction, dx);
                  if (want_target) {
                    dt = want_input ? dx.clone() : dx;
                    dt.mul_(-1);
                  }
                  return std::vector{want_input ? dx : Tensor(), dt};
                });
}

}  // namespace

Tensor bce_with_logits(const Tensor& any_input, const Tensor& any_target, const BceOptions& options) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, "bce_with_logits");
  check_constant(target, "bce_with_logits", "target");
  const Tensor weight = periodic(options.weight, input, "bce_with_logits", "weight");
  const Tensor pos_weight = periodic(options.pos_weight, input, "bce_with_logits", "pos_weight");
  Tensor out = empty_loss(input, input.shape(), options.reduction);
  kernels::bce_with_logits(input, target, weight, pos_weight, options.reduction, out);
  return record("bce_with_logits", out, {input},
                [input = SavedTensor(input), target = SavedTensor(target), weight = SavedTensor(weight),
                 pos_weight = SavedTensor(pos_weight), reduction = options.reduction](const Tensor& dy) {
                  Tensor dx = empty_like(input.get());
                  kernels::bce_with_logits_backward(dy, input.get(), target.get(), weight.get(),
                                                    pos_weight.get(), reduction, dx);
                  return std::vector{dx};
                });
}

Tensor cross_entropy(const Tensor& any_input, const Tensor& target, const CrossEntropyOptions& options) {
  const Tensor input = widen(any_input);
  check(input.dtype() == f32 || input.dtype() == f64, "cross_entropy: expects f32, f64 or bf16, got ",
        input.dtype());
  check(target.dtype() == i64, "cross_entropy: expects a target of i64, got ", target.dtype());
  check(input.dim() >= 1 && input.size(-1) >= 1 && target.dim() == input.dim() - 1 &&
            std::equal(target.shape().begin(), target.shape().end(), input.shape().begin()),
        "cross_entropy: expects input [..., C] and target [...], got ", input.shape(), " and ",
        target.shape());
  check_constant(options.weight, "cross_entropy", "weight");
  const std::int64_t classes = input.size(-1);
  if (options.weight.defined())
    check(options.weight.shape() == Shape{classes} && options.weight.dtype() == input.dtype(),
          "cross_entropy: weight expects ", input.dtype(), Shape{classes}, ", got ", options.weight.dtype(),
          options.weight.shape());
  Tensor bad = empty({1}, {.dtype = i64, .device = target.device()});
  kernels::find_bad_class(target, classes, options.ignore_index, bad);
  if (const auto at = bad.item<std::int64_t>(); at >= 0)
    check(false, "cross_entropy: target ", view(target, {1}, at).item<std::int64_t>(), " at position ", at,
          " is not a class in [0, ", classes, ")");

  Tensor out = empty_loss(input, target.shape(), options.reduction);
  Tensor total_weight = empty({1}, {.dtype = f64, .device = input.device()});
  kernels::cross_entropy(input, target, options.weight, options.ignore_index, options.reduction, out,
                         total_weight);
  return record(
      "cross_entropy", out, {input},
      [input = SavedTensor(input), target = SavedTensor(target), weight = SavedTensor(options.weight),
       ignore_index = options.ignore_index, reduction = options.reduction, total_weight](const Tensor& dy) {
        Tensor dx = empty_like(input.get());
        kernels::cross_entropy_backward(dy, input.get(), target.get(), weight.get(), ignore_index, reduction,
                                        total_weight, dx);
        return std::vector{dx};
      });
}

Tensor dice_loss(const Tensor& any_input, const Tensor& any_target, const DiceOptions& options) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, "dice_loss");
  check_constant(target, "dice_loss", "target");
  check(input.dim() >= 2 && input.size(-1) > 0,
        "dice_loss: expects input [N, ..., C] with at least 2 dimensions and one channel, got ",
        input.shape());
  Tensor out = empty_loss(input, {}, Reduction::mean);
  Tensor fractions = empty({input.size(0), input.size(-1), 2}, {.dtype = f64, .device = input.device()});
  kernels::dice_loss(input, target, options.smooth, out, fractions);
  return record("dice_loss", out, {input},
                [input = SavedTensor(input), target = SavedTensor(target), fractions](const Tensor& dy) {
                  Tensor dx = empty_like(input.get());
                  kernels::dice_loss_backward(dy, input.get(), target.get(), fractions, dx);
                  return std::vector{dx};
                });
}

Tensor focal_loss(const Tensor& any_input, const Tensor& any_target, const FocalOptions& options) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, "focal_loss");
  check_constant(target, "focal_loss", "target");
  check(options.gamma >= 0 && options.alpha <= 1, "focal_loss: expects gamma >= 0 and alpha <= 1, got ",
        options.gamma, " and ", options.alpha);
  Tensor out = empty_loss(input, input.shape(), options.reduction);
  kernels::focal_loss(input, target, options.alpha, options.gamma, options.reduction, out);
  return record("focal_loss", out, {input},
                [input = SavedTensor(input), target = SavedTensor(target), options](const Tensor& dy) {
                  Tensor dx = empty_like(input.get());
                  kernels::focal_loss_backward(dy, input.get(), target.get(), options.alpha, options.gamma,
                                               options.reduction, dx);
                  return std::vector{dx};
                });
}

Tensor mse_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return difference_loss("mse_loss", kernels::mse_loss, kernels::mse_loss_backward, input, target, reduction);
}
Tensor l1_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return difference_loss("l1_loss", kernels::l1_loss, kernels::l1_loss_backward, input, target, reduction);
}

}  // namespace karyon
