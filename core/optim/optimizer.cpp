#include <algorithm>
#include <cmath>
#include <set>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/optimizer.h>

namespace karyon {

Optimizer::Optimizer(const char* name, std::vector<Tensor> parameters, double lr,
                     std::vector<std::string> buffer_names)
    : name_(name),
      parameters_(std::move(parameters)),
      lr_(lr),
      buffer_names_(std::move(buffer_names)),
      states_(parameters_.size()) {
  set_lr(lr);
  std::set<const void*> seen;
  for (const Tensor& p : parameters_) {
    check(p.defined() && p.is_leaf(), name_, ": expects parameters that are leaves");
    check(p.dtype() == f32 || p.dtype() == f64, name_, ": expects f32 or f64 parameters, got ", p.dtype());
    check(seen.insert(p.impl().get()).second, name_, ": a parameter of shape ", p.shape(), " is given twice");
  }
}

void Optimizer::set_lr(double lr) {
  check(std::isfinite(lr) && lr >= 0, name_, ": expects a finite learning rate >= 0, got ", lr);
  lr_ = lr;
}

void Optimizer::step() {
  const NoGradGuard no_grad;
  std::vector<Group> groups;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& p = parameters_[i];
    const Tensor grad = p.grad();
    if (!grad.defined()) continue;
    State& state = states_[i];
    if (state.buffers.empty())
      for (std::size_t b = 0; b < buffer_names_.size(); ++b) state.buffers.push_back(zeros_like(p));
    ++state.step;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const Group& g) {
      const Tensor& other = g.parameters.front();
      return g.step == state.step && other.dtype() == p.dtype() && other.device() == p.device();
    });
    if (group == groups.end())
      group = groups.insert(
          groups.end(),
          {.step = state.step, .buffers = std::vector<std::vector<Tensor>>(buffer_names_.size())});
    group->parameters.push_back(p);
    group->grads.push_back(grad);
    for (std::size_t b = 0; b < buffer_names_.size(); ++b) group->buffers[b].push_back(state.buffers[b]);
  }
  for (Group& group : groups) {
    for (Tensor& p : group.parameters) p.before_write();
    for (auto& buffers : group.buffers)
      for (Tensor& buffer : buffers) buffer.before_write();
    update(group);
  }
}

void Optimizer::zero_grad() {
  for (Tensor& p : parameters_) p.set_grad({});
}

std::map<std::string, Tensor> Optimizer::state_dict() const {
  std::map<std::string, Tensor> out{{"lr", full({}, lr_, {.dtype = f64})}};
  for (std::size_t i = 0; i < states_.size(); ++i) {
    const State& state = states_[i];
    if (state.step == 0) continue;
    const std::string prefix = std::to_string(i) + ".";
    Tensor step = empty({}, {.dtype = i64});
    step.data<std::int64_t>()[0] = state.step;
    out.emplace(prefix + "step", step);
    for (std::size_t b = 0; b < buffer_names_.size(); ++b)
      out.emplace(prefix + buffer_names_[b], state.buffers[b].detach());
  }
  return out;
}

void Optimizer::load_state_dict(const std::map<std::string, Tensor>& state) {
  const std::string op = std::string(name_) + "::load_state_dict: ";
  const auto lr = state.find("lr");
  check(lr != state.end() && lr->second.numel() == 1, op, "expects 'lr'");
  const double new_lr = lr->second.item<double>();
  check(std::isfinite(new_lr) && new_lr >= 0, op, "expects a finite learning rate >= 0, got ", new_lr);
  std::size_t used = 1;
  std::vector<State> states(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& p = parameters_[i];
    const std::string prefix = std::to_string(i) + ".";
    const auto step = state.find(prefix + "step");
    if (step == state.end()) continue;
    check(step->second.dtype() == i64 && step->second.numel() == 1, op, step->first, " expects one i64, got ",
          step->second.dtype(), step->second.shape());
    states[i].step = static_cast<std::int64_t>(step->second.to_vector<std::int64_t>()[0]);
    check(states[i].step >= 1, op, step->first, " expects 1 or more, got ", states[i].step);
    ++used;
    for (const std::string& name : buffer_names_) {
      const auto it = state.find(prefix + name);
      check(it != state.end(), op, "expects '", prefix + name, "'");
      const Tensor& x = it->second;
      check(x.shape() == p.shape() && x.dtype() == p.dtype(), op, it->first, " expects ", p.dtype(),
            p.shape(), ", got ", x.dtype(), x.shape());
      states[i].buffers.push_back(x.detach().to(p.device()).clone());
      ++used;
    }
  }
  if (used != state.size()) {
    std::set<std::string> known{"lr"};
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
      if (states[i].step == 0) continue;
      known.insert(std::to_string(i) + ".step");
      for (const std::string& name : buffer_names_) known.insert(std::to_string(i) + "." + name);
    }
    for (const auto& [name, x] : state)
      check(known.contains(name), op, "'", name, "' is unexpected for ", parameters_.size(), " parameters");
  }
  states_ = std::move(states);
  lr_ = new_lr;
}

double clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm) {
  check(std::isfinite(max_norm) && max_norm >= 0, "clip_grad_norm_: expects a finite norm >= 0, got ",
        max_norm);
  const NoGradGuard no_grad;
  std::vector<std::vector<Tensor>> groups;  // gradients of one type and device
  for (const Tensor& p : parameters) {
    const Tensor grad = p.grad();
    if (!grad.defined()) continue;
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) {
      return g[0].dtype() == grad.dtype() && g[0].device() == grad.device();
    });
    if (group == groups.end()) group = groups.insert(groups.end(), std::vector<Tensor>());
    group->push_back(grad);
  }
  double sum = 0;
  for (const std::vector<Tensor>& grads : groups) {
    Tensor squares =
        empty({static_cast<std::int64_t>(grads.size())}, {.dtype = f64, .device = grads[0].device()});
    kernels::sum_of_squares(grads, squares);
    for (const double part : squares.to_vector<double>()) sum += part;
  }
  const double norm = std::sqrt(sum);
  const double factor = max_norm / (norm + 1e-6);  // as PyTorch's: a hair below max_norm
  if (std::isfinite(norm) && factor < 1) {
    for (const Tensor& p : parameters) {
      Tensor grad = p.grad();
      if (grad.defined()) grad.mul_(factor);
    }
  }
  return norm;
}

void clip_grad_value_(const std::vector<Tensor>& parameters, double limit) {
  check(std::isfinite(limit) && limit >= 0, "clip_grad_value_: expects a finite limit >= 0, got ", limit);
  for (const Tensor& p : parameters) {
    Tensor grad = p.grad();
    if (!grad.defined()) continue;
    grad.before_write();
    kernels::limit_magnitude(limit, grad);
  }
}

}  // namespace karyon
