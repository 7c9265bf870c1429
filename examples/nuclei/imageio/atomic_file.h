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

/// The bytes of a file; empty if there is none, or it cannot be opened. Throws Failure if it is a pipe or a
/// device, which might never end.
std::string read_if_there(const std::filesystem::path& path);

/// Throws Failure if the folder of `path` does not exist. Call it before hours of work whose result goes
/// there.
void require_folder_of(const std::filesystem::path& path);

/// Throws Failure if there is a file at `path` that another program or person made: files of this kind hold
/// `mark` near their beginning. Call it before hours of work whose result goes there.
void require_ours(const std::filesystem::path& path, std::string_view mark);

/// Throws Failure if there is a file at `path` that holds anything.
void require_free(const std::filesystem::path& path);

/// Creates a folder and those above it, where they are missing. Throws Failure if that is not possible.
void create_folder(const std::filesystem::path& folder);

}  // namespace nuclei
