#pragma once
#include <cstddef>
#include <filesystem>

namespace karyon {

/// Writes a whole file or nothing: the bytes go to a temporary file beside `path`, which commit() flushes to
/// the disk and renames over `path`. A reader never sees half a file, and a full disk never costs the version
/// before. A device or pipe (/dev/stdout) cannot be renamed over and is written directly; a symbolic link
/// stays and the file it points to is replaced. Without commit() the temporary file is removed. Every failure
/// throws Error with the path and the system's reason.
///
/// The temporary file is called NAME.karyon-NUMBER.tmp. Its writer locks it (flock), so an unlocked one is
/// what a killed process left. The next one that writes the same file removes it.
class AtomicFile {
 public:
  explicit AtomicFile(const std::filesystem::path& path);
  ~AtomicFile();
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void write(const void* data, std::size_t bytes);
  void commit();

  /// The open file, for libraries that write by themselves. It stays ours to close.
  int descriptor() const { return descriptor_; }

 private:
  void create();

  std::filesystem::path path_;    // as the caller wrote it, for messages
  std::filesystem::path target_;  // with a final symbolic link resolved
  std::filesystem::path opened_;  // what descriptor_ refers to
  int descriptor_ = -1;
  bool direct_ = false, committed_ = false;
};

/// Removes the temporary files of killed processes from a folder, and none that is being written.
void remove_stale_files(const std::filesystem::path& folder);

}  // namespace karyon
