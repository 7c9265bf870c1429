#pragma once
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>

// Private: how files are opened that may come from anywhere.
namespace karyon {

/// An open file of known size.
class InputFile {
 public:
  /// Throws Error if `path` is no regular file, or one that cannot be read. Messages begin with `op` and name
  /// the path; `kind` is what was expected, "a safetensors file" say.
  InputFile(const std::string& op, const std::filesystem::path& path, const std::string& kind);

  std::uint64_t bytes() const { return bytes_; }
  /// How messages about this file begin: "load: PATH: ".
  const std::string& where() const { return where_; }
  /// Fills `to`. Throws Error if the file ends before that.
  void read(std::uint64_t offset, void* to, std::uint64_t count);

 private:
  std::string where_;
  std::ifstream in_;
  std::uint64_t bytes_ = 0;
};

}  // namespace karyon
