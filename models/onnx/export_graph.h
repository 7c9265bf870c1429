#pragma once
#include <functional>
#include <map>
#include <string>
#include <vector>

#include <karyon/core/trace.h>
#include <karyon/layers/module.h>
#include <onnx_file.pb.h>

namespace karyon::onnx {

/// Whether tensors of so many dimensions are images or volumes.
bool is_images(int dims);

/// A graph of autograd, recorded under a TraceGuard, as a graph of ONNX. Images and volumes [N, ..., C] go in
/// and out as [N, C, ...]. Between nodes a value lies as its operator wants it.
class ExportGraph {
 public:
  /// Something that a node of the file computes, or an initializer.
  struct Value {
    std::string name;
    Shape shape;                  ///< here: channels last
    bool channels_first = false;  ///< in the file
    bool batched = false;         ///< it depends on the network's input, so a dimension grows with the batch
  };

  /// `module` names the parameters; `x` is the input that the graph was recorded with.
  ExportGraph(const Module& module, const Tensor& x);

  /// The operators for a recorded operation, whose inputs are there. Throws Error if there are none.
  void add(const karyon::Node& node);
  /// The bytes of the file. The values of `y` are its output.
  std::string finish(const Tensor& y);

  // ---- for the writers of operators ----

  /// An input that another operation made, a parameter or a constant. Throws Error if it is absent.
  Value input(const karyon::Node& node, std::size_t index = 0);
  bool has_input(const karyon::Node& node, std::size_t index) const;
  /// The name of a value in one of both layouts. A node that turns it is added where it lies otherwise.
  std::string channels_last(const Value& value);
  std::string channels_first(const Value& value);
  /// The name of a filter, [out, ..., in] here, as the file has it.
  std::string filter(const karyon::Node& node, std::size_t index);
  /// The name of an initializer. One of the network's tensors keeps its name.
  std::string constant(const Tensor& x);
  /// The sizes of `shape`, which `value` is to get, as an initializer: that of the batch stays open.
  std::string open_sizes(const Value& value, const Shape& shape);
  /// How often the example's batch fits into `size`, 0 if it does not.
  std::int64_t batches(std::int64_t size) const;
  /// The size of the batch, as a value with one element.
  std::string batch_size();

  onnx_file::Node& emit(const std::string& type, const std::vector<std::string>& inputs);
  /// Adds a node and says that it computes what `node` did.
  onnx_file::Node& result(const karyon::Node& node, const std::string& type,
                          const std::vector<std::string>& inputs, bool channels_first = false);

 private:
  const Value* find(const karyon::Node::Edge& edge) const;
  std::string fresh();
  std::string name_of(const Tensor& x);
  std::string initializer(const std::string& name, const Tensor& x);
  std::string turned(const Value& value, bool channels_first);

  onnx_file::Model model_;
  std::int64_t batch_ = 0;
  int count_ = 0;
  std::map<const void*, Value> values_;             // by node or leaf
  std::map<const Tensor::Impl*, std::string> own_;  // parameters and buffers
  std::map<std::string, std::string> written_;      // initializers
  std::map<std::string, std::string> turned_;       // values in the other layout
};

/// Writes the operators of one recorded operation.
using Writer = std::function<void(ExportGraph& graph, const karyon::Node& node)>;
/// By the names of operations.
const std::map<std::string, Writer>& writers();

}  // namespace karyon::onnx
