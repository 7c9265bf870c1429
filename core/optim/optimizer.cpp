#include <algorithm>
#include <cmath>
#include <set>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/optim.h>
#include <karyon/core/optim/optimizer.h>

namespace karyon {

namespace {

void check_lr(const char* name, double lr) {
  check(std::isfinite(lr) && lr >= 0, name, ": expects a finite learning rate >= 0, got ", lr);
}

// "lr", "lr.1", "lr.2", ...
std::string lr_key(std::size_t group) { return group == 0 ? "lr" : "lr." + std::to_string(group); }

}  // namespace

Optimizer::Optimizer(const char* name, std::vector<ParamGroup> groups, const ParamGroup& defaults,
                     std::vector<std::string> buffer_names)
    : name_(name),
      defaults_{.lr = defaults.lr.value(), .weight_decay = defaults.weight_decay.value()},
      buffer_names_(std::move(buffer_names)) {
  check_lr(name_, defaults_.lr);
  check(!groups.empty(), name_, ": expects at least one group of parameters");
  for (ParamGroup& group : groups) add_group(std::move(group));
}

void Optimizer::add_group(ParamGroup group) {
  const Options options{.lr = group.lr.value_or(defaults_.lr),
                        .weight_decay = group.weight_decay.value_or(defaults_.weight_decay)};
  check_lr(name_, options.lr);
  check(options.weight_decay >= 0, name_, ": expects weight_decay >= 0, got ", options.weight_decay);
  std::set<const void*> seen;
  for (const Tensor& p : parameters_) seen.insert(p.impl().get());
  for (const Tensor& p : group.params) {
    check(p.defined() && p.is_leaf(), name_, ": expects parameters that are leaves");
    check(p.dtype() == f32 || p.dtype() == f64, name_, ": expects f32 or f64 parameters, got ", p.dtype());
    check(seen.insert(p.impl().get()).second, name_, ": a parameter of shape ", p.shape(), " is given twice");
  }
  parameters_.insert(parameters_.end(), group.params.begin(), group.params.end());
  group_of_.resize(parameters_.size(), groups_.size());
  states_.resize(parameters_.size());
  groups_.push_back(options);
}

double Optimizer::lr(std::size_t group) const {
  check(group < groups_.size(), name_, ": group ", group, " of ", groups_.size());
  return groups_[group].lr;
}

double Optimizer::weight_decay(std::size_t group) const {
  check(group < groups_.size(), name_, ": group ", group, " of ", groups_.size());
  return groups_[group].weight_decay;
}

void Optimizer::set_lr(double lr, std::size_t group) {
  check(group < groups_.size(), name_, ": group ", group, " of ", groups_.size());
  check_lr(name_, lr);
  groups_[group].lr = lr;
}

void Optimizer::set_lr(double lr) {
  for (std::size_t g = 0; g < groups_.size(); ++g) set_lr(lr, g);
}

std::vector<Optimizer::Bundle> Optimizer::bundles() {
  std::vector<Bundle> out;
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& p = parameters_[i];
    const Tensor grad = p.grad();
    if (!grad.defined()) continue;
    State& state = states_[i];
    if (state.buffers.empty())
      for (std::size_t b = 0; b < buffer_names_.size(); ++b) state.buffers.push_back(zeros_like(p));
    ++state.step;
    auto bundle = std::find_if(out.begin(), out.end(), [&](const Bundle& other) {
      const Tensor& first = other.parameters.front();
      return other.step == state.step && other.group == group_of_[i] && first.dtype() == p.dtype() &&
             first.device() == p.device();
    });
    if (bundle == out.end()) {
      const Options& options = groups_[group_of_[i]];
      bundle = out.insert(out.end(), {.step = state.step,
                                      .group = group_of_[i],
                                      .lr = options.lr,
                                      .weight_decay = options.weight_decay,
                                      .buffers = std::vector<std::vector<Tensor>>(buffer_names_.size())});
    }
    bundle->parameters.push_back(p);
    bundle->grads.push_back(grad);
    for (std::size_t b = 0; b < buffer_names_.size(); ++b) bundle->buffers[b].push_back(state.buffers[b]);
  }
  return out;
}

void Optimizer::step() {
  const NoGradGuard no_grad;
  for (Bundle& bundle : bundles()) {
    for (Tensor& p : bundle.parameters) p.before_write();
    for (auto& buffers : bundle.buffers)
      for (Tensor& buffer : buffers) buffer.before_write();
    update(bundle);
  }
}

void Optimizer::zero_grad() {
  for (Tensor& p : parameters_) p.set_grad({});
}

std::map<std::string, Tensor> Optimizer::state_dict() const {
  std::map<std::string, Tensor> out;
  for (std::size_t g = 0; g < groups_.size(); ++g)
    out.emplace(lr_key(g), full({}, groups_[g].lr, {.dtype = f64}));
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
  std::set<std::string> known;
  const auto entry = [&](const std::string& name) -> const Tensor& {
    const auto it = state.find(name);
    check(it != state.end(), op, "expects '", name, "'");
    known.insert(name);
    return it->second;
  };
  std::vector<double> rates;
  for (std::size_t g = 0; g < groups_.size(); ++g) {
    const Tensor& lr = entry(lr_key(g));
    check(lr.numel() == 1, op, "expects '", lr_key(g), "' to be one number, got ", lr.shape());
    rates.push_back(lr.item<double>());
    check(std::isfinite(rates[g]) && rates[g] >= 0, op, "expects a finite learning rate >= 0, got ",
          rates[g]);
  }
  std::vector<State> states(parameters_.size());
  for (std::size_t i = 0; i < parameters_.size(); ++i) {
    const Tensor& p = parameters_[i];
    const std::string prefix = std::to_string(i) + ".";
    if (!state.contains(prefix + "step")) continue;
    const Tensor& step = entry(prefix + "step");
    check(step.dtype() == i64 && step.numel() == 1, op, prefix, "step expects one i64, got ", step.dtype(),
          step.shape());
    states[i].step = step.item<std::int64_t>();
    check(states[i].step >= 1, op, prefix, "step expects 1 or more, got ", states[i].step);
    for (const std::string& name : buffer_names_) {
      const Tensor& x = entry(prefix + name);
      check(x.shape() == p.shape() && x.dtype() == p.dtype(), op, prefix, name, " expects ", p.dtype(),
            p.shape(), ", got ", x.dtype(), x.shape());
      states[i].buffers.push_back(x.detach().to(p.device()).clone());
    }
  }
  for (const auto& [name, x] : state)
    check(known.contains(name), op, "'", name, "' is unexpected for ", parameters_.size(), " parameters");
  states_ = std::move(states);
  for (std::size_t g = 0; g < groups_.size(); ++g) groups_[g].lr = rates[g];
}

Tensor clip_grad_norm_(const std::vector<Tensor>& parameters, double max_norm) {
  check(std::isfinite(max_norm) && max_norm >= 0, "clip_grad_norm_: expects a finite norm >= 0, got ",
        max_norm);
  const NoGradGuard no_grad;
  std::vector<std::vector<Tensor>> groups;  // gradients of one type and device
  for (const Tensor& p : parameters) {
    Tensor grad = p.grad();
    if (!grad.defined()) continue;
    grad.before_write();
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) {
      return g[0].dtype() == grad.dtype() && g[0].device() == grad.device();
    });
    if (group == groups.end()) group = groups.insert(groups.end(), std::vector<Tensor>());
    group->push_back(grad);
  }
  std::vector<Tensor> squares;
  for (const std::vector<Tensor>& grads : groups) {
    squares.push_back(
        empty({static_cast<std::int64_t>(grads.size())}, {.dtype = f64, .device = grads[0].device()}));
    kernels::sum_of_squares(grads, squares.back());
  }
  if (squares.empty()) return zeros({}, {.dtype = f64});
  // Gradients of one kind, the usual case, stay where they are: the host does not wait for their norm.
  Tensor all = squares[0];
  if (squares.size() > 1) {
    std::vector<double> values;
    for (const Tensor& part : squares)
      for (const double value : part.to_vector<double>()) values.push_back(value);
    all = empty({static_cast<std::int64_t>(values.size())}, {.dtype = f64});
    std::ranges::copy(values, all.data<double>());
  }
  Tensor norm = empty({}, {.dtype = f64, .device = all.device()});
  kernels::root_of_sum(all, norm);
  for (std::vector<Tensor>& grads : groups) kernels::limit_norm(max_norm, norm.to(grads[0].device()), grads);
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
