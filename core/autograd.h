#pragma once
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

class Lazy;

/// Maps the gradient of a node's output to one gradient per input, in order; an undefined tensor
/// where an input needs none. Runs without recording: gradients of gradients are not supported.
using BackwardFn = std::function<std::vector<Tensor>(const Tensor& grad_output)>;

/// One operation in the graph. It holds the tensors saved for backward and edges to the targets of gradients.
/// It does not hold its input tensors: an activation that is not saved is freed in forward.
struct Node {
  /// The target of a gradient: another node, a leaf, or (neither) none.
  struct Edge {
    std::shared_ptr<Node> node;
    std::shared_ptr<Tensor::Impl> leaf;
  };

  const char* name;
  std::uint64_t order;  // creation order, which is a topological order
  Shape shape;          // that of the output and of its gradient
  DType dtype;          // their dtype
  std::vector<Edge> edges;
  BackwardFn backward;
  std::vector<TensorHook> hooks;

  ~Node();
};

/// Attaches a node to `output` if recording is on and any input requires a gradient. Otherwise, under a
/// NoGradGuard say, it does nothing. Returns `output`, which must not be recorded yet. A closure keeps
/// tensors as SavedTensor: the graph then has no cycles, and an in-place change of a saved value is noticed.
Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, BackwardFn backward);

/// A tensor kept for backward: detached, with the version that it had. If its operation left a cheap recipe,
/// it keeps the recipe instead of the memory, and get() computes the same bits again.
class SavedTensor {
 public:
  SavedTensor(const Tensor& x);
  /// Throws Error if the tensor, or what its recipe reads, was changed in place since it was saved.
  Tensor get() const;

 private:
  Tensor tensor_;
  std::uint64_t version_ = 0;
  std::shared_ptr<const Lazy> recipe_;  // then tensor_ is undefined
};

/// True if operations on this thread are recorded (the default).
bool grad_enabled();

/// Switches recording off on this thread while it lives.
class NoGradGuard {
 public:
  NoGradGuard();
  ~NoGradGuard();
  NoGradGuard(const NoGradGuard&) = delete;
  NoGradGuard& operator=(const NoGradGuard&) = delete;

 private:
  bool before_;
};

}  // namespace karyon
