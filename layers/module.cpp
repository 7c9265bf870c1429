#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <optional>
#include <set>
#include <typeinfo>

#include <karyon/core/autograd.h>
#include <karyon/core/profiler.h>
#include <karyon/core/random.h>
#include <karyon/layers/call_observer.h>
#include <karyon/layers/module.h>

namespace karyon {
namespace {

// The module whose forward runs on this thread, or null.
thread_local const Module* calling = nullptr;

struct Calling {
  explicit Calling(const Module* module) : before(std::exchange(calling, module)) {}
  ~Calling() { calling = before; }
  const Module* before;
};

/// "2 missing: a, b", or nothing; a long list is cut.
std::string listed(const char* what, const std::vector<std::string>& names) {
  constexpr std::size_t shown = 12;
  if (names.empty()) return "";
  std::string text = "; " + std::to_string(names.size()) + " " + what + ": ";
  for (std::size_t i = 0; i < names.size() && i < shown; ++i) text += (i ? ", " : "") + names[i];
  if (names.size() > shown) text += ", and " + std::to_string(names.size() - shown) + " more";
  return text;
}

std::string text_of(const Shape& shape) {
  std::ostringstream os;
  os << shape;
  return os.str();
}

}  // namespace

Tensor Module::forward(Tensor) { throw Error(type() + ": has no forward of one input"); }

Tensor Module::operator()(Tensor x) {
  if (calling != nullptr && !registered_) check_registered(*calling);
  const Calling guard(this);
  std::optional<ProfileRange> range;
  if (profiling()) range.emplace(type());
  CallObserver* const observer = CallObserver::current();
  if (observer == nullptr) return forward(std::move(x));
  const Shape input = x.shape();
  Tensor y = forward(std::move(x));
  observer->called(*this, input, y);
  return y;
}

void Module::check_registered(const Module& caller) const {
  if (!grad_enabled()) return;
  for (const Tensor& x : parameters())
    check(!x.requires_grad(), caller.type(), " calls a ", type(),
          " that it did not register: call register_module(\"name\", member) in its constructor");
}

void Module::train(bool on) {
  training_ = on;
  for (auto& [name, child] : children_) child->train(on);
}

template <class F>
void Module::visit_tensors(const std::string& prefix, const F& f) const {
  for (const auto& [name, slot] : parameters_) f(prefix + name, *slot, Kind::parameter);
  for (const auto& [name, slot] : buffers_) {
    const bool counts = std::find(counters_.begin(), counters_.end(), slot) != counters_.end();
    f(prefix + name, *slot, counts ? Kind::counter : Kind::buffer);
  }
  for (const auto& [name, child] : children_) child->visit_tensors(prefix + name + ".", f);
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() const {
  std::vector<std::pair<std::string, Tensor>> out;
  std::set<const Tensor::Impl*> seen;  // a module that is registered twice shares its parameters
  visit_tensors("", [&](const std::string& name, const Tensor& x, Kind kind) {
    if (kind == Kind::parameter && seen.insert(x.impl().get()).second) out.emplace_back(name, x);
  });
  return out;
}

std::vector<Tensor> Module::parameters() const {
  std::vector<Tensor> out;
  for (auto& [name, x] : named_parameters()) out.push_back(x);
  return out;
}

std::vector<std::pair<std::string, Tensor>> Module::named_buffers() const {
  std::vector<std::pair<std::string, Tensor>> out;
  std::set<const Tensor::Impl*> seen;
  visit_tensors("", [&](const std::string& name, const Tensor& x, Kind kind) {
    if (kind != Kind::parameter && seen.insert(x.impl().get()).second) out.emplace_back(name, x);
  });
  return out;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> out{{"", this}};
  std::set<const Module*> seen{this};
  for (auto& [name, child] : children_)
    for (auto& [below, module] : child->named_modules())
      if (seen.insert(module).second) out.emplace_back(below.empty() ? name : name + "." + below, module);
  return out;
}

StateDict Module::state_dict() const {
  StateDict out;
  visit_tensors("", [&](const std::string& name, const Tensor& x, Kind) { out.emplace(name, x.detach()); });
  return out;
}

void Module::check_state_dict(const StateDict& state, bool strict) const {
  std::vector<std::string> missing, unexpected, misshapen;
  std::set<std::string> known;
  visit_tensors("", [&](const std::string& name, const Tensor& x, Kind) {
    known.insert(name);
    const auto it = state.find(name);
    if (it == state.end() || !it->second.defined()) {
      missing.push_back(name);
    } else if (it->second.shape() != x.shape()) {
      misshapen.push_back(name + " expects " + text_of(x.shape()) + ", got " + text_of(it->second.shape()));
    }
  });
  for (const auto& [name, x] : state)
    if (!known.contains(name)) unexpected.push_back(name);
  if (!strict) missing.clear(), unexpected.clear();
  check(missing.empty() && unexpected.empty() && misshapen.empty(), "load_state_dict: ", type(),
        ": the state does not fit", listed("missing", missing), listed("unexpected", unexpected),
        listed("of another shape", misshapen));
}

void Module::load_state_dict(const StateDict& state, bool strict) {
  check_state_dict(state, strict);
  const NoGradGuard no_grad;
  visit_tensors("", [&](const std::string& name, Tensor x, Kind) {
    const auto it = state.find(name);
    if (it != state.end() && it->second.defined()) x.copy_(it->second);
  });
}

// ---- copies

std::unique_ptr<Module> Module::rebuilt() const {
  throw Error("clone: " + type() + " does not say how it is built: override rebuilt() to return " +
              "std::make_unique<" + type() + ">(the arguments that built it)");
}

std::unique_ptr<Module> Module::clone() const {
  Generator scratch;  // the initial values are replaced, and the caller's generator is left alone
  const GeneratorGuard guard(scratch);
  std::unique_ptr<Module> copy = rebuilt();
  check(copy != nullptr, "clone: rebuilt() of ", type(), " gave none");
  Copies copies;
  copy->take_state(*this, copies);
  return copy;
}

namespace {

template <class Slots>
bool same_names(const Slots& a, const Slots& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(),
                    [](const auto& x, const auto& y) { return x.first == y.first; });
}

// Changes the tensor behind every handle, so handles held elsewhere see the change, too.
void replace_values(Tensor& x, const Tensor& values) {
  Tensor::Impl& impl = *x.impl();
  impl.storage = values.impl()->storage;
  impl.offset = values.impl()->offset;
  impl.dtype = values.dtype();
}

// `copies` holds what was copied before: tensors that share their values still share them.
void copy_tensor(const Tensor& from, Tensor& to, std::map<const Tensor::Impl*, Tensor>& copies) {
  if (!from.defined()) {
    to = Tensor();
    return;
  }
  if (const auto known = copies.find(from.impl().get()); known != copies.end()) {
    to = known->second;
    return;
  }
  // rebuilt() may share what the module shares no longer.
  if (std::ranges::any_of(copies, [&](const auto& copy) { return copy.second.impl() == to.impl(); }))
    to = to.detach();
  copies.emplace(from.impl().get(), to);
  replace_values(to, from.detach().clone());
  if (to.requires_grad() != from.requires_grad()) to.requires_grad_(from.requires_grad());
}

}  // namespace

void Module::take_state(const Module& from, Copies& copies) {
  const NoGradGuard no_grad;
  check(typeid(*this) == typeid(from), "clone: rebuilt() gave a ", type(), " for a ", from.type(),
        ": override it in ", from.type());
  check(same_names(parameters_, from.parameters_) && same_names(buffers_, from.buffers_) &&
            same_names(children_, from.children_),
        "clone: rebuilt() gave a ", type(), " with other parameters, buffers or children: pass it the ",
        "arguments that built the module");
  const auto copy_all = [&](auto& to, const auto& all) {
    for (std::size_t i = 0; i < to.size(); ++i) {
      const Tensor& x = *all[i].second;
      const Shape shape = to[i].second->shape();
      check(!x.defined() || shape == x.shape(), "clone: rebuilt() gave a ", type(), " whose '", all[i].first,
            "' is ", shape, ", expected ", x.defined() ? x.shape() : shape);
      copy_tensor(x, *to[i].second, copies);
    }
  };
  copy_all(parameters_, from.parameters_);
  copy_all(buffers_, from.buffers_);
  training_ = from.training_;
  for (std::size_t i = 0; i < children_.size(); ++i)
    children_[i].second->take_state(*from.children_[i].second, copies);
}

// ---- conversion

void Module::zero_grad() {
  for (Tensor& x : parameters()) x.set_grad({});
}

void Module::requires_grad_(bool on) {
  for (Tensor& x : parameters()) x.requires_grad_(on);
}

template <class F>
void Module::convert_tensors(const F& convert) {
  const NoGradGuard no_grad;
  visit_tensors("", [&](const std::string&, Tensor x, Kind kind) {
    const Tensor y = convert(x.detach(), kind);
    const Tensor grad = x.grad().defined() ? convert(x.grad(), kind) : Tensor();
    replace_values(x, y);
    x.set_grad(grad);
  });
}

void Module::to(Device device) {
  convert_tensors([&](const Tensor& x, Kind kind) { return kind == Kind::counter ? x : x.to(device); });
}

void Module::to(DType dtype) {
  check(dtype == f32 || dtype == f64, "Module::to: expects f32 or f64, got ", dtype,
        dtype == bf16 ? "; parameters stay f32 beside activations of bf16: use AutocastGuard(bf16)" : "");
  convert_tensors([&](const Tensor& x, Kind) { return is_floating(x.dtype()) ? x.to(dtype) : x; });
}

std::int64_t Module::multiply_adds(const Shape&, const Shape&) const { return 0; }

std::string Module::type() const {
  const char* mangled = typeid(*this).name();
  int status = 0;
  const std::unique_ptr<char, void (*)(void*)> text(abi::__cxa_demangle(mangled, nullptr, nullptr, &status),
                                                    std::free);
  std::string full = status == 0 ? text.get() : mangled;
  if (full.ends_with('>')) full.resize(full.find('<'));
  const std::size_t colon = full.rfind("::");
  return colon == std::string::npos ? full : full.substr(colon + 2);
}

void Module::check_name(std::string_view name) const {
  check(!name.empty() && name.find('.') == std::string_view::npos, type(),
        ": expects a name without dots that is not empty, got '", name, "'");
  auto taken = [&](const auto& list) {
    for (const auto& [other, slot] : list)
      if (other == name) return true;
    return false;
  };
  check(!taken(parameters_) && !taken(buffers_) && !taken(children_), type(), ": '", name,
        "' is registered already");
}

void Module::register_parameter(std::string_view name, Tensor& parameter) {
  check_name(name);
  if (!parameter.defined()) return;
  parameter.requires_grad_();
  parameters_.emplace_back(name, &parameter);
}

void Module::register_buffer(std::string_view name, Tensor& buffer) {
  check_name(name);
  if (buffer.defined()) buffers_.emplace_back(name, &buffer);
}

void Module::register_counter(std::string_view name, Tensor& counter) {
  register_buffer(name, counter);
  counters_.push_back(&counter);
}

bool Module::holds(const Module& other) const {
  if (this == &other) return true;
  for (const auto& [name, child] : children_)
    if (child->holds(other)) return true;
  return false;
}

void Module::register_module(std::string_view name, Module& child) {
  check_name(name);
  check(&child != this, type(), ": '", name, "' is the module itself, which cannot be its own child");
  check(!child.holds(*this), type(), ": '", name, "' is a ", child.type(),
        " that holds this module: modules cannot form a cycle");
  children_.emplace_back(name, &child);
  child.registered_ = true;
}

}  // namespace karyon
