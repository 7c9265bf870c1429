#pragma once
#include <filesystem>
#include <map>
#include <string>

#include <karyon/core/tensor.h>

namespace karyon {

/// Reads one array of NumPy's to the CPU, as numpy.load: formats 1 to 3, C and Fortran order, little- and
/// big-endian. int8, int16, uint16, uint32 and uint64 become i64, other types stay. Throws Error that names
/// the path if the file is damaged or holds more than the array, for other dtypes (complex numbers, text,
/// objects, records), and for a uint64 above 2^63 - 1.
Tensor load_npy(const std::filesystem::path& path);
/// Writes an array that numpy.load reads, whole or not at all (see AtomicFile). NumPy has no bf16: it becomes
/// float32, which loses nothing. Throws Error that names the path.
void save_npy(const std::filesystem::path& path, const Tensor& x);

/// Reads the arrays of numpy.savez or numpy.savez_compressed by their names, each as load_npy does.
/// Compressed ones can take 1032 times the memory that the file takes, and no more.
std::map<std::string, Tensor> load_npz(const std::filesystem::path& path);
/// Writes a file as numpy.savez does, uncompressed and of less than 4 GB.
void save_npz(const std::filesystem::path& path, const std::map<std::string, Tensor>& tensors);

}  // namespace karyon
