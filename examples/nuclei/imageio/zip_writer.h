#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include <karyon/core/atomic_file.h>

namespace nuclei {

/// Writes a ZIP archive, which appears under its name with finish(). An archive of more than 65535 entries or
/// 4 GB is a ZIP64 archive. Throws Failure if it cannot be written.
class ZipWriter {
 public:
  explicit ZipWriter(const std::filesystem::path& path);
  void add(std::string_view name, std::string_view bytes);
  void finish();

 private:
  void write(const std::string& bytes);

  karyon::AtomicFile file_;
  std::uint64_t offset_ = 0, entries_ = 0;
  std::string directory_;
};

}  // namespace nuclei
