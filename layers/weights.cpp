#include <algorithm>
#include <cmath>
#include <set>

#include <karyon/core/autograd.h>
#include <karyon/core/io/tensor_file.h>
#include <karyon/core/ops/layout.h>
#include <karyon/layers/conv1d.h>
#include <karyon/layers/weights.h>

namespace karyon {
namespace {

template <class T>
bool all_finite_as(const Tensor& x) {
  const T* values = x.data<T>();
  return std::all_of(values, values + x.numel(), [](T value) { return std::isfinite(value); });
}
bool all_finite(const Tensor& x) {
  if (!is_floating(x.dtype())) return true;
  if (x.dtype() != f64) return all_finite_as<float>(x.to(f32));
  return all_finite_as<double>(x);
}

// Adds the names of Conv1d's filters. Other tensors of 3 dimensions (positions of a transformer) have no other
// layout in files, so their dimensions do not tell.
void add_filters_1d(const Module& module, const std::string& prefix, std::set<std::string>& names) {
  if (dynamic_cast<const Conv1d*>(&module) || dynamic_cast<const ConvTranspose1d*>(&module))
    names.insert(prefix + "weight");
  for (const auto& [name, child] : module.named_children())
    add_filters_1d(*child, prefix + name + ".", names);
}
std::set<std::string> filters_1d(const Module& module) {
  std::set<std::string> names;
  add_filters_1d(module, "", names);
  return names;
}

}  // namespace

Tensor to_pytorch_layout(const Tensor& x) {
  return x.dim() == 4 ? permute(x, {0, 3, 1, 2}) : x.dim() == 5 ? permute(x, {0, 4, 1, 2, 3}) : x;
}
Tensor from_pytorch_layout(const Tensor& x) {
  return x.dim() == 4 ? permute(x, {0, 2, 3, 1}) : x.dim() == 5 ? permute(x, {0, 2, 3, 4, 1}) : x;
}

void save_weights(const Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  const NoGradGuard no_grad;
  TensorFile file;
  file.metadata = metadata;
  const std::set<std::string> exchanged = filters_1d(module);
  for (const auto& [name, x] : module.state_dict()) {
    const Tensor host = x.to(Device::cpu());
    file.tensors.emplace(name, exchanged.contains(name) ? transpose(host, 1, 2) : to_pytorch_layout(host));
  }
  save_safetensors(path, file);
}

std::map<std::string, std::string> load_weights(Module& module, const std::filesystem::path& path,
                                                bool strict) {
  return load_weights(module, path, WeightsOptions{.strict = strict});
}

std::map<std::string, std::string> load_weights(Module& module, const std::filesystem::path& path,
                                                const WeightsOptions& options) {
  TensorFile file = load_tensors(path, options.prefix);
  if (options.rename) {
    std::map<std::string, Tensor> renamed;
    for (auto& [name, x] : file.tensors) {
      const std::string its_name = options.rename(name);
      if (!its_name.empty())
        check(renamed.emplace(its_name, std::move(x)).second, "load_weights: ", path.string(),
              ": two tensors are renamed to '", its_name, "', one of them '", name, "'");
    }
    file.tensors = std::move(renamed);
  }
  std::map<std::string, std::string> metadata = std::move(file.metadata);
  load_weights(module, std::move(file), path, options.strict);
  return metadata;
}

void load_weights(Module& module, TensorFile file, const std::filesystem::path& path, bool strict) {
  const NoGradGuard no_grad;
  const std::set<std::string> exchanged = filters_1d(module);
  for (auto& [name, x] : file.tensors) {
    check(all_finite(x), "load_weights: ", path.string(), ": tensor '", name,
          "' holds a NaN or an infinity, expected finite weights");
    x = exchanged.contains(name) && x.dim() == 3 ? transpose(x, 1, 2) : from_pytorch_layout(x);
  }
  try {
    module.load_state_dict(file.tensors, strict);
  } catch (const Error& e) {
    throw Error("load_weights: " + path.string() + ": " + e.what());
  }
}

}  // namespace karyon
