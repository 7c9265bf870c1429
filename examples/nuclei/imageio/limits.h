#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <string>

#include "imageio/raster.h"

namespace nuclei {

// What a file may claim, checked before memory is taken: a damaged or hostile header may hold any number. All
// sizes are 64 bits wide. With sides up to a million, samples up to 65535 and 8 bytes each, no product of
// them overflows.

/// The longest side of a picture or of a tile.
inline constexpr std::int64_t longest_side = 1'000'000;

/// A picture with more pixels is never decoded as a whole.
inline constexpr std::int64_t max_pixels = std::int64_t{1} << 27;

/// What reading may hold where no limit was given.
inline constexpr std::size_t default_memory = std::size_t{2} << 30;

/// Throws Failure: "reading PATH: REASON".
[[noreturn]] void fail_reading(const std::filesystem::path& path, const std::string& reason);

/// Throws Failure unless both sides are 1 to longest_side.
void check_sides(const std::filesystem::path& path, std::int64_t width, std::int64_t height);

/// Throws Failure for a picture of more than max_pixels.
void check_whole(const std::filesystem::path& path, std::int64_t width, std::int64_t height);

/// Throws Failure where `what` ("a row of its pixels") takes more bytes than the limit.
///   limit  0: default_memory
void check_memory(const std::filesystem::path& path, const std::string& what, std::uint64_t bytes,
                  std::size_t limit);

}  // namespace nuclei
