#pragma once
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

/// Parameters with options of their own, as one of PyTorch's param_groups. What is not given is the
/// optimizer's:
///
///     SGD sgd({{.params = body.parameters()}, {.params = head.parameters(), .lr = 1e-2}}, {.lr = 1e-3});
struct ParamGroup {
  std::vector<Tensor> params;
  std::optional<double> lr = std::nullopt;
  std::optional<double> weight_decay = std::nullopt;
};

/// Changes parameters along their gradients. A parameter without a gradient is left alone.
class Optimizer {
 public:
  virtual ~Optimizer() = default;
  Optimizer(const Optimizer&) = delete;
  Optimizer& operator=(const Optimizer&) = delete;

  /// One update of all parameters, in one pass over the memory of each. Same bits at any thread count.
  void step();
  /// Forgets all gradients.
  void zero_grad();

  /// The rate of a group. Throws Error if there is no such group.
  double lr(std::size_t group = 0) const;
  /// Sets the rate of every group. Throws Error unless lr is finite and not negative.
  void set_lr(double lr);
  /// Sets the rate of one group.
  void set_lr(double lr, std::size_t group);
  double weight_decay(std::size_t group = 0) const;

  /// Groups of parameters: 1 unless more were given.
  std::size_t groups() const { return groups_.size(); }
  /// Adds parameters, as torch.optim.Optimizer.add_param_group. Schedules that exist do not change their rate.
  void add_group(ParamGroup group);
  /// The parameters of all groups, in order.
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// The state of step(), by name: "lr", and per parameter "3.step", "3.exp_avg", ... Further groups have
  /// "lr.1", "lr.2", ... Shares memory with the optimizer: clone() to keep. Loading it into an optimizer over
  /// the same parameters continues bit for bit.
  std::map<std::string, Tensor> state_dict() const;
  /// Copies a state in; checks everything before it changes anything. Throws Error for names, shapes or
  /// types that do not fit.
  void load_state_dict(const std::map<std::string, Tensor>& state);

 protected:
  struct State {
    std::int64_t step = 0;        // updates of this parameter so far
    std::vector<Tensor> buffers;  // one per name in buffer_names_; empty before the first update
  };

  /// Parameters that are updated together. They have one type, device and ParamGroup and are all at the same
  /// step.
  struct Bundle {
    std::int64_t step;
    std::size_t group;
    double lr, weight_decay;
    std::vector<Tensor> parameters, grads;
    std::vector<std::vector<Tensor>> buffers;  // by name, then as the parameters
  };

  /// `defaults` has no parameters and all options: those of groups that do not say.
  Optimizer(const char* name, std::vector<ParamGroup> groups, const ParamGroup& defaults,
            std::vector<std::string> buffer_names);
  virtual void update(Bundle& bundle) = 0;

 private:
  struct Options {
    double lr, weight_decay;
  };

  std::vector<Bundle> bundles();

  const char* name_;
  Options defaults_;
  std::vector<Options> groups_;
  std::vector<Tensor> parameters_;
  std::vector<std::size_t> group_of_;  // by parameter
  std::vector<std::string> buffer_names_;
  std::vector<State> states_;
};

/// Scales all gradients so that the norm of all of them together is at most max_norm; returns the norm
/// before, f64 [], where the gradients are. A norm that is not finite is returned and nothing is scaled. Same
/// bits at any thread count.
Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm);

/// Limits every element of every gradient to [-limit, limit].
void clip_grad_value_(const std::vector<Tensor>& parameters, double limit);

}  // namespace karyon
