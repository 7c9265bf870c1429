#include <karyon/models/onnx/attributes.h>

namespace karyon::onnx {
namespace {

onnx_file::Attribute& added(onnx_file::Node& node, const char* name, int type) {
  onnx_file::Attribute& to = *node.add_attribute();
  to.set_name(name);
  to.set_type(type);
  return to;
}

}  // namespace

void put(onnx_file::Node& node, const char* name, double value) {
  added(node, name, 1).set_f(static_cast<float>(value));
}
void put(onnx_file::Node& node, const char* name, std::int64_t value) { added(node, name, 2).set_i(value); }
void put(onnx_file::Node& node, const char* name, const std::string& value) {
  added(node, name, 3).set_s(value);
}
void put(onnx_file::Node& node, const char* name, const std::vector<std::int64_t>& values) {
  onnx_file::Attribute& to = added(node, name, 7);
  for (const std::int64_t value : values) to.add_ints(value);
}

}  // namespace karyon::onnx
