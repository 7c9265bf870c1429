#include "fuzz.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <system_error>

namespace fuzz {
namespace {

namespace fs = std::filesystem;

[[noreturn]] void fail(const char* task) { throw std::system_error(errno, std::generic_category(), task); }

}  // namespace

std::vector<Target>& targets() {
  static std::vector<Target> all;
  return all;
}

Inputs noise_seeds(std::size_t count, std::size_t length) {
  Inputs seeds;
  for (std::size_t i = 0; i < count; ++i) {
    Noise noise(i);
    auto& seed = seeds.emplace_back(length);
    for (std::uint8_t& byte : seed) byte = static_cast<std::uint8_t>(noise.next());
  }
  return seeds;
}

fs::path as_file(Bytes bytes) {
  static const int file = ::memfd_create("fuzz", MFD_CLOEXEC);
  if (file < 0 || ::ftruncate(file, 0) != 0) fail("memfd_create");
  for (std::size_t done = 0; done < bytes.size();) {
    const ssize_t n = ::pwrite(file, bytes.data() + done, bytes.size() - done, static_cast<off_t>(done));
    if (n < 0) fail("pwrite");
    done += static_cast<std::size_t>(n);
  }
  return "/proc/self/fd/" + std::to_string(file);
}

const fs::path& empty_folder() {
  struct Folder {
    fs::path path;
    Folder() {
      const fs::path memory = fs::is_directory("/dev/shm") ? "/dev/shm" : fs::temp_directory_path();
      std::string pattern = (memory / "karyon-fuzz-XXXXXX").string();
      if (::mkdtemp(pattern.data()) == nullptr) fail("mkdtemp");
      path = pattern;
    }
    ~Folder() {
      std::error_code ignored;
      fs::remove_all(path, ignored);
    }
  };
  static const Folder folder;
  for (const fs::directory_entry& entry : fs::directory_iterator(folder.path)) fs::remove_all(entry);
  return folder.path;
}

std::vector<std::uint8_t> file_bytes(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace fuzz
