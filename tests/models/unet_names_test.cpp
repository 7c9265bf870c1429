#include <catch2/catch.hpp>
#include <set>

#include <karyon/core/serialize.h>
#include <karyon/layers/weights.h>
#include <karyon/models/unet.h>
#include <karyon/models/unet_names.h>

#include "temp_folder.h"

using namespace karyon;

namespace {

/// The names of milesial's UNet(bilinear=False).state_dict().
std::vector<std::string> milesial_names() {
  std::vector<std::string> names;
  const auto add_double_conv = [&](const std::string& block) {
    for (const char* layer : {"0", "1", "3", "4"}) {
      const std::string prefix = block + ".double_conv." + layer + ".";
      names.push_back(prefix + "weight");
      if (*layer == '1' || *layer == '4')
        for (const char* name : {"bias", "running_mean", "running_var", "num_batches_tracked"})
          names.push_back(prefix + name);
    }
  };
  add_double_conv("inc");
  for (const char* level : {"1", "2", "3", "4"}) {
    add_double_conv(std::string("down") + level + ".maxpool_conv.1");
    names.push_back(std::string("up") + level + ".up.weight");
    names.push_back(std::string("up") + level + ".up.bias");
    add_double_conv(std::string("up") + level + ".conv");
  }
  names.push_back("outc.conv.weight");
  names.push_back("outc.conv.bias");
  return names;
}

}  // namespace

TEST_CASE("unet: the names of milesial's network are those of the library's, one by one") {
  const UNetOptions options{.in_channels = 3, .out_channels = 2, .base_width = 2};
  const UNet source(options);
  const StateDict state = source.state_dict();
  TensorFile file;
  std::set<std::string> names;
  for (const std::string& name : milesial_names()) {
    INFO(name);
    const std::string its_name = from_milesial_unet(name);
    CHECK(names.insert(its_name).second);
    REQUIRE(state.contains(its_name));
    file.tensors.emplace(name, to_pytorch_layout(state.at(its_name)));
  }
  CHECK(names.size() == state.size());
  CHECK(from_milesial_unet("down1.maxpool_conv.1.double_conv.0.weight") == "down.1.conv1.weight");
  CHECK(from_milesial_unet("up2.conv.double_conv.4.bias") == "up.1.norm2.bias");
  CHECK(from_milesial_unet("inc.double_conv.9.weight") == "inc.double_conv.9.weight");
  CHECK(from_milesial_unet("mask_values") == "mask_values");

  const test::TempFolder folder;
  save_safetensors(folder / "x.safetensors", file);
  UNet net(options);
  load_weights(net, folder / "x.safetensors", {.rename = from_milesial_unet});
  for (const auto& [name, x] : net.state_dict())
    CHECK(x.to_vector<float>() == state.at(name).to_vector<float>());
}
