#pragma once
#include <span>
#include <string>

#include <karyon/core/tensor.h>

// Private: the bytes of an .npy file.
namespace karyon {

/// Throws Error, which begins with `where`, for bytes that load_npy refuses.
Tensor decode_npy(std::span<const char> bytes, const std::string& where);

/// What stands before the elements of `x`, a tensor of the CPU that is not bf16.
std::string npy_header(const Tensor& x);

}  // namespace karyon
