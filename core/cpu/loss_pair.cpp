// Losses of an input and a target alone, and the check of probabilities.
#include <algorithm>

#include <karyon/core/cpu/loss_terms.h>
#include <karyon/core/kernels/functors/loss.h>

namespace karyon {
namespace {

using kernels::PairLoss;

void pair_loss_cpu(PairLoss op, double p, double q, const Tensor& input, const Tensor& target,
                   Reduction reduction, Tensor& out) {
  functors::visit(op, p, q, [&](auto f) { cpu::pair_loss("pair_loss", f, input, target, reduction, out); });
}
void pair_loss_backward_cpu(PairLoss op, double p, double q, const Tensor& dy, const Tensor& input,
                            const Tensor& target, Reduction reduction, Tensor& dx) {
  functors::visit(op, p, q,
                  [&](auto f) { cpu::pair_loss_backward("pair_loss", f, dy, input, target, reduction, dx); });
}

void find_outside_cpu(const Tensor& x, double low, double high, Tensor& position) {
  dispatch_floating(x.dtype(), "find_outside", [&]<class T>() {
    const T *begin = x.data<T>(), *end = begin + x.numel();
    const T* bad = std::find_if_not(
        begin, end, [=](T v) { return static_cast<double>(v) >= low && static_cast<double>(v) <= high; });
    *position.data<std::int64_t>() = bad == end ? -1 : bad - begin;
  });
}

}  // namespace

constinit decltype(kernels::pair_loss) kernels::pair_loss{"pair_loss", pair_loss_cpu};
constinit decltype(kernels::pair_loss_backward) kernels::pair_loss_backward{"pair_loss_backward",
                                                                            pair_loss_backward_cpu};
constinit decltype(kernels::find_outside) kernels::find_outside{"find_outside", find_outside_cpu};

}  // namespace karyon
