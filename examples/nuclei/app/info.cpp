#include "app/info.h"

#include <cstdio>
#include <iostream>
#include <sstream>

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

void list_devices() {
  auto show = [](karyon::DeviceType type) {
    for (const karyon::DeviceInfo& found : karyon::backend(type).devices()) {
      std::ostringstream device;
      device << found.device;
      std::printf("%-7s %s, %.1f GiB\n", device.str().c_str(), found.name.c_str(),
                  static_cast<double>(found.memory) / (1 << 30));
    }
  };
  show(karyon::DeviceType::cpu);
  if (const std::string why = karyon::why_unavailable(karyon::DeviceType::cuda); why.empty()) {
    show(karyon::DeviceType::cuda);
  } else {
    std::printf("cuda    not used: %s\n", why.c_str());
  }
}

}  // namespace nuclei
