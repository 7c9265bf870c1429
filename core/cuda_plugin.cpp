// Opens the CUDA backend on first use of a CUDA device: see plugin.h.
#include <string>

#include <karyon/core/check.h>
#include <karyon/core/cuda_plugin.h>
#include <karyon/core/plugin.h>

namespace karyon {
namespace {

struct Plugin {
  Backend* backend = nullptr;
  cuda_plugin::FindKernel* find_kernel = nullptr;
  std::string why;  // there is no backend
};

Plugin open_plugin() {
  Plugin opened;
  opened.why =
      plugin::open(
          {.library = "libkaryon_cuda.so", .environment = "KARYON_CUDA_PLUGIN", .what = "CUDA backend"},
          [&opened](const plugin::Find& find) -> plugin::Attempt {
            auto* open = reinterpret_cast<cuda_plugin::Open*>(find("karyon_cuda_open"));
            opened.find_kernel = reinterpret_cast<cuda_plugin::FindKernel*>(find("karyon_cuda_kernel"));
            if (!open || !opened.find_kernel) return {};
            char reason[512] = "";
            opened.backend =
                open(KARYON_CUDA_ABI, {.tf32 = cuda_plugin::tf32_allowed()}, reason, sizeof reason);
            return {.good = opened.backend != nullptr, .ours = true, .why = reason};
          })
          .why;
  return opened;
}

const Plugin& cuda_backend() {
  static const Plugin* instance = new Plugin(open_plugin());
  return *instance;
}

}  // namespace

bool set_cuda_folder(const char* folder) {
  plugin::set_folder(folder);
  return true;
}

void (*find_cuda_kernel(const char* name))() {
  return cuda_backend().backend ? cuda_backend().find_kernel(name) : nullptr;
}

Backend& backend(DeviceType type) {
  if (type == DeviceType::cpu) return cpu_backend();
  check(cuda_backend().backend != nullptr, "device cuda: ", cuda_backend().why, "; use the CPU");
  return *cuda_backend().backend;
}

std::string why_unavailable(DeviceType type) {
  return type == DeviceType::cpu || cuda_backend().backend ? "" : cuda_backend().why;
}

}  // namespace karyon
