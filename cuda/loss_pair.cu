// Losses of an input and a target alone, and the check of probabilities.
#include <karyon/core/kernels/functors/loss.h>
#include <karyon/cuda/backend.h>
#include <karyon/cuda/loss_terms.cuh>

namespace karyon::cuda {
namespace {

using kernels::PairLoss;

void forward(PairLoss op, double p, double q, const Tensor& input, const Tensor& target, Reduction reduction,
             Tensor& out) {
  functors::visit(op, p, q, [&](auto f) { pair_loss("pair_loss", f, input, target, reduction, out); });
}
void backward(PairLoss op, double p, double q, const Tensor& dy, const Tensor& input, const Tensor& target,
              Reduction reduction, Tensor& dx) {
  functors::visit(op, p, q,
                  [&](auto f) { pair_loss_backward("pair_loss", f, dy, input, target, reduction, dx); });
}

struct FindOutside {
  const float* x;
  double low, high;
  FirstPosition found;
  __device__ void operator()(std::int64_t i) const {
    const double v = x[i];
    if (!(v >= low && v <= high)) found(i);
  }
};
void find_outside(const Tensor& x, double low, double high, Tensor& position) {
  check_f32("find_outside", x);
  for_each(x.numel(), FindOutside{x.data<float>(), low, high, no_position(position)});
}

}  // namespace

void register_loss_pair_kernels(KernelTable& table) {
  table.add<decltype(kernels::pair_loss), forward>("pair_loss");
  table.add<decltype(kernels::pair_loss_backward), backward>("pair_loss_backward");
  table.add<decltype(kernels::find_outside), find_outside>("find_outside");
}

}  // namespace karyon::cuda
