#pragma once

#include <filesystem>

namespace nuclei {

/// A folder that appears under its name when it is complete: it is filled as NAME.partial-NUMBER beside it,
/// which nobody else has. Without commit() it is removed again. What a killed process left is removed by the
/// next one that makes the same folder.
class PartialFolder {
 public:
  /// Throws Failure if the folder cannot be created.
  explicit PartialFolder(const std::filesystem::path& target);
  ~PartialFolder();
  PartialFolder(const PartialFolder&) = delete;
  PartialFolder& operator=(const PartialFolder&) = delete;

  const std::filesystem::path& path() const { return path_; }
  /// Throws Failure if there is something in the way: an empty folder is not.
  void commit();

 private:
  bool create();
  void remove();

  std::filesystem::path target_, path_;
  int lock_ = -1;  // of the mark, a file in the folder that says whose it is
};

}  // namespace nuclei
