#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pool.h>
#include <karyon/layers/activation.h>
#include <karyon/layers/conv.h>
#include <karyon/layers/norm.h>
#include <karyon/models/shufflenet.h>

namespace karyon {
namespace {

void add_conv(Sequential& layers, std::int64_t in, std::int64_t out, Pair kernel, std::int64_t stride) {
  layers.add<Conv2d>(in, out, kernel,
                     Conv2d::Options{.stride = stride, .padding = (kernel.h - 1) / 2, .bias = false});
  layers.add<BatchNorm2d>(out);
  layers.add<ReLU>();
}
void add_depthwise(Sequential& layers, std::int64_t channels, std::int64_t stride) {
  layers.add<Conv2d>(channels, channels, 3,
                     {.stride = stride, .padding = 1, .groups = channels, .bias = false});
  layers.add<BatchNorm2d>(channels);
}

// Half of the channels through branch2, the other half as they are or through branch1; then one channel of
// each in turn.
struct ShuffleBlock : Module {
  ShuffleBlock(std::int64_t in, std::int64_t out, std::int64_t stride) : in_(in), out_(out), stride_(stride) {
    const std::int64_t half = out / 2;
    if (stride > 1) {
      add_depthwise(branch1, in, stride);
      add_conv(branch1, in, half, 1, 1);
    }
    add_conv(branch2, stride > 1 ? in : half, half, 1, 1);
    add_depthwise(branch2, half, stride);
    add_conv(branch2, half, half, 1, 1);
    register_module("branch1", branch1);
    register_module("branch2", branch2);
  }
  Tensor forward(Tensor x) override {
    std::vector<Tensor> halves;
    if (stride_ > 1) {
      halves = {branch1(x), branch2(x)};
    } else {
      halves = split(x, in_ / 2, -1);
      halves[1] = branch2(std::move(halves[1]));
    }
    const Tensor& first = halves[0];
    return stack(halves, -1).reshape({first.size(0), first.size(1), first.size(2), out_});
  }
  std::unique_ptr<Module> rebuilt() const override {
    return std::make_unique<ShuffleBlock>(in_, out_, stride_);
  }

  Sequential branch1, branch2;

 private:
  const std::int64_t in_, out_, stride_;
};

}  // namespace

ShuffleNetV2::ShuffleNetV2(const Options& o) : options(o) {
  check_options("ShuffleNetV2", o.num_classes, o.in_channels);
  for (std::size_t i = 1; i < 4; ++i)
    check(o.channels[i] >= 2 && o.channels[i] % 2 == 0, "ShuffleNetV2: expects even channels, got ",
          o.channels[i]);
  add_conv(conv1, o.in_channels, o.channels[0], 3, 2);
  register_module("conv1", conv1);
  std::size_t index = 1;
  for (Sequential* const stage : {&stage2, &stage3, &stage4}) {
    const std::int64_t blocks = index == 2 ? 8 : 4;
    stage->add<ShuffleBlock>(o.channels[index - 1], o.channels[index], 2);
    for (std::int64_t i = 1; i < blocks; ++i)
      stage->add<ShuffleBlock>(o.channels[index], o.channels[index], 1);
    ++index;
    register_module("stage" + std::to_string(index), *stage);
  }
  add_conv(conv5, o.channels[3], o.channels[4], 1, 1);
  register_module("conv5", conv5);
  if (o.num_classes == 0) return;
  fc = std::make_unique<Linear>(o.channels[4], o.num_classes);
  register_module("fc", *fc);
}

std::array<std::int64_t, 5> ShuffleNetV2::feature_channels() const {
  const auto& c = options.channels;
  return {c[0], c[0], c[1], c[2], c[4]};
}

Tensor ShuffleNetV2::extract(Tensor x, std::vector<Tensor>* pyramid) {
  const auto keep = [&](const Tensor& features) {
    if (pyramid) pyramid->push_back(features);
  };
  x = conv1(std::move(x));
  keep(x);
  x = max_pool2d(x, {.kernel_size = 3, .stride = Pair(2), .padding = 1});
  keep(x);
  for (Sequential* const stage : {&stage2, &stage3}) {
    x = (*stage)(std::move(x));
    keep(x);
  }
  x = conv5(stage4(std::move(x)));
  keep(x);
  return x;
}

Tensor ShuffleNetV2::classify(Tensor x) {
  check(fc != nullptr, "ShuffleNetV2: has no classes");
  return (*fc)(global_mean(x));
}

std::unique_ptr<Module> ShuffleNetV2::rebuilt() const { return std::make_unique<ShuffleNetV2>(options); }

ShuffleNetV2Options shufflenet_v2_x0_5() { return {.channels = {24, 48, 96, 192, 1024}}; }
ShuffleNetV2Options shufflenet_v2_x1_0() { return {}; }
ShuffleNetV2Options shufflenet_v2_x1_5() { return {.channels = {24, 176, 352, 704, 1024}}; }
ShuffleNetV2Options shufflenet_v2_x2_0() { return {.channels = {24, 244, 488, 976, 2048}}; }

}  // namespace karyon
