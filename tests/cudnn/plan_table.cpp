// Prints what cuDNN plans for the convolutions of UNet base 32 and 64 on devices that are not there: for
// every layer and direction the number of plans, deterministic and exact ones, and the workspace of the first
// in MiB.
#include <cstdio>
#include <exception>

#include "unet_convs.h"

#include <karyon/core/kernels/conv.h>

int main() {
  using namespace karyon;
  using namespace karyon::test;
  try {
    std::printf("cuDNN %s, planned without a device: plans (workspace of the best, MiB)\n",
                cuda::cudnn::version().c_str());
    int missing = 0;
    for (const NamedDevice& device : planned_devices()) {
      const cuda::cudnn::Target target(device_json(device.name));
      for (const DType dtype : device.dtypes)
        for (const std::int64_t base : {32, 64}) {
          std::printf("\n%s, %s, UNet base %lld\n%-14s %-16s%20s%20s%20s%20s\n", device.name.c_str(),
                      name(dtype), static_cast<long long>(base), "layer", "H W C -> K", "forward", "fused",
                      "backward data", "backward weight");
          for (const NamedConv& conv : unet_convs(base)) {
            const ConvGeometry& g = conv.geometry;
            const std::int64_t size = conv.transposed ? g.h_out : g.h, in = conv.transposed ? g.k : g.c,
                               out = conv.transposed ? g.c : g.k;
            std::printf("%-14s %3lld %4lld -> %-4lld", conv.name.c_str(), static_cast<long long>(size),
                        static_cast<long long>(in), static_cast<long long>(out));
            for (const NamedDirection& direction : directions(conv, dtype)) {
              if (conv.transposed && direction.name == "backward data") std::printf("%20s", "-");
              const cuda::ConvPlans found = cuda::find_conv_plans(direction.problem, target, {.most = 1000});
              missing += found.plans.empty();
              char text[40];
              std::snprintf(
                  text, sizeof text, "%zu (%.1f)", found.plans.size(),
                  found.plans.empty() ? 0.0 : static_cast<double>(found.plans[0].workspace) / (1 << 20));
              std::printf("%20s", text);
            }
            std::printf("\n");
            std::fflush(stdout);
          }
        }
    }
    std::printf("\n%d without a plan\n", missing);
    return missing == 0 ? 0 : 1;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "cudnn_plan_table: %s\n", error.what());
    return 1;
  }
}
