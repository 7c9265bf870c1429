#include <karyon/core/autocast.h>
#include <karyon/core/autograd.h>
#include <karyon/core/random.h>
#include <karyon/layers/recompute.h>

#include <algorithm>
#include <set>

namespace karyon {
namespace {

using Segment = std::function<Tensor(const std::vector<Tensor>&)>;

bool wants_gradient(const Tensor& x) { return x.defined() && x.requires_grad(); }

// Each input behind a node of its own, where its gradient is found.
std::vector<Tensor> apart(const std::vector<Tensor>& inputs) {
  std::vector<Tensor> out;
  for (const Tensor& x : inputs) out.push_back(wants_gradient(x) ? x.reshape(x.shape()) : x);
  return out;
}

// Every leaf between y and the inputs is a parameter.
void check_leaves(const Tensor& y, const std::vector<Tensor>& inputs, const std::vector<Tensor>& parameters) {
  std::set<const void*> known;
  for (const Tensor& p : parameters) known.insert(p.impl().get());
  for (const Tensor& x : inputs)
    if (wants_gradient(x)) known.insert(x.node().get());
  std::vector<const Node*> open;
  const auto reach = [&](const std::shared_ptr<Node>& node) {
    if (node && known.insert(node.get()).second) open.push_back(node.get());
  };
  if (y.defined()) reach(y.node());
  while (!open.empty()) {
    const Node* const node = open.back();
    open.pop_back();
    for (const Node::Edge& edge : node->edges) {
      reach(edge.node);
      check(!edge.leaf || known.contains(edge.leaf.get()), "checkpoint: the function uses a leaf of shape ",
            edge.leaf ? edge.leaf->shape : Shape(), " that requires a gradient; name it in .parameters");
    }
  }
}

// The surroundings of the first call, for the second.
class Surroundings {
 public:
  explicit Surroundings(const std::vector<Tensor>& buffers)
      : buffers_(buffers), random_(default_generator()), casts_(autocast_dtype()) {}

  // f(inputs), recorded. Buffers and generators are as if it had not run.
  Tensor repeat(const Segment& f, const std::vector<Tensor>& inputs) const {
    std::vector<Tensor> before;
    for (const Tensor& buffer : buffers_) before.push_back(buffer.detach().clone());
    Generator random = random_;
    const GeneratorGuard draws(random);
    const AutocastGuard casts(casts_);
    const EnableGradGuard on;
    const Tensor y = f(inputs);
    const NoGradGuard off;
    for (std::size_t i = 0; i < buffers_.size(); ++i) Tensor(buffers_[i]).copy_(before[i]);
    return y;
  }

 private:
  std::vector<Tensor> buffers_;
  Generator random_;
  DType casts_;
};

}  // namespace

Tensor checkpoint(Segment f, const std::vector<Tensor>& inputs, const RecomputeOptions& options) {
  if (!grad_enabled()) return f(inputs);
  const Surroundings surroundings(options.buffers);
  Tensor y;
  {
    // Recorded, as the second time, so that the same kernels run. The graph is not kept.
    const std::vector<Tensor> at = apart(inputs);
    const Tensor recorded = f(at);
    check_leaves(recorded, at, options.parameters);
    y = recorded.detach();
  }
  std::vector<Tensor> all = inputs;
  all.insert(all.end(), options.parameters.begin(), options.parameters.end());
  std::vector<SavedTensor> saved(all.begin(), all.end());
  return record(
      "checkpoint", y, all, twice_differentiable,
      [f = std::move(f), surroundings, count = inputs.size(), saved = std::move(saved)](const Tensor& dy) {
        const bool again = grad_enabled();
        const EnableGradGuard on;
        std::vector<Tensor> given;
        for (const SavedTensor& x : saved) given.push_back(x.get());
        const auto first_parameter = given.begin() + static_cast<std::ptrdiff_t>(count);
        std::vector<Tensor> at = apart({given.begin(), first_parameter});
        const Tensor result = surroundings.repeat(f, at);
        at.insert(at.end(), first_parameter, given.end());
        std::vector<Tensor> wanted, found(at.size());
        std::ranges::copy_if(at, std::back_inserter(wanted), wants_gradient);
        if (!wants_gradient(result)) return found;
        auto next =
            grad({result}, wanted, {dy}, {.create_graph = again, .allow_unused = true, .hooks = false});
        for (std::size_t i = 0, k = 0; i < at.size(); ++i)
          if (wants_gradient(at[i])) found[i] = next[k++];
        return found;
      });
}

Tensor checkpoint(Module& module, const Tensor& x) {
  RecomputeOptions options{.parameters = module.parameters()};
  for (const auto& [name, buffer] : module.named_buffers()) options.buffers.push_back(buffer);
  return checkpoint([&module](const std::vector<Tensor>& in) { return module(in[0]); }, {x}, options);
}

}  // namespace karyon
