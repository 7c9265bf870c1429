#pragma once
#include <memory>
#include <string>
#include <vector>

#include <karyon/layers/blocks.h>

// What the networks of this folder share.
namespace karyon {

/// Modules with names of one's own, in order.
struct NamedSequence : Module {
  Module& add(const std::string& name, std::unique_ptr<Module> module);
  Tensor forward(Tensor x) override;

  std::vector<std::unique_ptr<Module>> modules;
};

/// Names for modules that another module holds, where the names are not in the order of the computation.
struct ModuleNames : Module {
  void name(const std::string& text, Module& module) { register_module(text, module); }
};

/// layers(x), + x if `adds`: the residual blocks of mobile networks. With `depth_p` above 0, whole images
/// leave the layers out while training, see StochasticDepth. The layers are registered under `name`.
struct ResidualSequential : Module {
  ResidualSequential(const char* name, bool adds, double depth_p = 0);
  Tensor forward(Tensor x) override;
  std::unique_ptr<Module> rebuilt() const override;

  Sequential layers;

 private:
  const char* name_;
  bool adds_;
  double depth_p_;
  StochasticDepth stochastic_depth_;
};

/// x through the modules. Appends the results after those whose numbers are in `taps` to `pyramid`, if that
/// is not null.
Tensor run_with_taps(Sequential& layers, Tensor x, const std::vector<std::size_t>& taps,
                     std::vector<Tensor>* pyramid);

}  // namespace karyon
