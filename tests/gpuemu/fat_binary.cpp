#include "fat_binary.h"

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

#include "ptx_parser.h"

namespace gpuemu {
namespace {

constexpr std::uint32_t magic_number = 0xba55ed50;

template <class T>
T read_as(const char* at) {
  T value;
  std::memcpy(&value, at, sizeof value);
  return value;
}

}  // namespace

std::vector<std::string> ptx_of_fat_binary(const char* fat) {
  if (read_as<std::uint32_t>(fat) != magic_number) throw PtxError("a fat binary of an unknown form");
  const char* entry = fat + read_as<std::uint16_t>(fat + 6);
  const char* const end = entry + read_as<std::uint64_t>(fat + 8);
  std::vector<std::string> texts;
  while (entry < end) {
    const auto kind = read_as<std::uint16_t>(entry);
    const auto header = read_as<std::uint32_t>(entry + 4);
    const auto size = read_as<std::uint64_t>(entry + 8);
    if (kind == 1) {
      std::string text(entry + header, size);
      if (text.find(".version") == std::string::npos || ptx_target(text) == 0)
        throw PtxError("compressed PTX: build with --no-compress");
      texts.push_back(std::move(text));
    }
    entry += header + size;
  }
  return texts;
}

std::vector<std::string> ptx_of_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  const std::string data((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  if (!file || data.empty()) throw PtxError("cannot read " + path);
  if (data.compare(0, 4,
                   "\x7f"
                   "ELF") != 0)
    return {data};
  std::vector<std::string> texts;
  const char magic[] = {'\x50', '\xed', '\x55', '\xba'};
  for (auto at = data.find(magic, 0, 4); at != std::string::npos; at = data.find(magic, at + 4, 4)) {
    const std::uint64_t total =
        read_as<std::uint16_t>(data.data() + at + 6) + read_as<std::uint64_t>(data.data() + at + 8);
    if (total > data.size() - at) continue;  // the magic number by chance
    for (std::string& text : ptx_of_fat_binary(data.data() + at)) texts.push_back(std::move(text));
  }
  return texts;
}

int ptx_target(const std::string& text) {
  const auto at = text.find(".target sm_");
  return at == std::string::npos ? 0 : std::atoi(text.c_str() + at + 11);
}

}  // namespace gpuemu
