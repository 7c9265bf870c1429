#include "imageio/atomic_file.h"

#include <fstream>
#include <sstream>

#include <karyon/core/atomic_file.h>
#include <karyon/core/check.h>

#include "common/error.h"

namespace nuclei {

namespace {

[[noreturn]] void refuse(const std::filesystem::path& path) {
  throw Failure(path.string() +
                " is there already; choose another name, or replace it by "
                "--overwrite");
}

}  // namespace

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
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (std::filesystem::exists(status) && !std::filesystem::is_regular_file(status))
    throw Failure("reading " + path.string() + ": expected a file, this is a folder, a pipe or a device");
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

void require_ours(const std::filesystem::path& path, std::string_view mark) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return;  // a device is meant to be written
  constexpr std::size_t looked_at = 1 << 16;
  std::string start(looked_at, '\0');
  std::ifstream file(path, std::ios::binary);
  file.read(start.data(), static_cast<std::streamsize>(start.size()));
  start.resize(static_cast<std::size_t>(file.gcount()));
  if (start.find(mark) == std::string::npos) refuse(path);
}

void require_free(const std::filesystem::path& path) {
  std::error_code error;
  if (std::filesystem::is_regular_file(path, error) && std::filesystem::file_size(path, error) > 0)
    refuse(path);
}

void create_folder(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) throw Failure(folder.string() + ": cannot create the folder: " + error.message());
}

}  // namespace nuclei
