#include <string_view>
#include <utility>

#include <karyon/models/unet_names.h>

namespace karyon {

std::string from_milesial_unet(const std::string& name) {
  static constexpr std::pair<std::string_view, std::string_view> blocks[] = {
      {"inc.double_conv.", "down.0."},
      {"down1.maxpool_conv.1.double_conv.", "down.1."},
      {"down2.maxpool_conv.1.double_conv.", "down.2."},
      {"down3.maxpool_conv.1.double_conv.", "down.3."},
      {"down4.maxpool_conv.1.double_conv.", "bottom."},
      {"up1.conv.double_conv.", "up.0."},
      {"up2.conv.double_conv.", "up.1."},
      {"up3.conv.double_conv.", "up.2."},
      {"up4.conv.double_conv.", "up.3."}};
  static constexpr std::pair<std::string_view, std::string_view> layers[] = {
      {"0.", "conv1."}, {"1.", "norm1."}, {"3.", "conv2."}, {"4.", "norm2."}};
  static constexpr std::pair<std::string_view, std::string_view> others[] = {{"up1.up.", "up.0.up."},
                                                                             {"up2.up.", "up.1.up."},
                                                                             {"up3.up.", "up.2.up."},
                                                                             {"up4.up.", "up.3.up."},
                                                                             {"outc.conv.", "head."}};
  for (const auto& [theirs, ours] : blocks)
    if (name.starts_with(theirs)) {
      const std::string rest = name.substr(theirs.size());
      for (const auto& [layer, its_name] : layers)
        if (rest.starts_with(layer))
          return std::string(ours) + std::string(its_name) + rest.substr(layer.size());
    }
  for (const auto& [theirs, ours] : others)
    if (name.starts_with(theirs)) return std::string(ours) + name.substr(theirs.size());
  return name;
}

}  // namespace karyon
