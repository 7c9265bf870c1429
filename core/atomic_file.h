#pragma once
#include <cstddef>
#include <filesystem>

namespace karyon {

/// Writes a whole file or nothing: the bytes go to a temporary file beside `path`, which commit() flushes to
/// the disk and renames over `path`. A reader never sees half a file, and a full disk never costs the version
/// before. A device or pipe (/dev/stdout) cannot be renamed over and is written directly; a symbolic link
/// stays and the file it points to is replaced. Without commit() the temporary file is removed. Every failure
/// throws Error with the path and the system's reason.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

 private:
  std::filesystem::path path_;    // as the caller wrote it, for messages
  std::filesystem::path target_;  // with a final symbolic link resolved
  std::filesystem::path opened_;  // what descriptor_ refers to
  int descriptor_ = -1;
  bool direct_ = false, committed_ = false;
};

}  // namespace karyon
