#pragma once

#include <tiffio.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <string>

namespace nuclei {

/// Opens a file through libtiff without its global state; null where that fails.
///   message  receives the last error, and has to outlive the result
TIFF* open_libtiff(const std::filesystem::path& path, const char* mode, std::string* message);
/// The same for a file that is open. Closing the result leaves it open.
TIFF* open_libtiff(int descriptor, const std::filesystem::path& path, const char* mode, std::string* message);

/// A TIFF file that is read, at one of its directories.
class TiffFile {
 public:
  explicit TiffFile(const std::filesystem::path& path);
  TIFF* get() const { return tiff_.get(); }
  const std::filesystem::path& path() const { return path_; }
  void go_to(tdir_t directory);

  /// Throws Failure with the path and a reason.
  [[noreturn]] void fail(const std::string& reason) const;
  /// Throws Failure with what libtiff says.
  [[noreturn]] void damaged(const std::string& where) const;

  template <class T>
  T field(std::uint32_t tag, T otherwise) const {
    T value{};
    return TIFFGetFieldDefaulted(get(), tag, &value) ? value : otherwise;
  }
  std::string text(std::uint32_t tag) const;

 private:
  struct Close {
    void operator()(TIFF* tiff) const { TIFFClose(tiff); }
  };
  std::filesystem::path path_;
  std::unique_ptr<std::string> message_;
  std::unique_ptr<TIFF, Close> tiff_;
};

}  // namespace nuclei
