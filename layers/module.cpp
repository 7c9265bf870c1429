#include <cxxabi.h>

#include <cstdlib>
#include <memory>
#include <set>
#include <typeinfo>

#include <karyon/core/autograd.h>
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
  for (const auto& [name, slot] : parameters_) f(prefix + name, *slot, true);
  for (const auto& [name, slot] : buffers_) f(prefix + name, *slot, false);
  for (const auto& [name, child] : children_) child->visit_tensors(prefix + name + ".", f);
}

std::vector<std::pair<std::string, Tensor>> Module::named_parameters() const {
  std::vector<std::pair<std::string, Tensor>> out;
  std::set<const Tensor::Impl*> seen;  // a module that is registered twice shares its parameters
  visit_tensors("", [&](const std::string& name, const Tensor& x, bool is_parameter) {
    if (is_parameter && seen.insert(x.impl().get()).second) out.emplace_back(name, x);
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
  visit_tensors("", [&](const std::string& name, const Tensor& x, bool is_parameter) {
    if (!is_parameter) out.emplace_back(name, x);
  });
  return out;
}

std::vector<std::pair<std::string, Module*>> Module::named_modules() {
  std::vector<std::pair<std::string, Module*>> out{{"", this}};
  for (auto& [name, child] : children_)
    for (auto& [below, module] : child->named_modules())
      out.emplace_back(below.empty() ? name : name + "." + below, module);
  return out;
}

StateDict Module::state_dict() const {
  StateDict out;
  visit_tensors("", [&](const std::string& name, const Tensor& x, bool) { out.emplace(name, x.detach()); });
  return out;
}

void Module::load_state_dict(const StateDict& state, bool strict) {
  std::vector<std::string> missing, unexpected, misshapen;
  std::vector<std::pair<Tensor, Tensor>> copies;
  std::map<std::string, bool> known;
  visit_tensors("", [&](const std::string& name, const Tensor& x, bool) {
    known[name] = true;
    const auto it = state.find(name);
    if (it == state.end() || !it->second.defined()) {
      missing.push_back(name);
    } else if (it->second.shape() != x.shape()) {
      misshapen.push_back(name + " expects " + text_of(x.shape()) + ", got " + text_of(it->second.shape()));
    } else {
      copies.emplace_back(x, it->second);
    }
  });
  for (const auto& [name, x] : state)
    if (!known.contains(name)) unexpected.push_back(name);
  if (!strict) missing.clear(), unexpected.clear();
  check(missing.empty() && unexpected.empty() && misshapen.empty(), "load_state_dict: ", type(),
        ": the state does not fit", listed("missing", missing), listed("unexpected", unexpected),
        listed("of another shape", misshapen));
  const NoGradGuard no_grad;
  for (auto& [to, from] : copies) to.copy_(from);
}

void Module::zero_grad() {
  for (Tensor& x : parameters()) x.set_grad({});
}

void Module::requires_grad_(bool on) {
  for (Tensor& x : parameters()) x.requires_grad_(on);
}

// Changes the tensor behind every handle, so handles held elsewhere see the change, too.
template <class F>
void Module::convert_tensors(const F& convert) {
  const NoGradGuard no_grad;
  visit_tensors("", [&](const std::string&, Tensor x, bool) {
    const Tensor y = convert(x.detach());
    const Tensor grad = x.grad().defined() ? convert(x.grad()) : Tensor();
    Tensor::Impl& impl = *x.impl();
    impl.storage = y.impl()->storage;
    impl.offset = y.impl()->offset;
    impl.dtype = y.dtype();
    x.set_grad(grad);
  });
}

void Module::to(Device device) {
  convert_tensors([&](const Tensor& x) { return x.to(device); });
}

void Module::to(DType dtype) {
  check(dtype == f32 || dtype == f64, "Module::to: expects f32 or f64, got ", dtype,
        dtype == bf16 ? "; parameters stay f32 beside activations of bf16: use AutocastGuard(bf16)" : "");
  convert_tensors([&](const Tensor& x) { return is_floating(x.dtype()) ? x.to(dtype) : x; });
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

void Module::register_module(std::string_view name, Module& child) {
  check_name(name);
  children_.emplace_back(name, &child);
  child.registered_ = true;
}

}  // namespace karyon
