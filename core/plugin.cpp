#if __has_include(<dlfcn.h>)
#include <dlfcn.h>
#endif
#if __has_include(<link.h>)
#include <link.h>
#endif
#include <algorithm>
#include <atomic>
#include <cstdlib>
#include <system_error>
#include <utility>
#include <vector>

#include <karyon/core/plugin.h>

namespace karyon::plugin {
namespace {

constinit std::atomic<const char*> package_folder = nullptr;

#if __has_include(<dlfcn.h>)

namespace fs = std::filesystem;

// The file of the shared library that holds this code; empty if that is the program, or the loader knows only
// a path from the current folder.
fs::path own_library() {
#ifdef __GLIBC__
  Dl_info info{};
  link_map* map = nullptr;
  if (dladdr1(reinterpret_cast<void*>(&set_folder), &info, reinterpret_cast<void**>(&map), RTLD_DL_LINKMAP) !=
          0 &&
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

Attempt open_library(const fs::path& path, const Place& place,
                     const std::function<Attempt(const Find& find)>& start) {
  // Never closed: tensors and threads may outlive any order of destruction.
  void* handle = dlopen(path.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) return {.why = dlerror()};
  Attempt attempt = start([handle](const char* name) { return dlsym(handle, name); });
  if (!attempt.ours) attempt.why = path.string() + " is not Karyon's " + place.what;
  return attempt;
}

#endif

}  // namespace

#if __has_include(<dlfcn.h>)

Attempt open(const Place& place, const std::function<Attempt(const Find& find)>& start) {
  if (const char* path = std::getenv(place.environment); path && *path) {
    if (fs::path(path).is_absolute()) return open_library(path, place, start);
    return {.why = std::string(place.environment) + ": expects a path that begins with /, got " + path};
  }
  Attempt best;
  std::string looked;
  for (const fs::path& folder : folders()) {
    std::error_code error;
    looked += (looked.empty() ? "" : ", ") + folder.string();
    if (!fs::exists(folder / place.library, error)) continue;
    Attempt attempt = open_library(folder / place.library, place, start);
    if (attempt.good) return attempt;
    if (best.why.empty() || (attempt.ours && !best.ours)) best = std::move(attempt);
  }
  if (best.why.empty())
    best.why =
        std::string("this build has no ") + place.what + " (no " + place.library + " in " + looked + ")";
  return best;
}

#else

Attempt open(const Place&, const std::function<Attempt(const Find&)>&) {
  return {.why = "no shared libraries can be opened on this system"};
}

#endif

void set_folder(const char* folder) { package_folder = folder; }

}  // namespace karyon::plugin
