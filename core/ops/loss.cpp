#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/kernels/loss.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/dtypes.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <cmath>
#include <functional>

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

// Targets are class indices of the input's rows; the weight has one number for each class.
void check_classes(const Tensor& input, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                   const char* op) {
  check(input.dtype() == f32 || input.dtype() == f64, op, ": expects f32, f64 or bf16, got ", input.dtype());
  check(target.dtype() == i64, op, ": expects a target of i64 or i32, got ", target.dtype());
  check(input.dim() >= 1 && input.size(-1) >= 1 && target.dim() == input.dim() - 1 &&
            std::equal(target.shape().begin(), target.shape().end(), input.shape().begin()),
        op, ": expects input [..., C] and target [...], got ", input.shape(), " and ", target.shape());
  check_constant(weight, op, "weight");
  const std::int64_t classes = input.size(-1);
  if (weight.defined())
    check(weight.shape() == Shape{classes} && weight.dtype() == input.dtype(), op, ": weight expects ",
          input.dtype(), Shape{classes}, ", got ", weight.dtype(), weight.shape());
  Tensor bad = empty({1}, {.dtype = i64, .device = target.device()});
  kernels::find_bad_class(target, classes, ignore_index, bad);
  if (const auto at = bad.item<std::int64_t>(); at >= 0)
    check(false, op, ": target ", view(target, {1}, at).item<std::int64_t>(), " at position ", at,
          " is not a class in [0, ", classes, ")");
}

Tensor reduced(const Tensor& losses, Reduction reduction) {
  return reduction == Reduction::mean ? mean(losses) : reduction == Reduction::sum ? sum(losses) : losses;
}

// ---- losses as compositions, for gradients of gradients ----

Tensor composed_bce(const Tensor& x, const Tensor& t, const Tensor& pos_weight) {
  const Tensor positive = mul(t, neg(logsigmoid(x))), negative = mul(1 - t, neg(logsigmoid(neg(x))));
  return add(pos_weight.defined() ? mul(positive, pos_weight) : positive, negative);
}

Tensor composed_focal(const Tensor& x, const Tensor& t, const FocalOptions& o) {
  const Tensor miss = add(mul(sigmoid(x), 1 - t), mul(sigmoid(neg(x)), t));
  const Tensor loss = mul(composed_bce(x, t, {}), pow(miss, o.gamma));
  return o.alpha < 0 ? loss : mul(loss, add(t * o.alpha, (1 - t) * (1 - o.alpha)));
}

Tensor composed_pair_loss(kernels::PairLoss which, const Tensor& x, const Tensor& t) {
  if (which == kernels::PairLoss::kl_div) return neg(mul(t, x));  // but for what does not depend on x
  if (which == kernels::PairLoss::kl_div_log) return mul(exp(t), sub(t, x));
  const auto limited = [](const Tensor& p) {
    const Tensor one = ones({}, {.dtype = p.dtype(), .device = p.device()}), above = gt(p, std::exp(-100.0));
    return where(above, log(where(above, p, one)), one * -100.0);
  };
  return sub(mul(t - 1, limited(1 - x)), mul(t, limited(x)));
}

Tensor composed_huber(const Tensor& d, double delta, double scale) {
  const Tensor size = abs(d), near = square(d) * (0.5 * scale), far = (size - delta / 2) * (delta * scale);
  return where(le(size, delta), near, far);
}

// 1 where the class is the target's, [..., C]; 0 in ignored rows.
Tensor one_hot(const Tensor& target, std::int64_t classes, DType dtype) {
  const Tensor numbers = arange(classes, {.dtype = i64, .device = target.device()});
  return eq(unsqueeze(target, -1), numbers).to(dtype);
}
// 1 for rows that count, [..., 1].
Tensor counted(const Tensor& target, std::int64_t ignore_index, DType dtype) {
  return unsqueeze(ne(target, static_cast<double>(ignore_index)).to(dtype), -1);
}

// From logarithms of probabilities [..., C]: what cross_entropy and nll_loss reduce, then reduced.
Tensor composed_nll(const Tensor& x, const Tensor& target, const Tensor& weight, std::int64_t ignore_index,
                    double smoothing, Reduction reduction, double total_weight) {
  const auto classes = static_cast<double>(x.size(-1));
  Tensor share = one_hot(target, x.size(-1), x.dtype()) * (1 - smoothing) + smoothing / classes;
  share = mul(share, counted(target, ignore_index, x.dtype()));
  if (weight.defined()) share = mul(share, weight);
  const Tensor losses = neg(sum(where(eq(share, 0), zeros_like(x), mul(x, share)), {-1}));
  return reduction == Reduction::mean ? sum(losses) / total_weight : reduced(losses, reduction);
}

// 1 - the mean Tversky index of p [N, ..., C]; pixels with `counts` 0 are left out.
Tensor composed_tversky(const Tensor& p, const Tensor& t, const Tensor& counts, double alpha, double beta,
                        double smooth) {
  std::vector<int> dims;
  for (int d = 1; d + 1 < p.dim(); ++d) dims.push_back(d);
  const auto total = [&](const Tensor& x) {
    const Tensor used = counts.defined() ? mul(x, counts) : x;
    return dims.empty() ? used : sum(used, dims);
  };
  const Tensor hit = total(mul(p, t)), wrong = total(mul(p, 1 - t)), missed = total(mul(1 - p, t));
  return 1 - mean(div(hit + smooth, add(add(hit, wrong * alpha), missed * beta) + smooth));
}

// A loss of kernels::PairLoss, and its gradient in the input.
Tensor input_loss(const char* op, kernels::PairLoss which, const Tensor& input, const Tensor& target,
                  Reduction reduction) {
  check_pair(input, target, op);
  check_constant(target, op, "target");
  Tensor out = empty_loss(input, input.shape(), reduction);
  kernels::pair_loss(which, 0, 0, input, target, reduction, out);
  return record(
      op, out, {input}, twice_differentiable,
      [op, which, input = SavedTensor(input), target = SavedTensor(target), reduction](const Tensor& dy) {
        const Tensor x = input.get(), t = target.get();
        Tensor dx = empty_like(x);
        kernels::pair_loss_backward(which, 0, 0, dy, x, t, reduction, dx);
        return record_gradients(op, {dx}, dy, {x}, [which, t, reduction](const auto& in) {
          return reduced(composed_pair_loss(which, in[0], t), reduction);
        });
      });
}

// 1 - Tversky index of sigmoid or, beside class indices, softmax of the input.
Tensor overlap_loss(const char* op, const Tensor& any_input, const Tensor& any_target,
                    const TverskyOptions& o) {
  const Tensor input = widen(any_input), target = widest(any_target);
  const bool indices = target.dtype() == i64;
  check(input.dim() >= 2 && input.size(-1) > 0, op,
        ": expects input [N, ..., C] with at least 2 dimensions and one channel, got ", input.shape());
  if (indices) {
    check_classes(input, target, {}, o.ignore_index, op);
  } else {
    check_pair(input, target, op);
    check_constant(target, op, "target");
  }
  const Tensor p = indices ? softmax(input, -1) : sigmoid(input);
  Tensor out = empty_loss(p, {}, Reduction::mean);
  Tensor fractions = empty({p.size(0), p.size(-1), 2}, {.dtype = f64, .device = p.device()});
  kernels::tversky_loss(p, target, o.ignore_index, o.alpha, o.beta, o.smooth, out, fractions);
  return record(op, out, {p}, twice_differentiable,
                [op, p = SavedTensor(p), target = SavedTensor(target), o, fractions](const Tensor& dy) {
                  const Tensor from = p.get(), t = target.get();
                  Tensor dx = empty_like(from);
                  kernels::tversky_loss_backward(dy, from, t, o.ignore_index, o.alpha, o.beta, fractions, dx);
                  return record_gradients(op, {dx}, dy, {from}, [t, o](const auto& in) {
                    const bool classes = t.dtype() == i64;
                    const DType dtype = in[0].dtype();
                    return composed_tversky(in[0], classes ? one_hot(t, in[0].size(-1), dtype) : t,
                                            classes ? counted(t, o.ignore_index, dtype) : Tensor(), o.alpha,
                                            o.beta, o.smooth);
                  });
                });
}

// forward(input, target, reduction, out) and backward(dy, input, target, reduction, dx) of a loss of input -
// target, which composed(input - target) is, too.
template <class Forward, class Backward, class Composed>
Tensor difference_loss(const char* op, Forward forward, Backward backward, Composed composed,
                       const Tensor& any_input, const Tensor& any_target, Reduction reduction) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, op);
  Tensor out = empty_loss(input, input.shape(), reduction);
  forward(input, target, reduction, out);
  return record(op, out, {input, target}, twice_differentiable,
                [op, backward, composed, input = SavedTensor(input), target = SavedTensor(target), reduction,
                 want_input = input.requires_grad(), want_target = target.requires_grad()](const Tensor& dy) {
                  const Tensor x = input.get(), t = target.get();
                  Tensor dx = empty_like(x), dt;
                  backward(dy, x, t, reduction, dx);
                  if (want_target) {
                    dt = want_input ? dx.clone() : dx;
                    dt.mul_(-1);
                  }
                  return record_gradients(op, {want_input ? dx : Tensor(), dt}, dy, {x, t},
                                          [composed, reduction](const auto& in) {
                                            return reduced(composed(sub(in[0], in[1])), reduction);
                                          });
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
  return record("bce_with_logits", out, {input}, twice_differentiable,
                [input = SavedTensor(input), target = SavedTensor(target), weight = SavedTensor(weight),
                 pos_weight = SavedTensor(pos_weight), reduction = options.reduction](const Tensor& dy) {
                  const Tensor x = input.get(), t = target.get(), w = weight.get(), pos = pos_weight.get();
                  Tensor dx = empty_like(x);
                  kernels::bce_with_logits_backward(dy, x, t, w, pos, reduction, dx);
                  return record_gradients("bce_with_logits", {dx}, dy, {x},
                                          [t, w, pos, reduction](const auto& in) {
                                            const Tensor losses = composed_bce(in[0], t, pos);
                                            return reduced(w.defined() ? mul(losses, w) : losses, reduction);
                                          });
                });
}

Tensor cross_entropy(const Tensor& any_input, const Tensor& any_target, const CrossEntropyOptions& options) {
  const Tensor input = widen(any_input), target = as_i64(any_target);
  check(options.label_smoothing >= 0 && options.label_smoothing <= 1,
        "cross_entropy: expects label_smoothing in [0, 1], got ", options.label_smoothing);
  check_classes(input, target, options.weight, options.ignore_index, "cross_entropy");
  Tensor out = empty_loss(input, target.shape(), options.reduction);
  Tensor total_weight = empty({1}, {.dtype = f64, .device = input.device()});
  kernels::cross_entropy(input, target, options.weight, options.ignore_index, options.label_smoothing,
                         options.reduction, out, total_weight);
  return record(
      "cross_entropy", out, {input}, twice_differentiable,
      [input = SavedTensor(input), target = SavedTensor(target), weight = SavedTensor(options.weight),
       ignore_index = options.ignore_index, smoothing = options.label_smoothing,
       reduction = options.reduction, total_weight](const Tensor& dy) {
        const Tensor x = input.get(), t = target.get(), w = weight.get();
        Tensor dx = empty_like(x);
        kernels::cross_entropy_backward(dy, x, t, w, ignore_index, smoothing, reduction, total_weight, dx);
        return record_gradients("cross_entropy", {dx}, dy, {x}, [=](const std::vector<Tensor>& in) {
          return composed_nll(log_softmax(in[0], -1), t, w, ignore_index, smoothing, reduction,
                              total_weight.item<double>());
        });
      });
}

Tensor nll_loss(const Tensor& any_input, const Tensor& any_target, const NllOptions& options) {
  const Tensor input = widen(any_input), target = as_i64(any_target);
  check_classes(input, target, options.weight, options.ignore_index, "nll_loss");
  Tensor out = empty_loss(input, target.shape(), options.reduction);
  Tensor total_weight = empty({1}, {.dtype = f64, .device = input.device()});
  kernels::nll_loss(input, target, options.weight, options.ignore_index, options.reduction, out,
                    total_weight);
  return record("nll_loss", out, {input}, twice_differentiable,
                [shape = input.shape(), dtype = input.dtype(), target = SavedTensor(target),
                 weight = SavedTensor(options.weight), ignore_index = options.ignore_index,
                 reduction = options.reduction, total_weight](const Tensor& dy) {
                  Tensor dx = empty(shape, {.dtype = dtype, .device = dy.device()});
                  const Tensor t = target.get(), w = weight.get();
                  kernels::nll_loss_backward(dy, t, w, ignore_index, reduction, total_weight, dx);
                  // The loss is linear: its gradient does not depend on the input.
                  return std::vector{record_as("nll_loss", dx, {dy}, [=](const std::vector<Tensor>& in) {
                    const EnableGradGuard on;
                    const Tensor x = zeros(shape, {.dtype = dtype, .device = t.device()}).requires_grad_();
                    const Tensor loss =
                        composed_nll(x, t, w, ignore_index, 0, reduction, total_weight.item<double>());
                    return grad({loss}, {x}, {in[0]}, {.create_graph = true})[0];
                  })};
                });
}

Tensor dice_loss(const Tensor& any_input, const Tensor& any_target, const DiceOptions& options) {
  if (is_index(any_target.dtype()))
    return overlap_loss(
        "dice_loss", any_input, any_target,
        {.alpha = 0.5, .beta = 0.5, .smooth = options.smooth / 2, .ignore_index = options.ignore_index});
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, "dice_loss");
  check_constant(target, "dice_loss", "target");
  check(input.dim() >= 2 && input.size(-1) > 0,
        "dice_loss: expects input [N, ..., C] with at least 2 dimensions and one channel, got ",
        input.shape());
  Tensor out = empty_loss(input, {}, Reduction::mean);
  Tensor fractions = empty({input.size(0), input.size(-1), 2}, {.dtype = f64, .device = input.device()});
  kernels::dice_loss(input, target, options.smooth, out, fractions);
  return record("dice_loss", out, {input}, twice_differentiable,
                [input = SavedTensor(input), target = SavedTensor(target), fractions,
                 smooth = options.smooth](const Tensor& dy) {
                  const Tensor x = input.get(), t = target.get();
                  Tensor dx = empty_like(x);
                  kernels::dice_loss_backward(dy, x, t, fractions, dx);
                  return record_gradients("dice_loss", {dx}, dy, {x}, [t, smooth](const auto& in) {
                    return composed_tversky(sigmoid(in[0]), t, {}, 0.5, 0.5, smooth / 2);
                  });
                });
}

Tensor tversky_loss(const Tensor& input, const Tensor& target, const TverskyOptions& options) {
  check(options.alpha >= 0 && options.beta >= 0, "tversky_loss: expects alpha >= 0 and beta >= 0, got ",
        options.alpha, " and ", options.beta);
  return overlap_loss("tversky_loss", input, target, options);
}

Tensor focal_loss(const Tensor& any_input, const Tensor& any_target, const FocalOptions& options) {
  const Tensor input = widen(any_input), target = widen(any_target);
  check_pair(input, target, "focal_loss");
  check_constant(target, "focal_loss", "target");
  check(options.gamma >= 0 && options.alpha <= 1, "focal_loss: expects gamma >= 0 and alpha <= 1, got ",
        options.gamma, " and ", options.alpha);
  Tensor out = empty_loss(input, input.shape(), options.reduction);
  kernels::focal_loss(input, target, options.alpha, options.gamma, options.reduction, out);
  return record("focal_loss", out, {input}, twice_differentiable,
                [input = SavedTensor(input), target = SavedTensor(target), options](const Tensor& dy) {
                  const Tensor x = input.get(), t = target.get();
                  Tensor dx = empty_like(x);
                  kernels::focal_loss_backward(dy, x, t, options.alpha, options.gamma, options.reduction, dx);
                  return record_gradients("focal_loss", {dx}, dy, {x}, [t, options](const auto& in) {
                    return reduced(composed_focal(in[0], t, options), options.reduction);
                  });
                });
}

Tensor mse_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return difference_loss("mse_loss", std::cref(kernels::mse_loss), std::cref(kernels::mse_loss_backward),
                         square, input, target, reduction);
}
Tensor l1_loss(const Tensor& input, const Tensor& target, Reduction reduction) {
  return difference_loss(
      "l1_loss", std::cref(kernels::l1_loss), std::cref(kernels::l1_loss_backward),
      [](const Tensor& d) { return abs(d); }, input, target, reduction);
}

namespace {

// `scale` times Huber's loss.
Tensor scaled_huber(const char* op, double delta, double scale, const Tensor& input, const Tensor& target,
                    Reduction reduction) {
  const auto forward = [=](const Tensor& x, const Tensor& t, Reduction r, Tensor& out) {
    kernels::pair_loss(kernels::PairLoss::huber, delta, scale, x, t, r, out);
  };
  const auto backward = [=](const Tensor& dy, const Tensor& x, const Tensor& t, Reduction r, Tensor& dx) {
    kernels::pair_loss_backward(kernels::PairLoss::huber, delta, scale, dy, x, t, r, dx);
  };
  const auto composed = [=](const Tensor& d) { return composed_huber(d, delta, scale); };
  return difference_loss(op, forward, backward, composed, input, target, reduction);
}

// errors and truth [rows, n] -> [rows]. The weights are constant where no two errors are equal.
Tensor lovasz(const Tensor& errors, const Tensor& truth) {
  Tensor weights = empty_like(errors);
  kernels::lovasz_weights(errors, truth, weights);
  return sum(mul(relu(errors), weights), {1});
}

}  // namespace

Tensor huber_loss(const Tensor& input, const Tensor& target, const HuberOptions& options) {
  check(options.delta > 0, "huber_loss: expects delta > 0, got ", options.delta);
  return scaled_huber("huber_loss", options.delta, 1, input, target, options.reduction);
}

Tensor smooth_l1_loss(const Tensor& input, const Tensor& target, const SmoothL1Options& options) {
  check(options.beta >= 0, "smooth_l1_loss: expects beta >= 0, got ", options.beta);
  if (options.beta == 0) return l1_loss(input, target, options.reduction);
  return scaled_huber("smooth_l1_loss", options.beta, 1 / options.beta, input, target, options.reduction);
}

Tensor kl_div(const Tensor& input, const Tensor& target, const KlDivOptions& options) {
  const auto which = options.log_target ? kernels::PairLoss::kl_div_log : kernels::PairLoss::kl_div;
  const Reduction reduction = options.batchmean ? Reduction::sum : options.reduction;
  const Tensor loss = input_loss("kl_div", which, widen(input), widen(target), reduction);
  if (!options.batchmean) return loss;
  return input.dim() == 0 ? loss : loss / static_cast<double>(input.size(0));
}

Tensor binary_cross_entropy(const Tensor& any_input, const Tensor& target,
                            const BinaryCrossEntropyOptions& options) {
  const char* op = "binary_cross_entropy";
  const auto which = kernels::PairLoss::binary_cross_entropy;
  const Tensor input = widen(any_input), weight = options.weight;
  check(input.dtype() == f32 || input.dtype() == f64, op, ": expects f32, f64 or bf16, got ", input.dtype());
  Tensor bad = empty({1}, {.dtype = i64, .device = input.device()});
  kernels::find_outside(input, 0, 1, bad);
  if (const auto at = bad.item<std::int64_t>(); at >= 0)
    check(false, op, ": input ", view(input, {1}, at).item<double>(), " at position ", at,
          " is not in [0, 1]");
  if (!weight.defined()) return input_loss(op, which, input, widen(target), options.reduction);
  check_constant(weight, op, "weight");
  check(broadcast_shapes(weight.shape(), input.shape(), op) == input.shape(), op, ": weight ", weight.shape(),
        " does not broadcast to ", input.shape());
  const Tensor losses = input_loss(op, which, input, widen(target), Reduction::none);
  return reduced(mul(losses, widen(weight)), options.reduction);
}

Tensor lovasz_hinge_loss(const Tensor& any_input, const Tensor& any_target,
                         const LovaszHingeOptions& options) {
  const Tensor input = widen(any_input), target = widen(any_target).detach();
  check_pair(input, target, "lovasz_hinge_loss");
  check(input.dim() >= 1, "lovasz_hinge_loss: expects input [N, ...], got ", input.shape());
  const std::int64_t rows = options.per_image ? input.size(0) : 1, n = rows > 0 ? input.numel() / rows : 0;
  const Tensor truth = gt(target, 0.5).reshape({rows, n});
  const Tensor side = truth.to(input.dtype()) * 2 - 1;
  return mean(lovasz(1 - mul(input.reshape({rows, n}), side), truth));
}

Tensor lovasz_softmax_loss(const Tensor& any_input, const Tensor& any_target,
                           const LovaszSoftmaxOptions& options) {
  const char* op = "lovasz_softmax_loss";
  const Tensor input = widen(any_input), target = as_i64(any_target);
  check(input.dim() >= 2, op, ": expects input [N, ..., C], got ", input.shape());
  check_classes(input, target, {}, options.ignore_index, op);
  const std::int64_t c = input.size(-1), images = options.per_image ? input.size(0) : 1;
  const std::int64_t n = images > 0 ? target.numel() / images : 0;
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
