#pragma once
#include <filesystem>
#include <map>
#include <string>

#include <karyon/core/tensor.h>

namespace karyon {

/// Tensors by name, and free text by name.
struct TensorFile {
  std::map<std::string, Tensor> tensors;
  std::map<std::string, std::string> metadata;
};

/// Writes the safetensors format, which Python's safetensors reads: little-endian and row-major, as the
/// tensors are. After any failure `path` holds the old contents or the new ones (see AtomicFile). Throws
/// Error naming the path.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Reads such a file to the CPU. I8, I16, U16, U32 and U64 become i64, other types stay. Every size and offset
/// is checked before it is used. Throws Error if the file cannot be read, is truncated, or is not a safetensors
/// file, and for a U64 above 2^63 - 1.
TensorFile load_safetensors(const std::filesystem::path& path);

}  // namespace karyon
