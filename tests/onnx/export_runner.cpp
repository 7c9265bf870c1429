// export_runner FOLDER: writes networks as ONNX files, each with an input and the output of Karyon's:
// NAME.onnx, NAME.x.npy, NAME.y.npy. Images are [N, H, W, C] in the arrays.
#include <filesystem>
#include <iostream>

#include <karyon/karyon.h>
#include <karyon/models/onnx/onnx.h>

namespace {

using namespace karyon;

/// Norms that do something, as after a training.
void wake_norms(Module& net) {
  const NoGradGuard guard;
  for (auto& [name, part] : net.named_modules())
    if (auto* norm = dynamic_cast<BatchNorm2d*>(part)) {
      norm->running_mean.copy_(mul(randn_like(norm->running_mean), 0.1));
      norm->running_var.copy_(add(rand_like(norm->running_var), 0.5));
    }
}

void write(const std::filesystem::path& folder, const std::string& name, Module& net, const Shape& shape) {
  wake_norms(net);
  net.eval();
  const Tensor x = randn(shape);
  export_onnx(net, x, folder / (name + ".onnx"));
  const NoGradGuard guard;
  save_npy(folder / (name + ".x.npy"), x);
  save_npy(folder / (name + ".y.npy"), net(x));
  std::cout << name << "\n";
}

}  // namespace

int main(int count, char** arguments) {
  try {
    check(count == 2, "usage: export_runner FOLDER");
    const std::filesystem::path folder = arguments[1];
    UNet transposed({.in_channels = 3, .out_channels = 2, .base_width = 8, .depth = 3});
    write(folder, "unet", transposed, {2, 32, 48, 3});
    UNet bilinear({.base_width = 8, .depth = 2, .norm = Norm::group, .up = UpMode::bilinear});
    write(folder, "unet_bilinear", bilinear, {1, 16, 16, 3});
    Sequential classifier;
    classifier.add<Conv2d>(3, 8, 3, Conv2d::Options{.stride = 2, .padding = 1});
    classifier.add<BatchNorm2d>(8);
    classifier.add<ReLU>();
    classifier.add<AdaptiveAvgPool2d>(1);
    classifier.add<Flatten>();
    classifier.add<Linear>(8, 5);
    write(folder, "classifier", classifier, {2, 16, 16, 3});
    ResNet resnet(resnet18());
    write(folder, "resnet18", resnet, {1, 64, 64, 3});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
