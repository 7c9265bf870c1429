#pragma once

#include <filesystem>

namespace nuclei {

/// Writes a copy of a model's file for passing on: filters as bf16, which halves it; norms, biases,
/// thresholds and what else the file says as they are. It is read like any other. Throws Failure if `model`
/// is not a network for nuclei, karyon::Error if a file cannot be read or written.
void shrink(const std::filesystem::path& model, const std::filesystem::path& out);

}  // namespace nuclei
