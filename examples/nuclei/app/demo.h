#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

namespace nuclei {

/// Generates images of nuclei, trains a small network on them, finds the nuclei in images it has not seen,
/// and says what to open. A few minutes on two cores. Throws Failure.
void demo(const std::filesystem::path& out, std::uint64_t seed, const std::string& device);

}  // namespace nuclei
