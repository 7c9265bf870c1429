// Times the inference of a whole network of zoo.txt with random weights, for bench/compare: a line of JSON for
// each batch size, with the median seconds of a forward pass.
//   zoo_net NETWORK SECONDS f32|bf16 BATCH...
// NETWORK is a name of zoo.txt, or a file NAME.onnx of such a network.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include <karyon/karyon.h>
#ifdef KARYON_ZOO_ONNX
#include <karyon/models/onnx/onnx.h>
#endif

namespace {

using namespace karyon;

std::unique_ptr<Module> network(const std::string& name) {
#ifdef KARYON_ZOO_ONNX
  if (name.ends_with(".onnx")) return load_onnx(name);
#endif
  if (name == "unet_base32") return std::make_unique<UNet>(UNetOptions{.base_width = 32});
  if (name == "unet_base48") return std::make_unique<UNet>(UNetOptions{.base_width = 48});
  if (name == "fcn_resnet50") return std::make_unique<FCN>();
  if (name == "deeplabv3_resnet50") return std::make_unique<DeepLabV3>();
  return make_backbone(name);
}

// Height and width of the images, as in zoo.txt.
std::int64_t image_size(const std::string& name) {
  return name.starts_with("unet") || name.ends_with("_resnet50") ? 256 : 224;
}

double seconds_of(Module& net, const Tensor& x, double budget) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> seconds;
  const auto begin = Clock::now();
  while (seconds.size() < 4 || std::chrono::duration<double>(Clock::now() - begin).count() < budget) {
    const auto start = Clock::now();
    net(x);
    seconds.push_back(std::chrono::duration<double>(Clock::now() - start).count());
  }
  const auto warm =
      seconds.begin() + static_cast<std::ptrdiff_t>(seconds.size() / 2);  // the first half warms up
  std::sort(warm, seconds.end());
  return *(warm + (seconds.end() - warm) / 2);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 5) return std::fprintf(stderr, "usage: zoo_net NETWORK SECONDS f32|bf16 BATCH...\n"), 2;
  const std::string file = argv[1], name = std::filesystem::path(file).stem();
  const bool onnx = name != file;
  const std::unique_ptr<Module> net = network(file);
  net->eval();
  const NoGradGuard no_grad;
  const AutocastGuard autocast(std::string(argv[3]) == "bf16" ? bf16 : f32);
  for (int i = 4; i < argc; ++i) {
    Generator generator(1);
    const std::int64_t size = image_size(name), batch = std::atoll(argv[i]);
    const Tensor x = rand(onnx ? Shape{batch, 3, size, size} : Shape{batch, size, size, 3}, generator);
    std::printf("{\"case\": \"batch %s\", \"seconds\": %.6f}\n", argv[i],
                seconds_of(*net, x, std::atof(argv[2])));
    std::fflush(stdout);
  }
}
