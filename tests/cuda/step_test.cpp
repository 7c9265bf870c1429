// What a step of training asks of the device: launches, waits, and bytes between host and device. The emulator
// counts them.
#include <dlfcn.h>
#include <catch2/catch.hpp>

#include <karyon/karyon.h>

using namespace karyon;

namespace {

const Device cuda = Device::cuda();

struct Calls {
  std::uint64_t launches, synchronizations, bytes_to_device, bytes_to_host;
};

// All zeros where the device is real.
Calls calls() {
  Calls counted{};
  void* runtime = dlopen("libcudart.so.13", RTLD_NOW | RTLD_NOLOAD);
  if (!runtime) return counted;
  const auto count = reinterpret_cast<void (*)(Calls*)>(dlsym(runtime, "cudaEmulatedCalls"));
  if (count) count(&counted);
  return counted;
}

Calls operator-(const Calls& a, const Calls& b) {
  return {a.launches - b.launches, a.synchronizations - b.synchronizations,
          a.bytes_to_device - b.bytes_to_device, a.bytes_to_host - b.bytes_to_host};
}

}  // namespace

TEST_CASE("a training step does not wait for the device, and launches few kernels") {
  UNet net({.in_channels = 3, .out_channels = 1, .base_width = 4, .depth = 4});
  net.to(cuda);
  const auto average = clone(net);
  AdamW optimizer(net.parameters());
  const std::vector<Tensor> parameters = net.parameters();
  const Tensor x = randn({2, 32, 32, 3}).to(cuda), target = gt(randn({2, 32, 32, 1}), 0.5).to(f32).to(cuda);
  Tensor loss;
  const auto step = [&] {
    optimizer.zero_grad();
    loss = bce_with_logits(net(x), target);
    loss.backward();
    clip_grad_norm_(parameters, 1);
    optimizer.step();
    lerp_state_(*average, net, 0.01);
  };
  step();  // makes the optimizer's state
  const Calls before = calls();
  step();
  const Calls used = calls() - before;
  INFO(used.launches << " launches, " << used.synchronizations << " waits, " << used.bytes_to_device
                     << " bytes to the device, " << used.bytes_to_host << " bytes back");
  CHECK(used.launches <= 280);
  CHECK(used.synchronizations == 0);
  CHECK(used.bytes_to_device == 0);
  CHECK(used.bytes_to_host == 0);
  CHECK(std::isfinite(loss.item()));
}
