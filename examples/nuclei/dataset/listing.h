#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace nuclei {

/// The entries of a folder by ascending name. Files that are not the user's are left out: hidden ones
/// (.DS_Store, ._copies of macOS) and those that Windows adds (Thumbs.db, desktop.ini). Throws Failure if the
/// folder cannot be read.
///   left_out  how many that are is added here
std::vector<std::filesystem::path> list_folder(const std::filesystem::path& folder,
                                               std::size_t* left_out = nullptr);

/// An image's name: its file's without the ending. `.ome.tif` and its like are one ending.
std::string name_of(const std::filesystem::path& file);

}  // namespace nuclei
