#pragma once
#include <string>
#include <vector>

#include <onnx_file.pb.h>

namespace karyon::onnx {

/// Adds an attribute to a node.
void put(onnx_file::Node& node, const char* name, std::int64_t value);
void put(onnx_file::Node& node, const char* name, double value);
void put(onnx_file::Node& node, const char* name, const std::string& value);
void put(onnx_file::Node& node, const char* name, const std::vector<std::int64_t>& values);

}  // namespace karyon::onnx
