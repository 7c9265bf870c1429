#pragma once
#include <sys/wait.h>

#include <array>
#include <catch2/catch.hpp>
#include <cstdio>
#include <string>

namespace nuclei::test {

struct Result {
  int code;
  std::string text;  // stdout and stderr
};

/// Runs a shell command; `$nuclei` in it is the program.
inline Result shell(const std::string& command) {
  const std::string line = "nuclei='" NUCLEI_PROGRAM "'; exec 2>&1; " + command;
  std::FILE* pipe = ::popen(line.c_str(), "r");
  REQUIRE(pipe != nullptr);
  Result result;
  std::array<char, 4096> buffer;
  for (std::size_t n; (n = std::fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    result.text.append(buffer.data(), n);
  const int status = ::pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  UNSCOPED_INFO(command << "\n-> " << result.code << "\n" << result.text);
  return result;
}

}  // namespace nuclei::test
