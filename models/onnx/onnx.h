#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <karyon/layers/module.h>

// ONNX files, the exchange format of PyTorch and other programs: https://onnx.ai. A component of its own; a
// project that uses it says find_package(karyon COMPONENTS onnx) and links karyon::onnx.
namespace karyon {

namespace onnx {
class Program;
}

/// The network of an ONNX file. It runs node by node with Karyon's operations, and trains where they are
/// differentiable. Its floating initializers are parameters, the others and the statistics of batch norms
/// buffers. They have the file's names, where dots are levels as in state_dict().
///
/// Inputs and outputs have the layout of the file: images of PyTorch's are [N, C, H, W]. Filters of
/// convolutions lie as Conv2d's in memory, [out, kH, kW, in], and weights of products as Linear's, [out, in]. Types: whole numbers of any width are i64 here;
/// float16, bfloat16 and smaller floats are f32, float64 is f64, bool is bool. Batch norm and dropout run as
/// in evaluation, unless the file says that they train.
class OnnxModule : public Module {
 public:
  ~OnnxModule() override;

  const std::vector<std::string>& input_names() const;
  const std::vector<std::string>& output_names() const;

  /// All outputs, in the file's order. Throws Error if the number, dtype, dimensions or fixed sizes of the
  /// inputs are not the file's, and where an operation does; the message names the node.
  std::vector<Tensor> forward(const std::vector<Tensor>& inputs);
  /// The same by name. Throws Error for missing and unknown names.
  StateDict forward_by_name(const StateDict& inputs);
  /// The first output of a network with one input.
  Tensor forward(Tensor x) override;

  std::unique_ptr<Module> rebuilt() const override;

 private:
  friend std::unique_ptr<OnnxModule> load_onnx(const std::filesystem::path& path);
  struct Folder;

  explicit OnnxModule(std::shared_ptr<const onnx::Program> program);

  std::shared_ptr<const onnx::Program> program_;
  std::vector<std::unique_ptr<Tensor>> state_;  // as the program's initializers
  std::unique_ptr<Folder> root_;
};

/// Reads an ONNX file and its files of external data. Operator sets 7 to the newest are known; the page
/// docs/reference/onnx.md lists the operators. Dimensions may be open.
/// Throws Error for a file that is damaged, and for one that needs what is missing: all operators, attributes
/// and types that Karyon does not have are named at once, before anything runs.
std::unique_ptr<OnnxModule> load_onnx(const std::filesystem::path& path);

/// Writes a network as an ONNX file (operator set 21): the operations that a forward records.
///   module   in evaluation
///   example  an input [N, ...], f32 or f64. In the file its first dimension is open, and of images
///            [N, H, W, C] and volumes [N, D, H, W, C], which have their channels second there, the sizes, too
/// The module runs with the example three times over, to see which sizes grow with the batch. The file is
/// loaded and compared with the module, for both batches, before it takes its name. Throws Error for an
/// operation without an operator, and if the two differ.
void export_onnx(Module& module, const Tensor& example, const std::filesystem::path& path);

}  // namespace karyon
