// Catch's main. Before the tests it says which device they use, if KARYON_TEST_DEVICE asks for one, and where
// there is none it ends with the code for "skipped". So it does where KARYON_TEST_NEEDS=cudnn and there is no
// cuDNN. Tests with the tag [bf16] are left out where the device has no bf16.
#define CATCH_CONFIG_RUNNER
#include <catch2/catch.hpp>
#include <cstdlib>
#include <iostream>
#include <string>
#include <vector>

#include <karyon/core/backend.h>

#include "test_device.h"

int main(int argc, char** argv) {
  using karyon::test::device;
  constexpr int skipped = 77;
  if (const std::string why = karyon::why_unavailable(device().type); !why.empty()) {
    std::cout << "skipped, no device of type " << device().type << ": " << why << std::endl;
    return skipped;
  }
  std::string name;
  if (device() != karyon::Device::cpu()) {
    name = karyon::backend(device().type).devices().front().name;
    std::cout << device() << ": " << name << std::endl;
  }
  const char* needs = std::getenv("KARYON_TEST_NEEDS");
  if (needs && std::string(needs) == "cudnn" && name.find("no cuDNN") != std::string::npos) {
    std::cout << "skipped: " << name << std::endl;
    return skipped;
  }
  std::vector<std::string> arguments(argv, argv + argc);
  if (!karyon::test::device_has_bf16()) {
    std::cout << "left out: tests of bf16, which needs compute capability 8.0" << std::endl;
    for (std::string& argument : arguments)
      if (argument.starts_with("[")) argument += "~[bf16]";
  }
  std::vector<const char*> pointers;
  for (const std::string& argument : arguments) pointers.push_back(argument.c_str());
  const int failed = Catch::Session().run(argc, pointers.data());
  if (device() != karyon::Device::cpu()) karyon::synchronize(device());  // work that no test has waited for
  return failed == 0 ? 0 : 1;
}
