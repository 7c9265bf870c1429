#include "imageio/limits.h"

#include "common/error.h"

namespace nuclei {

void fail_reading(const std::filesystem::path& path, const std::string& reason) {
  throw Failure("reading " + path.string() + ": " + reason);
}

void check_sides(const std::filesystem::path& path, std::int64_t width, std::int64_t height) {
  if (width < 1 || height < 1)
    fail_reading(path, "the header claims " + size_text(width, height) +
                           " pixels, expected 1 or more a side; the file is damaged, copy it again");
  if (width > longest_side || height > longest_side)
    fail_reading(path, "the header claims " + size_text(width, height) + " pixels, the limit is " +
                           std::to_string(longest_side) + " a side");
}

void check_whole(const std::filesystem::path& path, std::int64_t width, std::int64_t height) {
  check_sides(path, width, height);
  if (width <= max_pixels / height) return;
  fail_reading(path, "it has " + size_text(width, height) +
                         " pixels, the limit for a picture that is read as a "
                         "whole is " +
                         std::to_string(max_pixels >> 20) + " Mi; cut the image into tiles");
}

void check_memory(const std::filesystem::path& path, const std::string& what, std::uint64_t bytes,
                  std::size_t limit) {
  constexpr std::uint64_t mega = 1'000'000;
  if (bytes <= (limit > 0 ? limit : default_memory)) return;
  fail_reading(path, what + " takes " + std::to_string(bytes / mega + 1) + " MB, the limit is " +
                         std::to_string((limit > 0 ? limit : default_memory) / mega) + " MB" +
                         (limit > 0 ? "; raise --max-memory, or save the image as a tiled TIFF"
                                    : "; save the image as a tiled TIFF"));
}

}  // namespace nuclei
