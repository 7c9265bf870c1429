#pragma once
#include <cuda_runtime_api.h>
#include <cudnn.h>

#include <cstdint>
#include <map>
#include <vector>

#include "graph.h"
#include "values.h"

namespace cudnn_shim {

// One graph, computed by plain loops in the order of its stream.
class Execution {
 public:
  // Everything that could be wrong is found here, while the caller still listens: throws Failed.
  Execution(NodePtr graph, std::map<std::int64_t, void*> pointers, void* workspace,
            std::int64_t workspace_bytes);
  ~Execution();
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  bool finished() const { return finished_; }
  void enqueue(cudaStream_t stream);

 private:
  void run();
  static cudnnPointwiseMode_t pointwise_mode(const Node& operation);
  void prepare(const Node& operation);
  void prepare_convolution(const Node& operation, int x, int w, int y, int result, int alpha, int beta);
  Values& values(const Node& operation, int name);
  void convolve(const Node& operation, int descriptor, int x_name, int w_name, int y_name, int result_name);
  void apply_pointwise(const Node& operation);

  NodePtr graph_;
  std::map<std::int64_t, void*> pointers_;
  void* workspace_;
  std::int64_t workspace_bytes_;
  std::vector<NodePtr> operations_;
  std::map<const Node*, Values> values_;
  bool finished_ = false;
};

}  // namespace cudnn_shim
