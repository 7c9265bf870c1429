#pragma once
#include <concepts>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

/// Tensors by dotted name: "down.0.conv1.weight".
using StateDict = std::map<std::string, Tensor>;

/// A layer or a network: parameters, buffers and child modules by name. A derived struct holds all three by
/// value (or owns them) and registers them in its constructor. Modules are not moved, so what is registered
/// stays where it is; clone() copies them.
///
///     struct MyNet : Module {
///       MyNet() {
///         register_module("conv", conv);
///         register_module("head", head);
///       }
///       Tensor forward(Tensor x) override { return head(relu(conv(std::move(x)))); }
///       Conv2d conv{3, 16, 3, {.padding = 1}};
///       Conv2d head{16, 1, 1};
///     };
///
/// A layer X with options takes them last, as an aggregate: `X(sizes..., {.name = value})`. Their type is
/// X::Options.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The output for one input. `x` is passed by value: a network that moves its intermediates on frees each
  /// after its last use. A module of several inputs defines a forward of its own beside `using
  /// Module::forward;` and is called by it: `block.forward(x, skip)`.
  virtual Tensor forward(Tensor x);
  /// forward(x), seen by the CallObserver of this thread, if there is one. Throws Error if another module's
  /// forward calls this one, it has parameters to train, and no module registered it. An optimizer over
  /// parameters() of the network would not train it.
  Tensor operator()(Tensor x);

  /// Training mode (the default) or evaluation, here and in all children.
  virtual void train(bool on = true);
  void eval() { train(false); }
  bool is_training() const { return training_; }

  /// Own parameters first, then the children's, in the order they were registered.
  std::vector<std::pair<std::string, Tensor>> named_parameters() const;
  std::vector<Tensor> parameters() const;
  std::vector<std::pair<std::string, Tensor>> named_buffers() const;
  std::vector<std::pair<std::string, Module*>> named_children() const { return children_; }
  /// This module (named "") and all below it. Here and above, what is shared is listed once, by its first
  /// name.
  std::vector<std::pair<std::string, Module*>> named_modules();

  /// Parameters and buffers by name, detached. They share memory with the module: clone() to keep.
  StateDict state_dict() const;
  /// Copies values in, converted to the module's types; checks everything before it changes anything.
  /// Throws Error listing what is missing, unexpected (both allowed unless strict) or of another shape.
  void load_state_dict(const StateDict& state, bool strict = true);
  /// Throws what load_state_dict() would throw, and changes nothing.
  void check_state_dict(const StateDict& state, bool strict = true) const;

  /// A deep copy: the values of parameters and buffers, which parameters require a gradient, and the modes,
  /// here and below. What the module shares, the copy shares, too. Gradients and hooks are not copied.
  /// karyon::clone(module) returns the module's own type. Throws Error if a module below does not override
  /// rebuilt(), or if what that gives has other parameters, buffers or children.
  std::unique_ptr<Module> clone() const;
  /// What clone() copies the state into: a new module from the arguments that built this one. So references
  /// and pointers to children are those of the new module. A module that can be cloned overrides it:
  ///
  ///     std::unique_ptr<Module> rebuilt() const override { return std::make_unique<MyNet>(width_); }
  virtual std::unique_ptr<Module> rebuilt() const;

  /// Forgets all gradients.
  void zero_grad();
  /// Makes the parameters, here and below, require a gradient, or not: false freezes them.
  void requires_grad_(bool on);
  /// Moves parameters and buffers; handles to them (an optimizer's, say) follow. Optimizer state does
  /// not: make the optimizer afterwards.
  void to(Device device);
  /// Converts the floating-point ones.
  void to(DType dtype);

  /// The multiply-adds of a forward of these shapes, for summary(); 0 of layers where they do not matter.
  virtual std::int64_t multiply_adds(const Shape& input, const Shape& output) const;
  /// The name of the derived type, without its namespace: "Conv2d".
  std::string type() const;

 protected:
  // Names are not empty, hold no dot and are taken once.
  /// Makes the parameter require a gradient. An undefined parameter (the bias of a layer without one) is not
  /// registered. One tensor may have several names: its weights are shared.
  void register_parameter(std::string_view name, Tensor& parameter);
  void register_buffer(std::string_view name, Tensor& buffer);
  /// A buffer that stays on the CPU when the module goes to a device: a count that the host keeps.
  void register_counter(std::string_view name, Tensor& counter);
  /// A child may have several names, too. Throws Error for this module itself, and for one that holds it.
  void register_module(std::string_view name, Module& child);

 private:
  enum class Kind { parameter, buffer, counter };
  using Copies = std::map<const Tensor::Impl*, Tensor>;

  void check_name(std::string_view name) const;
  void check_registered(const Module& caller) const;
  bool holds(const Module& other) const;
  void take_state(const Module& from, Copies& copies);
  template <class F>
  void visit_tensors(const std::string& prefix, const F& f) const;
  template <class F>
  void convert_tensors(const F& convert);

  bool training_ = true;
  bool registered_ = false;  // by any module
  std::vector<std::pair<std::string, Tensor*>> parameters_, buffers_;
  std::vector<const Tensor*> counters_;  // those of the buffers that stay on the CPU
  std::vector<std::pair<std::string, Module*>> children_;
};

/// module.clone(), as the module's own type:
///
///     std::unique_ptr<UNet> target = clone(net);
template <std::derived_from<Module> M>
std::unique_ptr<M> clone(const M& module) {
  return std::unique_ptr<M>(dynamic_cast<M*>(module.clone().release()));
}

}  // namespace karyon
