#pragma once
#include <string>
#include <vector>

namespace gpuemu {

/// The PTX texts of a fat binary in memory, which begins with its header (magic, version, header size, total
/// size); entries (kind, version, header size, size) follow, of which kind 1 is PTX. Throws PtxError if one
/// is compressed.
std::vector<std::string> ptx_of_fat_binary(const char* fat);

/// The same for all fat binaries in a file, a program or a library; or the file itself if it is a PTX text.
std::vector<std::string> ptx_of_file(const std::string& path);

/// 80 for ".target sm_80".
int ptx_target(const std::string& text);

}  // namespace gpuemu
