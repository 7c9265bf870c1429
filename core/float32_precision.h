#pragma once
#include <string>

namespace karyon {

/// How GPUs multiply f32 in matrix products and convolutions, for the whole program, as
/// torch.set_float32_matmul_precision:
///   "highest"  in f32 (the default). PyTorch's default for convolutions is TF32
///   "high"     inputs rounded to TF32, 10 bits of fraction, on GPUs of compute capability 8.0 or later; sums in
///              f32. Several times faster
/// "medium" is "high". The CPU always multiplies in f32. The first value comes from KARYON_TF32 in the
/// environment. Throws Error for another name.
void set_float32_matmul_precision(const std::string& precision);
/// "highest" or "high".
std::string get_float32_matmul_precision();

}  // namespace karyon
