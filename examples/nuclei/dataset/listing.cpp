#include "dataset/listing.h"

#include <dirent.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <string_view>

#include "common/error.h"
#include "common/text.h"

namespace nuclei {

namespace fs = std::filesystem;

namespace {

bool is_system_file(const fs::path& path) {
  const std::string name = lower(path.filename().string());
  return name.starts_with('.') || name == "thumbs.db" || name == "ehthumbs.db" || name == "desktop.ini";
}

}  // namespace

// std::filesystem's iterators end the program where memory is short.
std::vector<fs::path> list_folder(const fs::path& folder, std::size_t* left_out) {
  const auto fail = [&] { throw Failure("listing " + folder.string() + ": " + std::strerror(errno)); };
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(folder.c_str()), ::closedir);
  if (!open) fail();
  std::vector<fs::path> entries;
  for (errno = 0; const dirent* entry = ::readdir(open.get()); errno = 0) {
    const std::string_view name = entry->d_name;
    if (name == "." || name == "..") continue;
    if (!is_system_file(name)) {
      entries.push_back(folder / name);
    } else if (left_out) {
      ++*left_out;
    }
  }
  if (errno != 0) fail();
  std::ranges::sort(entries);
  return entries;
}

std::string name_of(const std::filesystem::path& file) {
  const std::filesystem::path stem = file.stem();
  return (lower(stem.extension().string()) == ".ome" ? stem.stem() : stem).string();
}

}  // namespace nuclei
