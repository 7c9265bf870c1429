#pragma once
#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include <karyon/core/serialize.h>
#include <karyon/layers/module.h>

namespace karyon {

/// Filters of 4 dimensions are [a, kH, kW, b] in memory and [a, b, kH, kW] in files; so are those of 5, with
/// kD before kH. Convolutions (a = C_out) and transposed ones (a = C_in) are alike here. Other tensors pass
/// unchanged. save_weights() and load_weights() also exchange the dimensions of Conv1d's filters.
Tensor to_pytorch_layout(const Tensor& x);
Tensor from_pytorch_layout(const Tensor& x);

/// Writes the state as safetensors with PyTorch's names and layouts: `load_file(path)` in Python gives a
/// state dict for the same network there. Never leaves half a file (see save_safetensors).
void save_weights(const Module& module, const std::filesystem::path& path,
                  const std::map<std::string, std::string>& metadata = {});
/// Reads such a file into the module; returns its metadata. Also reads state dicts of torch.save (.pt, .pth)
/// and .npz files, see load_tensors. Throws Error naming the path if the file is damaged, does not fit (see
/// load_state_dict) or holds a NaN or an infinity. The module is then unchanged.
std::map<std::string, std::string> load_weights(Module& module, const std::filesystem::path& path,
                                                bool strict = true);
/// The same from a file that was read before; `path` is for messages.
void load_weights(Module& module, TensorFile file, const std::filesystem::path& path, bool strict = true);

/// How weights of another program come into a module of Karyon.
struct WeightsOptions {
  bool strict = true;       ///< see load_state_dict
  std::string prefix = {};  ///< takes what is below it in the file: "state_dict", say
  /// The module's name for a name of the file (without the prefix). An empty one leaves the tensor out.
  std::function<std::string(const std::string& name)> rename = nullptr;
};
/// load_weights() of a file with other names, or with more in it than weights:
///
///     load_weights(net, "checkpoint.pth", {.prefix = "state_dict", .rename = [](const std::string& name) {
///                    return name.starts_with("module.") ? name.substr(7) : name;
///                  }});
///
/// Also throws Error if two tensors get one name.
std::map<std::string, std::string> load_weights(Module& module, const std::filesystem::path& path,
                                                const WeightsOptions& options);

}  // namespace karyon
