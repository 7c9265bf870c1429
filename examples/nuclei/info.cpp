#include "info.h"

#include <cstdio>
#include <iostream>

#include <karyon/karyon.h>

namespace nuclei {

void info(const std::filesystem::path& file) {
  const karyon::TensorFile contents = karyon::load_safetensors(file);
  std::int64_t values = 0;
  for (const auto& [name, tensor] : contents.tensors) values += tensor.numel();
  std::printf("%s: %zu tensors, %lld values\n", file.string().c_str(), contents.tensors.size(),
              static_cast<long long>(values));
  for (const auto& [key, value] : contents.metadata) std::printf("  %-22s %s\n", key.c_str(), value.c_str());
  if (contents.metadata.contains("karyon.model")) {
    const auto model = karyon::load_unet(file);
    std::printf("\nfor an image of 256 x 256:\n");
    std::cout << karyon::summary(*model, {1, 256, 256, model->options.in_channels});
  } else {
    for (const auto& [name, tensor] : contents.tensors) {
      std::cout << "  " << name << "  " << tensor.dtype() << ' ' << tensor.shape() << '\n';
    }
  }
}

}  // namespace nuclei
