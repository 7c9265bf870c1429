#include <karyon/core/after_backward.h>
#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/lazy.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/profiler.h>
#include <karyon/core/storage.h>
#include <karyon/core/trace.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <set>
#include <unordered_set>
#include <utility>

namespace karyon {
namespace {

std::atomic<std::uint64_t> next_order{1};
thread_local bool recording = true;
thread_local bool tracing = false;

// The node whose BackwardFn runs on this thread.
thread_local const std::shared_ptr<Node>* running = nullptr;
class Running {
 public:
  explicit Running(const std::shared_ptr<Node>& node) : before_(running) { running = &node; }
  ~Running() { running = before_; }
  Running(const Running&) = delete;
  Running& operator=(const Running&) = delete;

 private:
  const std::shared_ptr<Node>* before_;
};

// The contents of a dying node. Freeing it can kill further nodes; a queue keeps a graph of any depth from
// recursing through their destructors.
struct Remains {
  std::vector<Node::Edge> edges;
  BackwardFn backward;
};
thread_local std::vector<Remains>* burying = nullptr;

bool wants_gradient(const Tensor& x) { return x.defined() && x.requires_grad(); }

Node::Edge edge_of(const Tensor& x) {
  if (!wants_gradient(x)) return {};
  return x.node() ? Node::Edge{x.node(), nullptr} : Node::Edge{nullptr, x.impl()};
}

Tensor call_hooks(const TensorHooks& hooks, Tensor grad) {
  for (const auto& entry : TensorHooks(hooks)) {  // a hook may add hooks, or remove itself
    const TensorHook hook = *entry;
    if (!hook) continue;
    Tensor replaced = hook(grad);
    if (!replaced.defined()) continue;
    check(replaced.shape() == grad.shape() && replaced.dtype() == grad.dtype(),
          "hook: expects a gradient of ", grad.dtype(), grad.shape(), ", got ", replaced.dtype(),
          replaced.shape());
    grad = std::move(replaced);
  }
  return grad;
}

// sum += grad. It works in place only if nothing else shares the memory, and no graph needs the old sum.
void accumulate(Tensor& sum, Tensor grad) {
  if (!sum.defined()) {
    sum = std::move(grad);
  } else if (recording) {
    sum = add(sum, grad);
  } else {
    if (!sum.owns_storage_alone() || sum.node()) sum = sum.clone();
    sum.add_(grad);
  }
}

// A leaf keeps its gradient to itself: a later in-place accumulation must not reach another tensor. Graphs of
// several threads may share leaves.
void deliver_to_leaf(Tensor::Impl& leaf, Tensor grad) {
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  if (!leaf.grad.defined() && !grad.owns_storage_alone()) grad = grad.clone();
  accumulate(leaf.grad, std::move(grad));
}

std::atomic<bool> any_leaf_has_hooks = false;
thread_local std::vector<std::function<void()>>* callbacks = nullptr;  // of the backward() that is going on

// What runs after a backward(); nothing if it throws.
class Callbacks {
 public:
  Callbacks() : before_(std::exchange(callbacks, &mine_)) {}
  ~Callbacks() { callbacks = before_; }
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;
  void run() {
    for (std::size_t i = 0; i < mine_.size(); ++i) std::exchange(mine_[i], nullptr)();
  }

 private:
  std::vector<std::function<void()>> mine_, *before_;
};

// One walk over a graph from outputs to leaves. The newest node comes first: by then every consumer of its
// output has already run.
class Pass {
 public:
  Pass(const char* op, bool retain_graph) : op_(op), retain_(retain_graph) {}

  void start(const Tensor& output, const Tensor& grad_output) {
    Tensor seed = grad_output;
    if (!seed.defined()) {
      check(output.numel() == 1, op_, ": a tensor of shape ", output.shape(),
            " needs an explicit grad_output");
      seed = ones_like(output);
    }
    check(seed.shape() == output.shape() && seed.dtype() == output.dtype(), op_, ": grad_output expects ",
          output.dtype(), output.shape(), ", got ", seed.dtype(), seed.shape());
    starts_.push_back(edge_of(output));
    seeds_.push_back(std::move(seed));
  }

  // From here on the pass only finds the gradients of these tensors. Call it after start().
  void only_for(const std::vector<Tensor>& inputs, bool with_hooks) {
    limited_ = true;
    found_hooks_ = with_hooks;
    for (const Tensor& input : inputs) found_[target(edge_of(input))];
    std::map<std::uint64_t, const Node*> reached;
    std::vector<const Node*> open;
    const auto reach = [&](const Node::Edge& edge) {
      if (edge.node && reached.emplace(edge.node->order, edge.node.get()).second)
        open.push_back(edge.node.get());
    };
    std::ranges::for_each(starts_, reach);
    while (!open.empty()) {
      const Node* const node = open.back();
      open.pop_back();
      std::ranges::for_each(node->edges, reach);
    }
    for (const auto& [order, node] : reached) {  // the oldest first
      const auto leads = [&](const Node::Edge& edge) {
        return needed_.contains(edge.node.get()) || found_.contains(target(edge));
      };
      // A freed node has no edges left: running it throws.
      if (node->backward == nullptr || std::ranges::any_of(node->edges, leads)) needed_.insert(node);
    }
  }

  void run() {
    const AutocastGuard casts(recording ? f32 : autocast_dtype());  // the casts are in the graph
    Callbacks after;
    count_uses();
    for (std::size_t i = 0; i < starts_.size(); ++i) deliver(starts_[i], std::move(seeds_[i]), op_);
    while (!pending_.empty()) {
      Pending next = std::move(pending_.extract(pending_.begin()).mapped());
      step(next.node, std::move(next.grad));
    }
    for (auto& [leaf, whole] : leaves_) finish(*leaf, std::move(whole.grad));  // not every use was reached
    after.run();
  }

  Tensor found(const Tensor& input) const { return found_.at(target(edge_of(input))); }

 private:
  struct Pending {
    std::shared_ptr<Node> node;
    Tensor grad;
  };

  struct Whole {
    std::int64_t uses = 0;
    Tensor grad;
  };

  // A leaf's hook sees the whole gradient, so it waits for the last use of its leaf, and no longer: what it begins
  // goes on while backward does.
  void count_uses() {
    if (!any_leaf_has_hooks || limited_) return;
    std::unordered_set<const Node*> seen;
    std::vector<const Node*> open;
    const auto follow = [&](const Node::Edge& edge) {
      if (edge.node && seen.insert(edge.node.get()).second) open.push_back(edge.node.get());
      if (edge.leaf && !edge.leaf->hooks.empty()) ++leaves_[edge.leaf].uses;
    };
    std::ranges::for_each(starts_, follow);
    while (!open.empty()) {
      const Node* const node = open.back();
      open.pop_back();
      std::ranges::for_each(node->edges, follow);
    }
  }

  // One of its uses was walked, with a gradient or without.
  void used(const std::shared_ptr<Tensor::Impl>& leaf) {
    const auto entry = leaves_.find(leaf);
    if (limited_ || entry == leaves_.end() || --entry->second.uses > 0) return;
    const auto whole = leaves_.extract(entry);
    finish(*leaf, std::move(whole.mapped().grad));
  }

  void finish(Tensor::Impl& leaf, Tensor grad) {
    if (!grad.defined()) return;
    const auto found = found_.find(&leaf);
    if (found == found_.end() || found_hooks_) grad = call_hooks(leaf.hooks, std::move(grad));
    if (found == found_.end()) {
      deliver_to_leaf(leaf, std::move(grad));
    } else {
      found->second = std::move(grad);
    }
  }

  static const void* target(const Node::Edge& edge) {
    return edge.node ? static_cast<const void*>(edge.node.get()) : edge.leaf.get();
  }

  void step(const std::shared_ptr<Node>& shared, Tensor grad) {
    Node& node = *shared;
    const bool runs = !limited_ || needed_.contains(&node);
    check(!runs || node.backward != nullptr, node.name,
          ": backward through a graph that is already freed; for several losses over one graph call backward "
          "on their sum, or keep the graph by retain_graph");
    const auto found = found_.find(&node);
    if (found == found_.end() || found_hooks_) grad = call_hooks(node.hooks, std::move(grad));
    if (found != found_.end()) found->second = grad;
    if (!runs) return;
    check(!recording || node.twice, node.name, ": has no gradient of its gradient");
    std::vector<Tensor> grads;
    {
      const Running now(shared);
      const ProfileRange range(node.name, true);
      grads = node.backward(grad);
    }
    if (!retain_) node.backward = nullptr;  // frees what forward saved
    grad = Tensor();
    check(grads.size() == node.edges.size(), node.name, ": backward gave ", grads.size(), " gradients for ",
          node.edges.size(), " inputs");
    for (std::size_t i = 0; i < grads.size(); ++i) {
      deliver(node.edges[i], std::move(grads[i]), node.name);
      if (node.edges[i].leaf) used(node.edges[i].leaf);
    }
    if (!retain_) node.edges.clear();
  }

  void deliver(const Node::Edge& edge, Tensor grad, const char* from) {
    if (!grad.defined() || (!edge.node && !edge.leaf)) return;
    if (limited_ && !found_.contains(target(edge)) && !needed_.contains(edge.node.get())) return;
    if (edge.node) {
      check(grad.shape() == edge.node->shape && grad.dtype() == edge.node->dtype, from, ": gradient ",
            grad.dtype(), grad.shape(), " for a tensor ", edge.node->dtype, edge.node->shape);
      Pending& entry = pending_[edge.node->order];
      entry.node = edge.node;
      accumulate(entry.grad, std::move(grad));
      return;
    }
    check(grad.shape() == edge.leaf->shape && grad.dtype() == edge.leaf->dtype, from, ": gradient ",
          grad.dtype(), grad.shape(), " for a leaf ", edge.leaf->dtype, edge.leaf->shape);
    if (!limited_ && edge.leaf->hooks.empty()) {
      deliver_to_leaf(*edge.leaf, std::move(grad));
    } else {
      accumulate(leaves_[edge.leaf].grad, std::move(grad));
    }
  }

  const char* op_;
  bool retain_, limited_ = false, found_hooks_ = true;
  std::vector<Node::Edge> starts_;
  std::vector<Tensor> seeds_;
  std::map<std::uint64_t, Pending, std::greater<>> pending_;
  // Gradients of leaves that wait until they are whole, for hooks or for grad().
  std::map<std::shared_ptr<Tensor::Impl>, Whole> leaves_;
  std::map<const void*, Tensor> found_;  // what grad() returns, by node or leaf
  std::set<const Node*> needed_;         // nodes that lead to them
};

}  // namespace

void after_backward(std::function<void()> callback) {
  check(callbacks != nullptr, "after_backward: no backward() is going on");
  callbacks->push_back(std::move(callback));
}

Node::~Node() {
  if (burying) {
    try {
      burying->push_back({std::move(edges), std::move(backward)});
    } catch (const std::bad_alloc&) {
      // Without memory for the queue, what the node held dies here, deeper on the stack.
    }
    return;
  }
  std::vector<Remains> queue;
  burying = &queue;
  { const Remains first{std::move(edges), std::move(backward)}; }
  while (!queue.empty()) {
    const Remains last = std::move(queue.back());
    queue.pop_back();
  }
  burying = nullptr;
}

bool grad_enabled() { return recording; }
GradModeGuard::GradModeGuard(bool on) : before_(recording) { recording = on; }
GradModeGuard::~GradModeGuard() { recording = before_; }

bool is_tracing() { return tracing; }
TraceGuard::TraceGuard() : before_(std::exchange(tracing, true)) {}
TraceGuard::~TraceGuard() { tracing = before_; }

SavedTensor::SavedTensor(const Tensor& x) {
  if (!x.defined()) return;
  edge_ = edge_of(x);
  // A detached tensor is saved by its memory. So is a view: it has another shape, or is a part.
  if (x.node()) recipe_ = x.impl()->storage->recipe();
  if (recipe_ && recipe_->shape() == x.shape()) return;
  recipe_ = nullptr;
  tensor_ = x.detach();
  version_ = x.version();
}

Tensor SavedTensor::get() const {
  if (recipe_) return in_graph(lazy_tensor(recipe_));
  check(!tensor_.defined() || tensor_.version() == version_, "backward: a tensor of shape ",
        tensor_.defined() ? tensor_.shape() : Shape(),
        " that the gradient needs was changed in place after it was used");
  return in_graph(tensor_);
}

// An input has its edge. The output got its node after it was saved: it is recognized by its memory.
Tensor SavedTensor::in_graph(const Tensor& x) const {
  if (!recording || !x.defined()) return x;
  if (edge_.leaf) return Tensor(edge_.leaf);
  const bool is_output = !edge_.node && running != nullptr && (*running)->memory == x.impl()->storage.get() &&
                         (*running)->offset == x.impl()->offset && (*running)->shape.numel() == x.numel();
  if (!edge_.node && !is_output) return x;
  const std::shared_ptr<Node>& node = is_output ? *running : edge_.node;
  Tensor y = view(x, node->shape);
  y.impl()->requires_grad = true;
  y.impl()->node = node;
  return y.shape() == x.shape() ? y : y.reshape(x.shape());
}

namespace {

Tensor record_node(const char* name, Tensor output, const std::vector<Tensor>& inputs, bool twice,
                   BackwardFn backward) {
  if (!recording || std::ranges::none_of(inputs, wants_gradient)) return output;
  check(!output.node(), name, ": the output is already recorded");
  auto node = std::make_shared<Node>();
  node->name = name;
  node->order = next_order.fetch_add(1, std::memory_order_relaxed);
  node->shape = output.shape();
  node->dtype = output.dtype();
  node->memory = output.impl()->storage.get();
  node->offset = output.impl()->offset;
  node->twice = twice;
  node->backward = std::move(backward);
  node->edges.reserve(inputs.size());
  for (const Tensor& input : inputs) node->edges.push_back(edge_of(input));
  if (tracing) {
    node->trace = std::make_shared<Trace>();
    for (const Tensor& input : inputs)
      node->trace->constants.push_back(wants_gradient(input) ? Tensor() : input);
  }
  output.impl()->requires_grad = true;
  output.impl()->node = std::move(node);
  return output;
}

}  // namespace

Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, BackwardFn backward) {
  return record_node(name, std::move(output), inputs, false, std::move(backward));
}
Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, TwiceDifferentiable,
              BackwardFn backward) {
  return record_node(name, std::move(output), inputs, true, std::move(backward));
}

void HookHandle::remove() {
  if (const auto hook = hook_.lock()) *hook = nullptr;
}

HookHandle Tensor::register_hook(TensorHook hook) {
  check(requires_grad(), "register_hook: the tensor does not require a gradient");
  check(hook != nullptr, "register_hook: expects a function, got none");
  if (!node()) any_leaf_has_hooks = true;
  TensorHooks& hooks = node() ? node()->hooks : impl_->hooks;
  std::erase_if(hooks, [](const auto& old) { return !*old; });  // removed ones
  hooks.push_back(std::make_shared<TensorHook>(std::move(hook)));
  return HookHandle(hooks.back());
}

void Tensor::retain_grad() {
  check(requires_grad(), "retain_grad: the tensor does not require a gradient");
  if (is_leaf() || impl_->retains_grad) return;
  impl_->retains_grad = true;
  // Weak: the hook sits in the node that this tensor owns.
  register_hook([weak = std::weak_ptr<Impl>(impl_)](const Tensor& grad) {
    if (const auto impl = weak.lock()) deliver_to_leaf(*impl, grad);
    return Tensor();
  });
}

void Tensor::backward(const Tensor& grad_output, const BackwardOptions& options) const {
  check(requires_grad(), "backward: the tensor does not require a gradient: it was computed under a ",
        "NoGradGuard, or from tensors that require none");
  const GradModeGuard mode(options.create_graph);
  Pass pass("backward", options.retain_graph || options.create_graph);
  pass.start(*this, grad_output);
  pass.run();
}

std::vector<Tensor> grad(const std::vector<Tensor>& outputs, const std::vector<Tensor>& inputs,
                         const std::vector<Tensor>& grad_outputs, const GradOptions& options) {
  check(grad_outputs.empty() || grad_outputs.size() == outputs.size(),
        "grad: expects one of grad_outputs for ", "each of ", outputs.size(), " outputs, got ",
        grad_outputs.size());
  const GradModeGuard mode(options.create_graph);
  Pass pass("grad", options.retain_graph || options.create_graph);
  for (std::size_t i = 0; i < outputs.size(); ++i) {
    check(wants_gradient(outputs[i]), "grad: output ", i, " does not require a gradient: it was computed ",
          "under a NoGradGuard, or from tensors that require none");
    pass.start(outputs[i], grad_outputs.empty() ? Tensor() : grad_outputs[i]);
  }
  for (std::size_t i = 0; i < inputs.size(); ++i)
    check(wants_gradient(inputs[i]), "grad: input ", i, " does not require a gradient");
  pass.only_for(inputs, options.hooks);
  pass.run();
  std::vector<Tensor> found;
  for (std::size_t i = 0; i < inputs.size(); ++i) {
    found.push_back(pass.found(inputs[i]));
    check(options.allow_unused || found.back().defined(), "grad: no output depends on input ", i,
          "; allow_unused gives an undefined gradient for it");
  }
  return found;
}

// ---- values of kernels with the gradient of a composition ----

namespace {

std::vector<Tensor> gradients_of(const Composition& f, const std::vector<Tensor>& inputs, const Tensor& dy,
                                 bool create_graph) {
  const EnableGradGuard on;
  const AutocastGuard no_casts(f32);
  std::vector<Tensor> apart, wanted;  // a tensor given twice gets two gradients
  for (const Tensor& x : inputs) {
    apart.push_back(wants_gradient(x) ? x.reshape(x.shape()) : x);
    if (wants_gradient(x)) wanted.push_back(apart.back());
  }
  const Tensor y = f(apart).to(dy.dtype());
  std::vector<Tensor> found(inputs.size());
  if (!y.requires_grad()) return found;
  auto next = grad({y}, wanted, {dy}, {.create_graph = create_graph, .allow_unused = true});
  for (std::size_t i = 0, k = 0; i < inputs.size(); ++i)
    if (wants_gradient(inputs[i])) found[i] = next[k++];
  return found;
}

}  // namespace

Tensor record_as(const char* name, Tensor value, const std::vector<Tensor>& inputs, Composition f) {
  if (!recording) return value;
  std::vector<SavedTensor> saved(inputs.begin(), inputs.end());
  return record(name, std::move(value), inputs, twice_differentiable,
                [f = std::move(f), saved = std::move(saved)](const Tensor& dy) {
                  const bool again = grad_enabled();
                  const EnableGradGuard on;
                  std::vector<Tensor> at;
                  for (const SavedTensor& x : saved) at.push_back(x.get());
                  return gradients_of(f, at, dy, again);
                });
}

std::vector<Tensor> record_gradients(const char* name, std::vector<Tensor> gradients,
                                     const Tensor& grad_output, const std::vector<Tensor>& inputs,
                                     Composition f) {
  if (!recording) return gradients;
  std::vector<Tensor> all{grad_output};
  all.insert(all.end(), inputs.begin(), inputs.end());
  for (std::size_t i = 0; i < gradients.size(); ++i) {
    if (!gradients[i].defined()) continue;
    const auto one = [f, i](const std::vector<Tensor>& given) {
      const std::vector<Tensor> at(given.begin() + 1, given.end());
      const Tensor dx = gradients_of(f, at, given[0], true)[i];
      return dx.defined() ? dx : zeros_like(at[i]);
    };
    gradients[i] = record_as(name, gradients[i], all, one);
  }
  return gradients;
}

}  // namespace karyon
