#include <cstdio>
#include <filesystem>
#include <iostream>
#include <sstream>

#include <karyon/karyon.h>

#include "app/command.h"
#include "common/text.h"
#include "inference/segmenter.h"

namespace nuclei {
namespace {

// What a model file or a checkpoint holds: the network, how it was trained, its layers.
void describe(const std::filesystem::path& file) {
  const karyon::TensorFile contents = karyon::load_safetensors(file);
  std::int64_t values = 0;
  for (const auto& [name, tensor] : contents.tensors) values += tensor.numel();
  std::printf("%s: %zu tensors, %lld values\n", printable(file.string()).c_str(), contents.tensors.size(),
              static_cast<long long>(values));
  for (const auto& [key, value] : contents.metadata)
    std::printf("  %-22s %s\n", printable(key).c_str(), printable(value).c_str());
  if (contents.metadata.contains("karyon.model")) {
    const auto model = karyon::load_unet(file);
    std::printf("\nfor an image of 256 x 256:\n");
    std::cout << karyon::summary(*model, {1, 256, 256, model->options.in_channels});
  } else {
    for (const auto& [name, tensor] : contents.tensors) {
      std::cout << "  " << printable(name) << "  " << tensor.dtype() << ' ' << tensor.shape() << '\n';
    }
  }
}

// The devices to compute on, and in one line why CUDA is not among them.
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
    std::printf("cuda    not used: %s\n", printable(why).c_str());
  }
}

struct Info : Command {
  std::filesystem::path file;
  bool devices = false;
  std::string device = "auto";  // accepted, but nothing here computes on it

  Info() : Command("info", "show what a model file holds, or the devices") {}

  void add_options(CLI::App& app) override {
    app.add_option("file,--model", file,
                   "model.safetensors or last.ckpt; default, or nothing: the model that comes with nuclei");
    app.add_flag("--devices", devices, "list the devices to compute on, and say why CUDA is not used");
    app.footer(
        "Examples:\n  nuclei info                            where the model that comes with nuclei lies\n"
        "  nuclei info run/model.safetensors\n  nuclei info --devices");
    add_threads_and_device(app, device);
  }

  int run() override {
    if (devices) list_devices();
    if (!devices || !file.empty()) describe(model_file(file));
    return 0;
  }
};

}  // namespace

std::unique_ptr<Command> info_command() { return std::make_unique<Info>(); }

}  // namespace nuclei
