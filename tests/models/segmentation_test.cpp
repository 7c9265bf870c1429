#include <catch2/catch.hpp>

#include <karyon/karyon.h>

using namespace karyon;
using Catch::Contains;

TEST_CASE("segmentation: names, sizes and gradients") {
  const bool deep = GENERATE(false, true);
  const SegmentationOptions options{.num_classes = 4, .in_channels = 2, .aux = true};
  const std::unique_ptr<SegmentationModel> net =
      deep ? std::unique_ptr<SegmentationModel>(std::make_unique<DeepLabV3>(options))
           : std::make_unique<FCN>(options);
  const StateDict state = net->state_dict();
  CHECK(state.contains(deep ? "classifier.0.convs.4.1.weight" : "classifier.4.bias"));
  CHECK(state.contains("aux_classifier.4.weight"));
  CHECK_FALSE(state.contains("backbone.fc.weight"));
  Generator generator(6);
  const auto [out, aux] = net->forward_with_aux(randn({2, 33, 41, 2}, generator));
  CHECK(out.shape() == Shape{2, 33, 41, 4});
  CHECK(aux.shape() == out.shape());
  (square(out).mean() + square(aux).mean()).backward();
  for (const auto& [name, p] : net->named_parameters()) {
    INFO(name);
    CHECK(p.grad().defined());
  }
  net->eval();
  const NoGradGuard no_grad;
  CHECK((*net)(zeros({1, 33, 41, 2})).shape() == Shape{1, 33, 41, 4});
  CHECK_THROWS_WITH(FCN({.backbone = "resnet18"}), Contains("FCN: expects the backbone"));
  CHECK_THROWS_WITH(FCN().forward_with_aux(zeros({1, 33, 41, 3})), Contains("without an auxiliary"));
}
