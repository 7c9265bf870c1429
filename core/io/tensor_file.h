#pragma once
#include <filesystem>
#include <string>

#include <karyon/core/serialize.h>

namespace karyon {

/// Reads tensors from a file of any kind that Karyon reads, which its first bytes tell: safetensors,
/// torch.save (see load_pytorch) or .npz. Throws Error as the functions for these do.
///   prefix  if not empty: only tensors and texts whose names begin with it and a dot, without both
TensorFile load_tensors(const std::filesystem::path& path, const std::string& prefix = "");

}  // namespace karyon
