#include <karyon/core/after_backward.h>
#include <karyon/core/autograd.h>
#include <karyon/core/lazy.h>
#include <karyon/core/profiler.h>
#include <karyon/core/storage.h>

#include <atomic>
#include <map>
#include <mutex>
#include <new>
#include <unordered_set>
#include <utility>

namespace karyon {
namespace {

std::atomic<std::uint64_t> next_order{1};
thread_local bool recording = true;

// The contents of a dying node. Freeing it can kill further nodes; a queue keeps a graph of any depth from
// recursing through their destructors.
struct Remains {
  std::vector<Node::Edge> edges;
  BackwardFn backward;
};
thread_local std::vector<Remains>* burying = nullptr;

Tensor call_hooks(const std::vector<TensorHook>& hooks, Tensor grad) {
  for (const TensorHook& hook : hooks) {
    Tensor replaced = hook(grad);
    if (!replaced.defined()) continue;
    check(replaced.shape() == grad.shape() && replaced.dtype() == grad.dtype(),
          "hook: expects a gradient of ", grad.dtype(), grad.shape(), ", got ", replaced.dtype(),
          replaced.shape());
    grad = std::move(replaced);
  }
  return grad;
}

// sum += grad. It works in place only if nothing else shares the memory.
void accumulate(Tensor& sum, Tensor grad) {
  if (!sum.defined()) {
    sum = std::move(grad);
    return;
  }
  if (!sum.owns_storage_alone()) sum = sum.clone();
  sum.add_(grad);
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

// Leaves with hooks. A hook sees the whole gradient, so it waits for the last use of its leaf, and no longer:
// what it begins goes on while backward does.
class HookedLeaves {
 public:
  using Leaf = std::shared_ptr<Tensor::Impl>;

  explicit HookedLeaves(const Node::Edge& start) {
    if (!any_leaf_has_hooks) return;
    std::unordered_set<const Node*> seen;
    std::vector<const Node*> open;
    const auto follow = [&](const Node::Edge& edge) {
      if (edge.node && seen.insert(edge.node.get()).second) open.push_back(edge.node.get());
      if (edge.leaf && !edge.leaf->hooks.empty()) ++leaves_[edge.leaf].uses;
    };
    follow(start);
    while (!open.empty()) {
      const Node* node = open.back();
      open.pop_back();
      for (const Node::Edge& edge : node->edges) follow(edge);
    }
  }

  void add(const Leaf& leaf, Tensor grad) { accumulate(leaves_[leaf].grad, std::move(grad)); }

  // One of its uses was walked, with a gradient or without.
  void used(const Leaf& leaf) {
    const auto found = leaves_.find(leaf);
    if (found == leaves_.end() || --found->second.uses > 0) return;
    auto entry = leaves_.extract(found);
    deliver(*leaf, std::move(entry.mapped().grad));
  }

  // Those of which a use was never reached.
  void finish() {
    for (auto& [leaf, entry] : leaves_) deliver(*leaf, std::move(entry.grad));
  }

 private:
  struct Entry {
    std::int64_t uses = 0;
    Tensor grad;
  };

  static void deliver(Tensor::Impl& leaf, Tensor grad) {
    if (grad.defined()) deliver_to_leaf(leaf, call_hooks(leaf.hooks, std::move(grad)));
  }

  std::map<Leaf, Entry> leaves_;
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
NoGradGuard::NoGradGuard() : before_(recording) { recording = false; }
NoGradGuard::~NoGradGuard() { recording = before_; }

SavedTensor::SavedTensor(const Tensor& x) {
  if (!x.defined()) return;
  // A detached tensor is saved by its memory. So is a view: it has another shape, or is a part.
  if (x.node()) recipe_ = x.impl()->storage->recipe();
  if (recipe_ && recipe_->shape() == x.shape()) return;
  recipe_ = nullptr;
  tensor_ = x.detach();
  version_ = x.version();
}

Tensor SavedTensor::get() const {
  if (recipe_) return lazy_tensor(recipe_);
  check(!tensor_.defined() || tensor_.version() == version_, "backward: a tensor of shape ",
        tensor_.defined() ? tensor_.shape() : Shape(),
        " that the gradient needs was changed in place after it was used");
  return tensor_;
}

Tensor record(const char* name, Tensor output, const std::vector<Tensor>& inputs, BackwardFn backward) {
  if (!recording) return output;
  bool wanted = false;
  for (const Tensor& input : inputs) wanted = wanted || (input.defined() && input.requires_grad());
  if (!wanted) return output;
  check(!output.node(), name, ": the output is already recorded");
  auto node = std::make_shared<Node>();
  node->name = name;
  node->order = next_order.fetch_add(1, std::memory_order_relaxed);
  node->shape = output.shape();
  node->dtype = output.dtype();
  node->backward = std::move(backward);
  node->edges.reserve(inputs.size());
  for (const Tensor& input : inputs) {
    Node::Edge edge;
    if (input.defined() && input.requires_grad()) {
      edge.node = input.node();
      if (!edge.node) edge.leaf = input.impl();
    }
    node->edges.push_back(std::move(edge));
  }
  output.impl()->requires_grad = true;
  output.impl()->node = std::move(node);
  return output;
}

void Tensor::register_hook(TensorHook hook) {
  check(requires_grad(), "register_hook: the tensor does not require a gradient");
  check(hook != nullptr, "register_hook: expects a function, got none");
  if (!node()) any_leaf_has_hooks = true;
  (node() ? node()->hooks : impl_->hooks).push_back(std::move(hook));
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

// The newest node first: by then every consumer of its output has already run.
void Tensor::backward(const Tensor& grad_output) const {
  check(requires_grad(), "backward: the tensor does not require a gradient: it was computed under a ",
        "NoGradGuard, or from tensors that require none");
  const NoGradGuard no_grad;
  Tensor seed = grad_output;
  if (!seed.defined()) {
    check(numel() == 1, "backward: a tensor of shape ", shape(), " needs an explicit grad_output");
    seed = ones_like(*this);
  }
  check(seed.shape() == shape() && seed.dtype() == dtype(), "backward: grad_output expects ", dtype(),
        shape(), ", got ", seed.dtype(), seed.shape());

  struct Pending {
    std::shared_ptr<Node> node;
    Tensor grad;
  };
  std::map<std::uint64_t, Pending, std::greater<>> pending;
  const Node::Edge start = node() ? Node::Edge{node(), nullptr} : Node::Edge{nullptr, impl_};
  Callbacks after;
  HookedLeaves hooked(start);
  auto deliver = [&](const Node::Edge& edge, Tensor grad, const char* from) {
    if (!grad.defined()) return;
    if (edge.node) {
      check(grad.shape() == edge.node->shape && grad.dtype() == edge.node->dtype, from, ": gradient ",
            grad.dtype(), grad.shape(), " for a tensor ", edge.node->dtype, edge.node->shape);
      Pending& entry = pending[edge.node->order];
      entry.node = edge.node;
      accumulate(entry.grad, std::move(grad));
    } else if (edge.leaf) {
      check(grad.shape() == edge.leaf->shape && grad.dtype() == edge.leaf->dtype, from, ": gradient ",
            grad.dtype(), grad.shape(), " for a leaf ", edge.leaf->dtype, edge.leaf->shape);
      if (edge.leaf->hooks.empty()) {
        deliver_to_leaf(*edge.leaf, std::move(grad));
      } else {
        hooked.add(edge.leaf, std::move(grad));
      }
    }
  };

  deliver(start, std::move(seed), "backward");
  while (!pending.empty()) {
    Pending next = std::move(pending.extract(pending.begin()).mapped());
    Node& node = *next.node;
    check(node.backward != nullptr, node.name,
          ": backward through a graph that is already freed; for several losses over one graph call backward "
          "on their sum");
    next.grad = call_hooks(node.hooks, std::move(next.grad));
    const ProfileRange range(node.name, true);
    std::vector<Tensor> grads = node.backward(next.grad);
    node.backward = nullptr;  // frees what forward saved
    next.grad = Tensor();
    check(grads.size() == node.edges.size(), node.name, ": backward gave ", grads.size(), " gradients for ",
          node.edges.size(), " inputs");
    for (std::size_t i = 0; i < grads.size(); ++i) {
      deliver(node.edges[i], std::move(grads[i]), node.name);
      if (node.edges[i].leaf) hooked.used(node.edges[i].leaf);
    }
    node.edges.clear();
  }
  hooked.finish();
  after.run();
}

}  // namespace karyon
