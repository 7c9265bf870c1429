// What check.py asks of the library.
#include <iostream>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

constexpr const char* usage =
    "usage: models_driver NAME WEIGHTS IN.npy OUT.npz\n"
    "  NAME     of backbone_names(), unet-NAME for EncoderUNet, fcn_resnet50 or deeplabv3_resnet50\n"
    "  OUT.npz  the output, layers called one by one (plain) and folded (folded); features (f0, f1, ...)\n";

struct Watch : CallObserver {
  void called(const Module&, const Shape&, const Tensor&) override {}
};

std::unique_ptr<Module> network(const std::string& name) {
  if (name.starts_with("unet-"))
    return std::make_unique<EncoderUNet>(EncoderUNet::Options{.encoder = name.substr(5), .classes = 2});
  const SegmentationOptions segmentation{.num_classes = 10, .aux = true};
  if (name == "fcn_resnet50") return std::make_unique<FCN>(segmentation);
  if (name == "deeplabv3_resnet50") return std::make_unique<DeepLabV3>(segmentation);
  return make_backbone(name, {.num_classes = 10});
}

void run(const std::string& name, const std::string& weights, const std::string& in, const std::string& out) {
  const std::unique_ptr<Module> net = network(name);
  load_weights(*net, weights);
  net->eval();
  const NoGradGuard no_grad;
  const Tensor x = from_pytorch_layout(load_npy(in));
  std::map<std::string, Tensor> results{{"folded", to_pytorch_layout((*net)(x))}};
  {
    const Watch watch;
    results.emplace("plain", to_pytorch_layout((*net)(x)));
  }
  if (auto* const backbone = dynamic_cast<Backbone*>(net.get())) {
    int index = 0;
    for (const Tensor& f : backbone->features(x)) {
      if (f.defined()) results.emplace("f" + std::to_string(index), to_pytorch_layout(f));
      ++index;
    }
  }
  save_npz(out, results);
}

}  // namespace

int main(int argc, char** argv) {
  const std::vector<std::string> arguments(argv + 1, argv + argc);
  if (arguments.size() != 4) return std::cerr << usage, 2;
  try {
    run(arguments[0], arguments[1], arguments[2], arguments[3]);
  } catch (const Error& e) {
    std::cout << e.what() << '\n';
    return 1;
  }
}
