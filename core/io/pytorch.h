#pragma once
#include <filesystem>
#include <string>

#include <karyon/core/serialize.h>

namespace karyon {

/// Reads a file of torch.save (PyTorch 1.6 and later) to the CPU: a state dict, or any dicts, lists and
/// tuples of tensors. Nothing in the file is executed.
///   tensors   by dotted name: {"state_dict": {"0.weight": ...}} gives "state_dict.0.weight". Items of lists
///             are numbered. A file that is one tensor gives it the name "". Tensors that are the same one in
///             the file (shared weights) share their memory; other views of one memory are copied
///   metadata  numbers, truth values and text by the same names: {"epoch": 3} gives "epoch", "3"
///   prefix    if not empty: only what is below it, under names without it. "state_dict", say
/// int8, int16, uint16, uint32 and uint64 become i64, other types stay. Filters are in PyTorch's
/// layout: load_weights() puts them into a module.
/// Throws Error that names the path if the file is damaged or of another kind, and for what is not read:
/// files of PyTorch before 1.6, TorchScript, classes but dict and OrderedDict, complex, quantized and sparse
/// tensors. Also throws if the tensors take far more memory than the file (expanded ones).
TensorFile load_pytorch(const std::filesystem::path& path, const std::string& prefix = "");

}  // namespace karyon
