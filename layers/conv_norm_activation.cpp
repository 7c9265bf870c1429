#include <algorithm>
#include <tuple>
#include <typeinfo>

#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/storage.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/layers/functional.h>

namespace karyon {
namespace {

thread_local std::int64_t fused_calls = 0;

// A norm by its running statistics, and a bias before it, as scale and shift. Every storage that it was
// computed from keeps it until its contents change. It holds where all of them still have it.
struct FoldedNorm {
  std::vector<std::pair<const Storage*, std::int64_t>> sources;  // and offsets
  double eps;
  Tensor scale, shift;
};
struct KeptNorm {
  std::shared_ptr<const FoldedNorm> norm;
};

std::shared_ptr<const FoldedNorm> fold(const Conv2d& conv, const BatchNorm2d& norm) {
  std::vector<Tensor> tensors{norm.running_var, norm.running_mean};
  for (const Tensor& x : {norm.weight, norm.bias, conv.bias})
    if (x.defined()) tensors.push_back(x);
  std::vector<std::pair<const Storage*, std::int64_t>> sources;
  for (const Tensor& x : tensors) sources.emplace_back(x.impl()->storage.get(), x.impl()->offset);
  const auto kept_by = [](const Tensor& x) {
    const auto kept = x.impl()->storage->cache<KeptNorm>();
    return kept ? kept->norm : nullptr;
  };
  const std::shared_ptr<const FoldedNorm> known = kept_by(tensors[0]);
  if (known && known->eps == norm.options.eps && known->sources == sources &&
      std::ranges::all_of(tensors, [&](const Tensor& x) { return kept_by(x) == known; }))
    return known;

  auto folded = std::make_shared<FoldedNorm>(FoldedNorm{.sources = sources, .eps = norm.options.eps});
  std::tie(folded->scale, folded->shift) =
      batch_norm_affine(norm.weight, norm.bias, norm.running_mean, norm.running_var, norm.options.eps);
  if (conv.bias.defined()) folded->shift = folded->shift + folded->scale * conv.bias;
  for (const Tensor& x : tensors) x.impl()->storage->set_cache(std::make_shared<KeptNorm>(KeptNorm{folded}));
  return folded;
}

}  // namespace

Tensor activate(const Tensor& x, ActivationKind activation) {
  switch (activation) {
    case ActivationKind::none: return x;
    case ActivationKind::relu: return relu(x);
    case ActivationKind::relu6: return relu6(x);
    case ActivationKind::silu: return silu(x);
    case ActivationKind::hardswish: return hardswish(x);
    case ActivationKind::gelu: return gelu(x);
  }
  throw Error("activate: expects an activation");
}

std::unique_ptr<Module> make_activation(ActivationKind activation) {
  switch (activation) {
    case ActivationKind::none: return std::make_unique<Identity>();
    case ActivationKind::relu: return std::make_unique<ReLU>();
    case ActivationKind::relu6: return std::make_unique<ReLU6>();
    case ActivationKind::silu: return std::make_unique<SiLU>();
    case ActivationKind::hardswish: return std::make_unique<Hardswish>();
    case ActivationKind::gelu: return std::make_unique<GELU>();
  }
  throw Error("make_activation: expects an activation");
}

// A derived module may compute something else.
bool is_activation(const Module& module, ActivationKind& activation) {
  const std::type_info& type = typeid(module);
  if (type == typeid(ReLU)) return activation = ActivationKind::relu, true;
  if (type == typeid(ReLU6)) return activation = ActivationKind::relu6, true;
  if (type == typeid(SiLU)) return activation = ActivationKind::silu, true;
  if (type == typeid(Hardswish)) return activation = ActivationKind::hardswish, true;
  if (type == typeid(GELU) && static_cast<const GELU&>(module).options().approximate == GeluApproximate::none)
    return activation = ActivationKind::gelu, true;
  return false;
}

bool can_fuse(const Conv2d& conv, const ConvTail& tail, DType input) {
  if (grad_enabled() || CallObserver::current() != nullptr) return false;
  const DType result = input == f32 ? autocast_dtype() : input;
  if (tail.residual.defined() && tail.residual.dtype() != result) return false;
  const BatchNorm2d* const norm = tail.norm;
  if (!norm) return true;
  const bool last = !tail.residual.defined() &&
                    (tail.activation == ActivationKind::none || tail.activation == ActivationKind::relu);
  return !norm->is_training() && norm->running_mean.numel() == conv.weight.size(0) &&
         (last || !norm->options.relu);
}

Tensor fused_conv(const Conv2d& conv, const ConvTail& tail, const std::vector<Tensor>& inputs) {
  ++fused_calls;
  Tensor scale, shift = conv.bias;
  ActivationKind activation = tail.activation;
  if (const BatchNorm2d* const norm = tail.norm) {
    const std::shared_ptr<const FoldedNorm> folded = fold(conv, *norm);
    scale = folded->scale;
    shift = folded->shift;
    if (norm->options.relu) activation = ActivationKind::relu;
  }
  return conv2d_affine(inputs, conv.weight, scale, shift,
                       {.conv = conv.options, .activation = activation, .residual = tail.residual});
}

std::int64_t fused_conv_calls() { return fused_calls; }

Tensor conv_norm_activation(Conv2d& conv, Module* norm, ActivationKind activation, std::vector<Tensor> inputs,
                            const Tensor& residual) {
  const auto* batch = dynamic_cast<const BatchNorm2d*>(norm);
  const ConvTail tail{batch, activation, residual};
  if ((!norm || batch) && can_fuse(conv, tail, inputs.at(0).dtype())) return fused_conv(conv, tail, inputs);
  Tensor x = inputs.size() == 1 ? std::move(inputs[0]) : cat(inputs, -1);
  inputs.clear();
  x = conv(std::move(x));
  if (norm) x = (*norm)(std::move(x));
  if (residual.defined()) x = x + residual;
  return activate(x, activation);
}

Tensor conv_norm_activation(Conv2d& conv, Module* norm, ActivationKind activation, Tensor x,
                            const Tensor& residual) {
  std::vector<Tensor> inputs(1);
  inputs[0] = std::move(x);
  return conv_norm_activation(conv, norm, activation, std::move(inputs), residual);
}

}  // namespace karyon
