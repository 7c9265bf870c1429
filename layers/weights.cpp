#include <cmath>

#include <karyon/core/autograd.h>
#include <karyon/core/io/tensor_file.h>
#include <karyon/core/ops/layout.h>
#include <karyon/layers/weights.h>

namespace karyon {
namespace {

bool all_finite(const Tensor& x) {
  if (!is_floating(x.dtype())) return true;
  return dispatch_all(x.dtype(), [&]<class T>() {
    if constexpr (std::is_same_v<T, float> || std::is_same_v<T, double> || std::is_same_v<T, BFloat16>) {
      const T* values = x.data<T>();
      for (std::int64_t i = 0; i < x.numel(); ++i)
        if (!std::isfinite(static_cast<double>(
                static_cast<std::conditional_t<std::is_same_v<T, double>, double, float>>(values[i]))))
          return false;
    }
    return true;
  });
}

}  // namespace

Tensor to_pytorch_layout(const Tensor& x) { return x.dim() == 4 ? permute(x, {0, 3, 1, 2}) : x; }
Tensor from_pytorch_layout(const Tensor& x) { return x.dim() == 4 ? permute(x, {0, 2, 3, 1}) : x; }

void save_weights(const Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata) {
  const NoGradGuard no_grad;
  TensorFile file;
  file.metadata = metadata;
  for (const auto& [name, x] : module.state_dict())
    file.tensors.emplace(name, to_pytorch_layout(x.to(Device::cpu())));
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
  for (auto& [name, x] : file.tensors) {
    check(all_finite(x), "load_weights: ", path.string(), ": tensor '", name,
          "' holds a NaN or an infinity, expected finite weights");
    x = from_pytorch_layout(x);
  }
  try {
    module.load_state_dict(file.tensors, strict);
  } catch (const Error& e) {
    throw Error("load_weights: " + path.string() + ": " + e.what());
  }
}

}  // namespace karyon
