#pragma once
#include <map>
#include <string>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/layers/module.h>
#include <onnx_file.pb.h>

namespace karyon::onnx {

/// Options that a forward does not show.
struct ExportGuess {
  const char* upsampling = "half_pixel";  ///< or "nearest", "align_corners"
  bool overlapping = false;               ///< pools: windows of 3x3 with stride 2, not side by side
};

/// A graph of autograd as a graph of ONNX. Images [N, H, W, C] are [N, C, H, W] there.
class ExportGraph {
 public:
  ExportGraph(Module& module, const ExportGuess& guess);

  void input(const Tensor& x);
  /// The operator for a recorded operation, whose inputs are there. Throws Error for one that has none.
  void add(const karyon::Node& node);
  /// The bytes of the file.
  std::string finish(const Tensor& y);

 private:
  struct Named {
    std::string name;
    Shape shape;
  };
  using Writer = void (ExportGraph::*)(const karyon::Node& node);

  onnx_file::Node& emit(const std::string& type, const std::vector<std::string>& inputs,
                        const std::string& output);
  std::string fresh();
  std::string initializer(const std::string& name, const Tensor& x);
  const Named* find(const karyon::Node& node, std::size_t input) const;
  Named in(const karyon::Node& node, std::size_t input);
  std::string parameter(const karyon::Node& node, std::size_t input, bool filter);
  template <class M>
  const M& module_of(const karyon::Node& node);

  void simple(const karyon::Node& node, const std::string& type);
  void pair(const karyon::Node& node, const std::string& type);
  void conv(const karyon::Node& node);
  void conv_transpose(const karyon::Node& node);
  void batch_norm(const karyon::Node& node);
  void group_norm(const karyon::Node& node);
  void layer_norm(const karyon::Node& node);
  void pool(const karyon::Node& node);
  void global_pool(const karyon::Node& node);
  void resize(const karyon::Node& node);
  void join(const karyon::Node& node);
  void linear(const karyon::Node& node);
  void reshape(const karyon::Node& node);

  ExportGuess guess_;
  onnx_file::Model model_;
  std::int64_t batch_ = 0;
  int count_ = 0;
  std::map<const void*, Named> values_;  // by node or leaf
  std::map<const Tensor::Impl*, std::pair<std::string, Tensor>> parameters_;
  std::map<const Tensor::Impl*, Module*> owners_;  // by weight
  std::map<std::string, std::string> written_;     // initializers
  std::string current_;                            // the output of the node that is being added
};

}  // namespace karyon::onnx
