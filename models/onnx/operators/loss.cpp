#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/loss.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/models/onnx/call.h>

namespace karyon::onnx {
namespace {

/// The loss of logarithms of probabilities, classes last.
Tensor nll(const Call& call, const Tensor& logs) {
  const std::string how = call.node.text_of("reduction", "mean");
  check(how == "mean" || how == "sum" || how == "none", "a reduction by '", how, "'");
  NllOptions options{.weight = call.maybe(2)};
  options.ignore_index = call.node.integer("ignore_index", lowest(int64));
  options.reduction = how == "mean" ? Reduction::mean : how == "sum" ? Reduction::sum : Reduction::none;
  return nll_loss(logs, call.x(1), options);
}
Tensor classes_last(const Tensor& x) {
  check(x.dim() >= 2, "expects [N, C, ...], got ", x.shape());
  return to_channels_last(x);
}

Values nll_loss_(const Call& call) { return {nll(call, classes_last(call.x(0)))}; }
Values cross_entropy_(const Call& call) {
  const Tensor logs = log_softmax(classes_last(call.x(0)), -1);
  return {nll(call, logs), call.x(0).dim() >= 3 ? last(logs) : Value(logs)};
}

}  // namespace

std::vector<Operator> loss_operators() {
  return {{"NegativeLogLikelihoodLoss", nll_loss_}, {"SoftmaxCrossEntropyLoss", cross_entropy_}};
}

}  // namespace karyon::onnx
