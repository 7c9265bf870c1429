#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include <karyon/core/tensor.h>

namespace karyon {

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

  double lr() const { return lr_; }
  /// Throws Error unless lr is finite and not negative.
  void set_lr(double lr);
  const std::vector<Tensor>& parameters() const { return parameters_; }

  /// The state of step(), by name: "lr", and per parameter "3.step", "3.exp_avg", ... Shares memory with the
  /// optimizer: clone() to keep. Loading it into an optimizer over the same parameters continues bit for bit.
  std::map<std::string, Tensor> state_dict() const;
  /// Copies a state in; checks everything before it changes anything. Throws Error for names, shapes or
  /// types that do not fit.
  void load_state_dict(const std::map<std::string, Tensor>& state);

 protected:
  struct State {
    std::int64_t step = 0;        // updates of this parameter so far
    std::vector<Tensor> buffers;  // one per name in buffer_names_; empty before the first update
  };

  /// Parameters that are updated together. They have one type and device and are all at the same step.
  struct Group {
    std::int64_t step;
    std::vector<Tensor> parameters, grads;
    std::vector<std::vector<Tensor>> buffers;  // by name, then as the parameters
  };

  Optimizer(const char* name, std::vector<Tensor> parameters, double lr,
            std::vector<std::string> buffer_names);
  virtual void update(Group& group) = 0;

 private:
  const char* name_;
  std::vector<Tensor> parameters_;
  double lr_;
  std::vector<std::string> buffer_names_;
  std::vector<State> states_;
};

/// Scales all gradients so that the norm of all of them together is at most max_norm; returns the norm
/// before. A norm that is not finite is returned and nothing is scaled. Same bits at any thread count.
double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm);

/// Limits every element of every gradient to [-limit, limit].
void clip_grad_value_(const std::vector<Tensor>& parameters, double limit);

}  // namespace karyon
