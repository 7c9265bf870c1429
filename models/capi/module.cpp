#include <karyon/core/autograd.h>
#include <karyon/layers/weights.h>
#include <karyon/models/capi/call.h>
#include <karyon/models/unet.h>

using namespace karyon::capi;

namespace {

// Gives a module that is not trained.
template <class F>
karyon_status give_module(const char* op, karyon_module** out, F f) {
  return call([&] {
    at(op, out);
    auto module = std::make_unique<karyon_module>(karyon_module{f()});
    module->value->eval();
    *out = module.release();
  });
}

karyon::Module& inner(const char* op, const karyon_module* module) { return *at(op, module).value; }

}  // namespace

karyon_status karyon_unet_create(const karyon_unet_options* options, karyon_module** out) {
  return give_module("karyon_unet_create", out, [&] {
    const karyon_unet_options& o = at("karyon_unet_create", options);
    return std::make_unique<karyon::UNet>(
        karyon::UNetOptions{.in_channels = o.in_channels,
                            .out_channels = o.out_channels,
                            .base_width = o.base_width,
                            .depth = o.depth,
                            .norm = o.group_norm != 0 ? karyon::Norm::group : karyon::Norm::batch,
                            .up = o.bilinear != 0 ? karyon::UpMode::bilinear : karyon::UpMode::transposed});
  });
}

karyon_status karyon_unet_load(const char* path, karyon_module** out) {
  return give_module("karyon_unet_load", out, [&] {
    at("karyon_unet_load", path);
    return karyon::load_unet(path);
  });
}

void karyon_module_free(karyon_module* module) { delete module; }

karyon_status karyon_module_load_weights(karyon_module* module, const char* path) {
  return call([&] {
    at("karyon_module_load_weights", path);
    karyon::load_weights(inner("karyon_module_load_weights", module), path);
  });
}

karyon_status karyon_module_save_weights(const karyon_module* module, const char* path) {
  return call([&] {
    at("karyon_module_save_weights", path);
    karyon::save_weights(inner("karyon_module_save_weights", module), path);
  });
}

karyon_status karyon_module_to_device(karyon_module* module, karyon_device kind) {
  return call([&] { inner("karyon_module_to_device", module).to(device("karyon_module_to_device", kind)); });
}

karyon_status karyon_module_num_parameters(const karyon_module* module, std::int64_t* count) {
  return call([&] {
    std::int64_t sum = 0;
    for (const karyon::Tensor& p : inner("karyon_module_num_parameters", module).parameters())
      sum += p.numel();
    at("karyon_module_num_parameters", count) = sum;
  });
}

karyon_status karyon_module_run(karyon_module* module, const karyon_tensor* input, karyon_tensor** out) {
  return give("karyon_module_run", out, [&] {
    const karyon::NoGradGuard no_grad;
    return inner("karyon_module_run", module)(at("karyon_module_run", input).value);
  });
}
