#include "dataset/listing.h"

#include <algorithm>

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
  std::vector<fs::path> entries;
  try {
    for (const fs::directory_entry& entry : fs::directory_iterator(folder)) {
      if (!is_system_file(entry.path())) {
        entries.push_back(entry.path());
      } else if (left_out) {
        ++*left_out;
      }
    }
  } catch (const fs::filesystem_error& error) {
    throw Failure("listing " + folder.string() + ": " + error.code().message());
  }
  std::ranges::sort(entries);
  return entries;
}

std::string name_of(const std::filesystem::path& file) {
  const std::filesystem::path stem = file.stem();
  return (lower(stem.extension().string()) == ".ome" ? stem.stem() : stem).string();
}

}  // namespace nuclei
