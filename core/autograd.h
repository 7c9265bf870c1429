#pragma once
#include <functional>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

class Lazy;
struct Trace;

// ---- gradients ----

struct GradOptions {
  bool retain_graph = false;  ///< keeps the graph for another pass; create_graph keeps it, too
  bool create_graph = false;  ///< records the pass, so that the gradients have gradients
  bool allow_unused = false;  ///< an input that no output depends on gets an undefined tensor, no Error
  bool hooks = true;          ///< calls the hooks of the inputs
};
/// The gradients of the sum of the outputs in each of the inputs, as torch.autograd.grad. No leaf's grad()
/// changes, and only what lies between outputs and inputs is computed.
///   outputs       tensors that require a gradient
///   inputs        leaves or results that require a gradient
///   grad_outputs  one for each output, or none; an undefined one stands for 1 and needs an output of one
///                 element
///   returns       one tensor for each input, of its shape and dtype
/// Throws Error for an input that is not used (but see allow_unused), for a graph that is already freed and,
/// with create_graph, for an operation whose gradient has none.
std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grad_outputs = {}, const GradOptions& options = {});

/// True if operations on this thread are recorded (the default).
bool grad_enabled();

/// Switches recording on or off on this thread while it lives.
class GradModeGuard {
 public:
  explicit GradModeGuard(bool on);
  ~GradModeGuard();
  GradModeGuard(const GradModeGuard&) = delete;
  GradModeGuard& operator=(const GradModeGuard&) = delete;

 private:
  bool before_;
};
struct NoGradGuard : GradModeGuard {
  NoGradGuard() : GradModeGuard(false) {}
};
struct EnableGradGuard : GradModeGuard {
  EnableGradGuard() : GradModeGuard(true) {}
};

// ---- for operations ----

/// Maps the gradient of a node's output to one gradient per input, in order; an undefined tensor where an
/// input needs none. Runs without recording, on kernels. With create_graph recording is on: then only a
/// function that record() was told to be twice_differentiable runs.
using BackwardFn = std::function<std::vector<Tensor>(const Tensor& grad_output)>;

/// Says that a BackwardFn calls operations, which record themselves, and no kernels while grad_enabled().
struct TwiceDifferentiable {};
inline constexpr TwiceDifferentiable twice_differentiable;

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
  const void* memory;   // the output's storage, to recognize it in a SavedTensor; may be freed
  std::int64_t offset;  // where the output begins in it
  bool twice;           // whether `backward` is twice_differentiable
  std::vector<Edge> edges;
  BackwardFn backward;
  TensorHooks hooks;
  std::shared_ptr<Trace> trace;  // of what is recorded under a TraceGuard

  ~Node();
};

/// Attaches a node to `output` if recording is on and any input requires a gradient. Otherwise, under a
/// NoGradGuard say, it does nothing. Returns `output`, which must not be recorded yet. A closure keeps
/// tensors as SavedTensor: the graph then has no cycles, an in-place change of a saved value is noticed, and
/// create_graph finds the saved values' own gradients.
Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, BackwardFn backward);
Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, TwiceDifferentiable,
              BackwardFn backward);

/// A tensor kept for backward: detached, with the version that it had. If its operation left a cheap recipe,
/// it keeps the recipe instead of the memory, and get() computes the same bits again.
class SavedTensor {
 public:
  SavedTensor(const Tensor& x);
  /// The tensor, detached; while a pass backward is recorded, with its place in the graph. Throws Error if
  /// the tensor, or what its recipe reads, was changed in place since it was saved.
  Tensor get() const;

 private:
  Tensor in_graph(const Tensor& x) const;

  Tensor tensor_;
  std::uint64_t version_ = 0;
  std::shared_ptr<const Lazy> recipe_;  // then tensor_ is undefined
  Node::Edge edge_;                     // where the gradient of an operation's input goes
};

/// A composition of operations: maps inputs to one result.
using Composition = std::function<Tensor(const std::vector<Tensor>& inputs)>;

/// While grad_enabled(), records `value`, which kernels computed, with the gradient of f: f(inputs) is the same
/// value, composed of operations. f runs when a gradient of the value is asked for. Returns `value`.
Tensor record_as(const char* name, Tensor value, const std::vector<Tensor>& inputs, Composition f);
/// The same for `gradients`, one per input, that kernels computed from `grad_output` for an operation:
/// f(inputs) is its result, composed of operations. For the end of a twice_differentiable BackwardFn.
std::vector<Tensor> record_gradients(const char* name, std::vector<Tensor> gradients,
                                     const Tensor& grad_output, const std::vector<Tensor>& inputs,
                                     Composition f);

}  // namespace karyon
