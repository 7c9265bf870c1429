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

/// Writes the safetensors format (readable by Python's safetensors): little-endian, row-major, as
/// the tensors are. Written through AtomicFile:
/// whatever happens, `path` holds the old contents or the new. Throws Error naming the path.
void save_safetensors(const std::filesystem::path& path, const TensorFile& file);

/// Reads it back to the CPU. What other programs write in F16 becomes f32; I8, I16, I32, U16 and U32 become
/// i64. Every size and offset is checked before it is used. Throws Error if the file cannot be read, is
/// truncated, or is not a safetensors file.
TensorFile load_safetensors(const std::filesystem::path& path);

}  // namespace karyon
