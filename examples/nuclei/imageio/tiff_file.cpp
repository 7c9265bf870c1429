#include "imageio/tiff_file.h"

#include <unistd.h>

#include <cstdarg>
#include <cstdio>

#include "imageio/limits.h"

namespace nuclei {
namespace {

int keep_message(TIFF*, void* message, const char*, const char* format, va_list arguments) {
  char text[512];
  std::vsnprintf(text, sizeof text, format, arguments);
  *static_cast<std::string*>(message) = text;
  return 1;
}
int ignore_message(TIFF*, void*, const char*, const char*, va_list) { return 1; }

template <class Open>
TIFF* open_with(const Open& open, std::string* message) {
  constexpr tmsize_t largest_block = tmsize_t{1} << 30;  // what a damaged header may ask for
  TIFFOpenOptions* options = TIFFOpenOptionsAlloc();
  TIFFOpenOptionsSetMaxSingleMemAlloc(options, largest_block);
  TIFFOpenOptionsSetErrorHandlerExtR(options, keep_message, message);
  TIFFOpenOptionsSetWarningHandlerExtR(options, ignore_message, nullptr);
  TIFF* tiff = open(options);
  TIFFOpenOptionsFree(options);
  return tiff;
}

}  // namespace

TIFF* open_libtiff(const std::filesystem::path& path, const char* mode, std::string* message) {
  return open_with([&](TIFFOpenOptions* options) { return TIFFOpenExt(path.c_str(), mode, options); },
                   message);
}

TIFF* open_libtiff(int descriptor, const std::filesystem::path& path, const char* mode,
                   std::string* message) {
  const int own = ::dup(descriptor);
  if (own < 0) return nullptr;
  TIFF* tiff = open_with(
      [&](TIFFOpenOptions* options) { return TIFFFdOpenExt(own, path.c_str(), mode, options); }, message);
  if (!tiff) ::close(own);
  return tiff;
}

TiffFile::TiffFile(const std::filesystem::path& path)
    : path_(path),
      message_(std::make_unique<std::string>()),
      // m: no memory map, whose pages would count as ours.
      tiff_(open_libtiff(path, "rm", message_.get())) {
  if (!tiff_) damaged("");
}

void TiffFile::go_to(tdir_t directory) {
  if (!TIFFSetDirectory(get(), directory)) damaged("page " + std::to_string(directory + 1) + ": ");
}

void TiffFile::fail(const std::string& reason) const { fail_reading(path_, reason); }

void TiffFile::damaged(const std::string& where) const {
  fail(where + "the TIFF file is damaged, cut short or of an unsupported kind (" +
       (message_->empty() ? "libtiff gives no reason" : *message_) +
       "); copy it again, or save it uncompressed");
}

std::string TiffFile::text(std::uint32_t tag) const {
  const char* value = nullptr;
  return TIFFGetField(get(), tag, &value) && value ? value : "";
}

}  // namespace nuclei
