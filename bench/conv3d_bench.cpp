// Convolutions of volumes, 3 x 3 x 3, as a program calls them: forward, and all three gradients.
#include <karyon/core/autograd.h>
#include <karyon/core/ops/conv3d.h>
#include <karyon/core/random.h>

#include "register.h"

namespace karyon::bench {
namespace {

struct Volume {
  std::int64_t depth, size, channels;
  double flops() const { return 2.0 * 27 * static_cast<double>(depth * size * size * channels * channels); }
  std::string name(const std::string& pass) const {
    return "karyon/conv3d/" + pass + "/" + std::to_string(depth) + "x" + std::to_string(size) + "/" +
           std::to_string(channels);
  }
};

const int registered = [] {
  for (const Volume& v : {Volume{32, 64, 32}, Volume{32, 32, 64}, Volume{16, 16, 128}, Volume{8, 16, 256}}) {
    const auto tensors = [v] {
      Generator generator(1);
      return std::pair{randn({1, v.depth, v.size, v.size, v.channels}, generator),
                       randn({v.channels, 3, 3, 3, v.channels}, generator)};
    };
    register_flops(v.name("forward"), v.flops(), [tensors] {
      return [t = tensors()] {
        const NoGradGuard no_grad;
        conv3d(t.first, t.second, {}, {.padding = 1});
      };
    });
    register_flops(v.name("training"), 3 * v.flops(), [tensors] {
      auto t = tensors();
      t.first.requires_grad_();
      t.second.requires_grad_();
      return [t]() mutable {
        const Tensor y = conv3d(t.first, t.second, {}, {.padding = 1});
        y.backward(y.detach());
        t.first.set_grad({});
        t.second.set_grad({});
      };
    });
  }
  return 0;
}();

}  // namespace
}  // namespace karyon::bench
