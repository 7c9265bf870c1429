#include "dataset/listing.h"

#include <algorithm>
#include <system_error>

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

std::vector<fs::path> list_folder(const fs::path& folder, std::size_t* left_out) {
  std::error_code error;
  std::vector<fs::path> entries;
  fs::directory_iterator at(folder, error);
  for (; !error && at != fs::directory_iterator(); at.increment(error)) {
    if (!is_system_file(at->path())) {
      entries.push_back(at->path());
    } else if (left_out) {
      ++*left_out;
    }
  }
  if (error) throw Failure("listing " + folder.string() + ": " + error.message());
  std::ranges::sort(entries);
  return entries;
}

std::string name_of(const std::filesystem::path& file) {
  const std::filesystem::path stem = file.stem();
  return (lower(stem.extension().string()) == ".ome" ? stem.stem() : stem).string();
}

}  // namespace nuclei
