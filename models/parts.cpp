#include <algorithm>

#include <karyon/core/autograd.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/models/parts.h>

namespace karyon {

Module& NamedSequence::add(const std::string& name, std::unique_ptr<Module> module) {
  register_module(name, *module);
  modules.push_back(std::move(module));
  return *modules.back();
}

Tensor NamedSequence::forward(Tensor x) {
  for (const auto& module : modules) x = (*module)(std::move(x));
  return x;
}

ResidualSequential::ResidualSequential(const char* name, bool adds, double depth_p)
    : name_(name), adds_(adds), depth_p_(depth_p), stochastic_depth_(depth_p) {
  register_module(name, layers);
  register_module("stochastic_depth", stochastic_depth_);
}

Tensor ResidualSequential::forward(Tensor x) {
  if (!adds_) return layers(std::move(x));
  if (depth_p_ == 0 || !is_training()) {
    const Tensor residual = x;
    return layers.forward(std::move(x), residual);
  }
  return stochastic_depth_(layers(x)) + x;
}

std::unique_ptr<Module> ResidualSequential::rebuilt() const {
  auto block = std::make_unique<ResidualSequential>(name_, adds_, depth_p_);
  for (const Module& module : layers) block->layers.add(module.rebuilt());
  return block;
}

Tensor run_with_taps(Sequential& layers, Tensor x, const std::vector<std::size_t>& taps,
                     std::vector<Tensor>* pyramid) {
  for (std::size_t i = 0; i < layers.size(); ++i) {
    x = layers[i](std::move(x));
    if (pyramid && std::ranges::count(taps, i) > 0) pyramid->push_back(x);
  }
  return x;
}

}  // namespace karyon
