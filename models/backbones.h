#pragma once
#include <memory>
#include <string>
#include <vector>

#include <karyon/models/backbone.h>

namespace karyon {

struct MakeBackboneOptions {
  std::int64_t num_classes = 1000;  ///< 0: without the last layers, for features alone
  std::int64_t in_channels = 3;
};

/// The network with torchvision's name: "resnet50", "mobilenet_v2", "efficientnet_b0". Throws Error that
/// lists backbone_names() for another name.
std::unique_ptr<Backbone> make_backbone(const std::string& name, const MakeBackboneOptions& options = {});
std::vector<std::string> backbone_names();

}  // namespace karyon
