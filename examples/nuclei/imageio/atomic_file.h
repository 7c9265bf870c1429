#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>

namespace nuclei {

/// Writes a whole file or nothing: the bytes go to a temporary file beside `path`, which is flushed
/// to disk and then renamed over `path`, so a reader never sees half a file and a full disk never
/// costs the previous version. A device or pipe (/dev/stdout) cannot be renamed over and is written
/// directly; a symbolic link stays and the file it points to is replaced.
/// Throws Failure with the path and the system's reason; no temporary file is left behind.
void write_file_atomically(const std::filesystem::path& path, std::span<const std::uint8_t> bytes);

/// The same for text, which is written as it is.
void write_file_atomically(const std::filesystem::path& path, std::string_view text);

/// The bytes of a file; empty if it cannot be opened.
std::string read_if_there(const std::filesystem::path& path);

/// Throws Failure if the folder of `path` does not exist. Call it before hours of work whose result goes
/// there.
void require_folder_of(const std::filesystem::path& path);

/// Creates a folder and those above it, where they are missing. Throws Failure if that is not possible.
void create_folder(const std::filesystem::path& folder);

}  // namespace nuclei
