#pragma once

#include <catch2/catch.hpp>
#include <filesystem>
#include <string>

#include "common/error.h"
#include "imageio/image_source.h"

namespace nuclei::test {

/// Why an image is not read. It names the file.
inline std::string reason(const std::filesystem::path& path, const ReadOptions& options = {}) {
  try {
    read_image(path, options);
  } catch (const Failure& failure) {
    CHECK_THAT(failure.what(), Catch::Contains(path.string()));
    return failure.what();
  }
  return "no failure";
}

}  // namespace nuclei::test
