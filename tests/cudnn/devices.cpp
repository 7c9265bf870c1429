#include <fstream>
#include <iterator>

#include <karyon/core/check.h>

#include "unet_convs.h"

namespace karyon::test {

std::string device_json(const std::string& name) {
  const std::string path = KARYON_TEST_DEVICES "/" + name + ".json";
  std::ifstream file(path);
  check(file.good(), "device ", name, ": expects a file ", path);
  return {std::istreambuf_iterator<char>(file), {}};
}

}  // namespace karyon::test
