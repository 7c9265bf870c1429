#include "app/shrink.h"

#include <cstdio>

#include "inference/segmenter.h"

namespace nuclei {

void shrink(const std::filesystem::path& model, const std::filesystem::path& out) {
  const Segmenter checked(model, karyon::Device::cpu());
  karyon::TensorFile file = karyon::load_safetensors(model);
  for (auto& [name, tensor] : file.tensors)
    if (tensor.dim() == 4 && tensor.dtype() == karyon::f32) tensor = tensor.to(karyon::bf16);
  karyon::save_safetensors(out, file);
  std::printf("%s: %.1f MB, from %.1f MB\n", out.string().c_str(),
              static_cast<double>(std::filesystem::file_size(out)) / 1e6,
              static_cast<double>(std::filesystem::file_size(model)) / 1e6);
}

}  // namespace nuclei
