// export_runner FOLDER: writes networks as ONNX files, each with an input and the output of Karyon's:
// NAME.onnx, NAME.x.npy, NAME.y.npy. Images and volumes are [N, ..., C] in the arrays.
#include <filesystem>
#include <iostream>

#include <karyon/karyon.h>
#include <karyon/models/onnx/onnx.h>

namespace {

using namespace karyon;

/// Norms and heads that do something, as after a training.
void wake(Module& net) {
  const NoGradGuard guard;
  for (auto& [name, x] : net.named_parameters())
    if (name.starts_with("heads")) x.copy_(mul(randn_like(x), 0.1));  // of a ViT: zeros at first
  for (auto& [name, part] : net.named_modules())
    if (auto* norm = dynamic_cast<BatchNorm2d*>(part)) {
      norm->running_mean.copy_(mul(randn_like(norm->running_mean), 0.1));
      norm->running_var.copy_(add(rand_like(norm->running_var), 0.5));
    }
}

void write(const std::filesystem::path& folder, const std::string& name, Module& net, const Shape& shape) {
  wake(net);
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
    Sequential odds;
    odds.add<Conv2d>(3, 6, 3, Conv2d::Options{.stride = {1, 2}, .padding = 1, .groups = 3});
    odds.add([](const Tensor& x) {
      const Tensor large =
          max_pool2d(x, {.kernel_size = {5, 3}, .stride = Pair{2, 3}, .padding = {2, 1}, .ceil_mode = true});
      const Tensor even = avg_pool2d(large, {.kernel_size = 3, .stride = Pair(1), .padding = 1});
      const Tensor mixed = channel_shuffle(cat({even * 2.0, 1 - large}, 3), 3);
      return interpolate(pad(mixed, {1, 2, 0, 3}, PadMode::reflect), Pair(30, 28),
                         {.mode = InterpolateMode::bicubic});
    });
    odds.add([](const Tensor& x) {
      const Tensor part = x.index({Slice(), Slice(1, 20, 3), Slice(2)});
      return softmax(gelu(part) * sigmoid(mean(part, {1, 2}, true)), -1);
    });
    write(folder, "odds", odds, {2, 16, 32, 3});
    ResNet resnet(resnet18());
    write(folder, "resnet18", resnet, {1, 64, 64, 3});
    MobileNetV3 mobilenet(mobilenet_v3_small());
    write(folder, "mobilenet_v3_small", mobilenet, {1, 64, 64, 3});
    EfficientNet efficientnet;
    write(folder, "efficientnet_b0", efficientnet, {1, 64, 64, 3});
    ShuffleNetV2 shufflenet(shufflenet_v2_x0_5());
    write(folder, "shufflenet_v2_x0_5", shufflenet, {1, 64, 64, 3});
    DenseNet densenet(densenet121());
    write(folder, "densenet121", densenet, {1, 64, 64, 3});
    ConvNeXt convnext({.channels = {24, 48, 96, 192}, .blocks = {1, 1, 2, 1}, .layer_scale = 0.5});
    write(folder, "convnext", convnext, {1, 64, 64, 3});
    ViT vit({.image_size = 64, .num_layers = 2, .num_heads = 4, .hidden_dim = 64, .mlp_dim = 128});
    write(folder, "vit", vit, {1, 64, 64, 3});
    UNet3d volumes({.base_width = 8, .depth = 2});
    write(folder, "unet3d", volumes, {1, 8, 16, 16, 1});
    TransformerEncoderLayer transformer(32, 4, {.dim_feedforward = 64, .batch_first = true});
    write(folder, "transformer", transformer, {1, 7, 32});
  } catch (const std::exception& error) {
    std::cerr << error.what() << "\n";
    return 1;
  }
}
