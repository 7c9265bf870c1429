#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include <karyon/core/atomic_file.h>

namespace nuclei {

/// A text file that grows image by image: each add() is on the disk when it returns. Throws Failure where
/// that is not so, also because somebody has removed or replaced the file.
class GrowingFile {
 public:
  /// Starts with `header`, or goes on behind the first `keep` bytes of what is there.
  GrowingFile(const std::filesystem::path& path, const std::string& header, std::uint64_t keep);
  ~GrowingFile();
  GrowingFile(const GrowingFile&) = delete;
  GrowingFile& operator=(const GrowingFile&) = delete;
  void add(const std::string& text);
  /// Throws Failure if the file is not there any more.
  void check() const;
  std::uint64_t size() const { return size_; }

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

/// A text file that appears under its name with finish().
class TextFile {
 public:
  TextFile(const std::filesystem::path& path, std::string start) : file_(path), text_(std::move(start)) {}
  void add(const std::string& text);
  void finish(const std::string& end);

 private:
  karyon::AtomicFile file_;
  std::string text_;  // not yet written
};

}  // namespace nuclei
