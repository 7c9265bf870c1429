#pragma once
#include <filesystem>

#include <karyon/models/onnx/value.h>
#include <onnx_file.pb.h>

namespace karyon::onnx {

/// The values of a tensor in a file. External data is read from `folder`, never from outside of it.
Value read_tensor(const onnx_file::Tensor& from, const std::filesystem::path& folder);

}  // namespace karyon::onnx
