#pragma once

#include <filesystem>

namespace nuclei {

/// Prints what a model file (or a checkpoint) holds: the network, how it was trained, its layers. Throws
/// karyon::Error if the file is damaged.
void info(const std::filesystem::path& file);

/// Prints the devices to compute on, and in one line why CUDA is not among them.
void list_devices();

}  // namespace nuclei
