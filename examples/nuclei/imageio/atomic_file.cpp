#include "imageio/atomic_file.h"

#include <fstream>
#include <sstream>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>

#include "common/error.h"

namespace nuclei {

void write_file_atomically(const std::filesystem::path& path, std::span<const std::uint8_t> bytes) {
  try {
    karyon::AtomicFile file(path);
    file.write(bytes.data(), bytes.size());
    file.commit();
  } catch (const karyon::Error& e) {
    throw Failure(e.what());
  }
}

void write_file_atomically(const std::filesystem::path& path, std::string_view text) {
  write_file_atomically(path, std::span(reinterpret_cast<const std::uint8_t*>(text.data()), text.size()));
}

std::string read_if_there(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::ostringstream text;
  if (file) text << file.rdbuf();
  return text.str();
}

void require_folder_of(const std::filesystem::path& path) {
  const std::filesystem::path folder = path.has_parent_path() ? path.parent_path() : ".";
  std::error_code error;
  if (!std::filesystem::is_directory(folder, error))
    throw Failure(path.string() + ": there is no folder " + folder.string() + "; create it first");
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Failure(folder.string() + ": cannot create the folder: " + error.message());
}

}  // namespace nuclei
