#pragma once
#include <cstdint>
#include <filesystem>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

struct TensorFile;

/// Tensors by dotted name: "down.0.conv1.weight".
using StateDict = std::map<std::string, Tensor>;

/// A layer or a network: parameters, buffers and child modules by name. Derived structs hold all three
/// by value (or own them) and register them in their constructor; modules are neither copied nor moved,
/// so what is registered stays where it is.
class Module {
 public:
  Module() = default;
  virtual ~Module() = default;
  Module(const Module&) = delete;
  Module& operator=(const Module&) = delete;

  /// The output for one input. `x` is passed by value: a network that moves its intermediates along
  /// frees them as it goes. Modules of several inputs define a forward of their own.
  virtual Tensor forward(Tensor x);
  /// forward(x), seen by the CallObserver of this thread, if there is one.
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
  /// This module (named "") and all below it.
  std::vector<std::pair<std::string, Module*>> named_modules();

  /// Parameters and buffers by name, detached. They share memory with the module: clone() to keep.
  StateDict state_dict() const;
  /// Copies values in, converted to the module's types; checks everything before it changes anything.
  /// Throws Error listing what is missing, unexpected (both allowed unless strict) or of another shape.
  void load_state_dict(const StateDict& state, bool strict = true);

  /// Forgets all gradients.
  void zero_grad();
  /// Whether the parameters, here and below, want gradients: false freezes them.
  void requires_grad_(bool on);
  /// Moves parameters and buffers; handles to them (an optimizer's, say) follow. Optimizer state does
  /// not: make the optimizer afterwards.
  void to(Device device);
  /// Converts the floating-point ones.
  void to(DType dtype);

  /// Multiplications with addition that a forward of these shapes takes; 0 where they do not matter.
  virtual std::int64_t multiply_adds(const Shape& input, const Shape& output) const;
  /// The name of the derived type, without its namespace: "Conv2d".
  std::string type() const;

 protected:
  /// A parameter that is undefined (the bias of a layer without one) is not registered.
  void register_parameter(std::string_view name, Tensor& parameter);
  void register_buffer(std::string_view name, Tensor& buffer);
  /// The name may hold dots, for the elements of a list: "down.0".
  void register_module(std::string_view name, Module& child);

 private:
  void check_name(std::string_view name) const;
  template <class F>
  void visit_tensors(const std::string& prefix, const F& f) const;
  template <class F>
  void convert_tensors(const F& convert);

  bool training_ = true;
  std::vector<std::pair<std::string, Tensor*>> parameters_, buffers_;
  std::vector<std::pair<std::string, Module*>> children_;
};

/// Sees the calls of modules on this thread while it lives: what summary() is made of.
class CallObserver {
 public:
  CallObserver();
  virtual ~CallObserver();
  CallObserver(const CallObserver&) = delete;
  CallObserver& operator=(const CallObserver&) = delete;
  virtual void called(const Module& module, const Shape& input, const Tensor& output) = 0;
  /// Whether this thread has one: what fuses the calls of several modules must then make them one by one.
  static bool present();

 private:
  CallObserver* before_;
};

/// Moves the state of `average` towards that of `model` by the share `weight`: called after each step it
/// keeps an exponential moving average of the weights, which often predicts better than the last ones
/// (Polyak and Juditsky, 1992). Buffers of whole numbers are copied.
///   weight  in [0, 1]; 1 copies
/// Throws Error if the two do not hold the same tensors.
void lerp_state_(Module& average, const Module& model, double weight);

/// Filters of 4 dimensions are [a, kH, kW, b] in memory and [a, b, kH, kW] in files, for convolutions
/// (a = C_out) and transposed ones (a = C_in) alike; other tensors pass unchanged.
Tensor to_pytorch_layout(const Tensor& x);
Tensor from_pytorch_layout(const Tensor& x);

/// Writes the state as safetensors with PyTorch's names and layouts: `load_file(path)` in Python gives
/// a state dict for the same network there. Never leaves half a file (see save_safetensors).
void save_weights(const Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});
/// Reads such a file into the module; returns its metadata. Throws Error naming the path if the file is
/// damaged, does not fit (see load_state_dict) or holds a NaN or an infinity; the module is then unchanged.
std::map<std::string, std::string> load_weights(Module& module, const std::filesystem::path& path,
                                                bool strict = true);
/// The same from a file that is read already; `path` is for messages.
void load_weights(Module& module, TensorFile file, const std::filesystem::path& path, bool strict = true);

}  // namespace karyon
