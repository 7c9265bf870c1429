#pragma once
#include "fuzz.h"

namespace fuzz {

/// The input as a file. Behind a first byte 'h' stand a header's text, up to a byte 0, and the data: the
/// header's length is put before them, so that a text of any length is read.
inline std::filesystem::path as_safetensors(Bytes input) {
  if (input.empty() || input.front() != 'h') return as_file(input);
  input = input.subspan(1);
  const auto end = std::find(input.begin(), input.end(), std::uint8_t{0});
  auto length = static_cast<std::uint64_t>(end - input.begin());
  std::vector<std::uint8_t> file(8);
  for (std::uint8_t& byte : file) byte = static_cast<std::uint8_t>(length), length >>= 8;
  file.insert(file.end(), input.begin(), end);
  if (end != input.end()) file.insert(file.end(), end + 1, input.end());
  return as_file(file);
}

/// A safetensors file as an input that begins with 'h'. Its header holds no byte 0.
inline std::vector<std::uint8_t> with_open_header(const std::vector<std::uint8_t>& file) {
  std::size_t length = 0;
  for (int i = 8; i-- > 0;) length = length << 8 | file[static_cast<std::size_t>(i)];
  std::vector<std::uint8_t> input(file.begin() + 7, file.end());
  input.front() = 'h';
  input.insert(input.begin() + 1 + static_cast<std::ptrdiff_t>(length), std::uint8_t{0});
  return input;
}

}  // namespace fuzz
