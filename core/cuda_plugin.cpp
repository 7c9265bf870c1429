// Opens the CUDA backend on first use of a CUDA device: the file that the environment variable
// KARYON_CUDA_PLUGIN names, or the one where the program or the library was installed. Data that a user works
// on may hold a file of that name, so no other folder is searched.
#if __has_include(<dlfcn.h>)
#include <dlfcn.h>
#endif
#if __has_include(<link.h>)
#include <link.h>
#endif
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <string>
#include <system_error>
#include <utility>
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

constinit std::atomic<const char*> package_folder = nullptr;

#if __has_include(<dlfcn.h>)

namespace fs = std::filesystem;

constexpr const char* library = "libkaryon_cuda.so";

// The file of the shared library that holds this code; empty if that is the program, or the loader knows only
// a path from the current folder.
fs::path own_library() {
#ifdef __GLIBC__
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(reinterpret_cast<void*>(&find_cuda_kernel), &info, reinterpret_cast<void**>(&map),
              RTLD_DL_LINKMAP) != 0 &&
      map && map->l_name && fs::path(map->l_name).is_absolute())
    return map->l_name;
#endif
  return {};
}

// Absolute folders only: what lies in the current one is not ours.
std::vector<fs::path> folders() {
  std::vector<fs::path> found;
  const auto add = [&found](const fs::path& folder) {
    const fs::path normal = folder.lexically_normal();
    if (normal.is_absolute() && std::ranges::find(found, normal) == found.end()) found.push_back(normal);
  };
  const auto add_beside = [&add](const fs::path& file) {
    if (file.empty()) return;
    const fs::path folder = file.parent_path();
    for (const char* place : {".", "../lib", KARYON_LIBRARIES_FROM_PROGRAMS}) add(folder / place / "");
  };
  std::error_code error;
  const fs::path own = own_library();
  add_beside(own);
  if (!own.empty()) add_beside(fs::canonical(own, error));
  add_beside(fs::read_symlink("/proc/self/exe", error));
  if (const char* folder = package_folder.load()) add(fs::path(folder) / "");
  return found;
}

Plugin open_library(const fs::path& path) {
  // Never closed: tensors and threads may outlive any order of destruction.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {.why = dlerror()};
  auto* open = reinterpret_cast<cuda_plugin::Open*>(dlsym(handle, "karyon_cuda_open"));
  auto* find_kernel = reinterpret_cast<cuda_plugin::FindKernel*>(dlsym(handle, "karyon_cuda_kernel"));
  if (!open || !find_kernel) return {.why = path.string() + " is not Karyon's CUDA backend"};
  char reason[512] = "";
  Backend* backend = open(KARYON_CUDA_ABI, reason, sizeof reason);
  return {.backend = backend, .find_kernel = find_kernel, .why = reason};
}

Plugin open_plugin() {
  if (const char* path = std::getenv("KARYON_CUDA_PLUGIN"); path && *path) {
    if (fs::path(path).is_absolute()) return open_library(path);
    return {.why = "KARYON_CUDA_PLUGIN: expects a path that begins with /, got " + std::string(path)};
  }
  Plugin best;  // ours says best why there is no backend
  std::string looked;
  for (const fs::path& folder : folders()) {
    std::error_code error;
    looked += (looked.empty() ? "" : ", ") + folder.string();
    if (!fs::exists(folder / library, error)) continue;
    Plugin plugin = open_library(folder / library);
    if (plugin.backend) return plugin;
    if (best.why.empty() || (plugin.find_kernel && !best.find_kernel)) best = std::move(plugin);
  }
  if (best.why.empty())
    best.why = std::string("this build has no CUDA backend (no ") + library + " in " + looked + ")";
  return best;
}

#else

Plugin open_plugin() { return {.why = "no shared libraries can be opened on this system"}; }

#endif

const Plugin& plugin() {
  static const Plugin* instance = new Plugin(open_plugin());
  return *instance;
}

}  // namespace

bool set_cuda_folder(const char* folder) {
  package_folder = folder;
  return true;
}

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
