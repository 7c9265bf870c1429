// Opens the CUDA backend on first use of a CUDA device. It tries, in this order: the file that the
// environment variable KARYON_CUDA_PLUGIN names; the folder of the program or library that holds this code;
// ../lib beside that folder; the system's library paths.
#if __has_include(<dlfcn.h>)
#include <dlfcn.h>
#endif
#include <cstdlib>
#include <filesystem>
#include <vector>

#include <karyon/core/check.h>
#include <karyon/core/cuda_plugin.h>

namespace karyon {
namespace {

struct Plugin {
  Backend* backend = nullptr;
  cuda_plugin::FindKernel* find_kernel = nullptr;
  std::string why;  // there is no backend
};

#if __has_include(<dlfcn.h>)

constexpr const char* library = "libkaryon_cuda.so";

std::vector<std::string> candidates() {
  namespace fs = std::filesystem;
  if (const char* path = std::getenv("KARYON_CUDA_PLUGIN"); path && *path) return {path};
  std::vector<std::string> paths;
  auto add_beside = [&paths](const fs::path& file) {
    std::error_code error;
    const fs::path folder = fs::canonical(file, error).parent_path();
    if (error) return;
    for (const fs::path& path : {folder / library, folder.parent_path() / "lib" / library})
      if (fs::exists(path, error)) paths.push_back(path.string());
  };
  // A static library's file is the program itself, which is known by the name it was called by.
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&find_cuda_kernel), &info) != 0 && info.dli_fname)
    add_beside(info.dli_fname);
  add_beside("/proc/self/exe");
  paths.emplace_back(library);
  return paths;
}

Plugin open_plugin() {
  std::string why;
  for (const std::string& path : candidates()) {
    // Never closed: tensors and threads may outlive any order of destruction.
    void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
    if (!handle) {
      why = dlerror();
      if (path == library && why.starts_with(library)) why = "this build has no CUDA backend (" + why + ")";
      continue;
    }
    auto* open = reinterpret_cast<cuda_plugin::Open*>(dlsym(handle, "karyon_cuda_open"));
    auto* find_kernel = reinterpret_cast<cuda_plugin::FindKernel*>(dlsym(handle, "karyon_cuda_kernel"));
    if (!open || !find_kernel) return {.why = path + " is not Karyon's CUDA backend"};
    char reason[512] = "";
    Backend* backend = open(KARYON_CUDA_ABI, reason, sizeof reason);
    return {.backend = backend, .find_kernel = find_kernel, .why = reason};
  }
  return {.why = why};
}

#else

Plugin open_plugin() { return {.why = "no shared libraries can be opened on this system"}; }

#endif

const Plugin& plugin() {
  static const Plugin* instance = new Plugin(open_plugin());
  return *instance;
}

}  // namespace

void (*find_cuda_kernel(const char* name))() {
  return plugin().backend ? plugin().find_kernel(name) : nullptr;
}

Backend& backend(DeviceType type) {
  if (type == DeviceType::cpu) return cpu_backend();
  check(plugin().backend != nullptr, "device cuda: ", plugin().why, "; use the CPU");
  return *plugin().backend;
}

std::string why_unavailable(DeviceType type) {
  return type == DeviceType::cpu || plugin().backend ? "" : plugin().why;
}

}  // namespace karyon
