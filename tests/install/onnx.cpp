#include <cstring>

#include <karyon/models/onnx/onnx.h>

int main() {
  try {
    karyon::load_onnx("no such file.onnx");
  } catch (const karyon::Error& error) {
    return std::strstr(error.what(), "cannot be read") != nullptr ? 0 : 1;
  }
  return 1;
}
