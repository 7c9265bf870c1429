#include "segmenter.h"

#include <cstdio>

#include "error.h"
#include "input.h"

namespace nuclei {

karyon::Device select_device(const std::string& name) {
  if (name != "auto" && name != "cpu" && name != "cuda")
    throw UsageError("--device: expects auto, cpu or cuda, got '" + name + "'");
  if (name == "cpu") return karyon::Device::cpu();
  const std::string why = karyon::why_unavailable(karyon::DeviceType::cuda);
  if (why.empty()) return karyon::Device::cuda();
  if (name == "cuda") throw Failure("--device cuda: " + why + "; use --device cpu");
  static const bool said = std::fprintf(stderr, "nuclei: on the CPU, without CUDA: %s\n", why.c_str()) > 0;
  (void)said;  // once is enough
  return karyon::Device::cpu();
}

std::vector<float> predict_probability(karyon::UNet& model, const Image& image) {
  const karyon::NoGradGuard no_grad;
  const karyon::Device device = model.parameters().front().device();
  return karyon::sigmoid(model(to_input(image).to(device))).to_vector<float>();
}

LabelMap segment(const std::vector<float>& probability, int width, int height, float threshold) {
  return close_gaps(label_components(probability, width, height, {.threshold = threshold}));
}

Segmenter::Segmenter(const std::filesystem::path& file, karyon::Device device) {
  model = karyon::load_unet(file, &metadata);
  if (model->options.in_channels != 3 || model->options.out_channels != 1)
    throw Failure(
        file.string() + ": expected a network with 3 input channels and 1 output channel, this one has " +
        std::to_string(model->options.in_channels) + " and " + std::to_string(model->options.out_channels));
  model->to(device);
  model->eval();
}

LabelMap Segmenter::operator()(const Image& image) {
  return segment(predict_probability(*model, image), image.width, image.height);
}

}  // namespace nuclei
