// BMP files of all kinds of header, written by hand.
#include "images.h"

namespace {

using File = std::vector<std::uint8_t>;

void add(File& file, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) file.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

File bitmap(unsigned header, unsigned bits, int height, unsigned compression) {
  const unsigned colours = bits <= 8 ? 1u << bits : 0, width = 6;
  const unsigned start =
      14 + header + (compression == 3 && header == 40 ? 12 : 0) + colours * (header == 12 ? 3 : 4);
  File file{'B', 'M'};
  add(file, 0, 4);
  add(file, 0, 4);
  add(file, start, 4);
  add(file, header, 4);
  add(file, width, header == 12 ? 2 : 4);
  add(file, static_cast<std::uint32_t>(height), header == 12 ? 2 : 4);
  add(file, 1, 2);
  add(file, bits, 2);
  if (header > 12) add(file, compression, 4);
  if (header == 40 && compression == 3)
    file.resize(54), add(file, 0x00f800, 4), add(file, 0x7e0, 4), add(file, 0x1f, 4);
  while (file.size() < start) file.push_back(static_cast<std::uint8_t>(file.size() * 5));
  for (int i = 0; i < 4 * 24; ++i) file.push_back(static_cast<std::uint8_t>(i * 9));
  return file;
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds;
  for (const unsigned header : {12u, 40u, 56u, 108u, 124u})
    for (const unsigned bits : {1u, 4u, 8u, 16u, 24u, 32u})
      for (const unsigned compression : {0u, 3u}) seeds.push_back(bitmap(header, bits, 4, compression));
  seeds.push_back(bitmap(40, 24, -4, 0));
  seeds.push_back(bitmap(40, 8, 4, 1));
  return seeds;
}

const fuzz::Register target{{"bmp", fuzz::read_picture, seeds}};

}  // namespace
