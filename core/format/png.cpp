#include <algorithm>
#include <string_view>

#include <karyon/core/format/inflate.h>
#include <karyon/core/format/png.h>

namespace karyon {
namespace {

void append_big_endian(std::string& text, std::uint32_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(value >> shift & 255);
}

void append_chunk(std::string& file, std::string_view type, const std::string& contents) {
  append_big_endian(file, static_cast<std::uint32_t>(contents.size()));
  const std::string body = std::string(type) + contents;
  file += body;
  append_big_endian(file, crc32(body));
}

std::uint32_t adler32(std::string_view bytes) {
  std::uint32_t a = 1, b = 0;
  for (const char byte : bytes) {
    a = (a + static_cast<unsigned char>(byte)) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

// A zlib stream of stored blocks.
std::string zlib_stored(std::string_view bytes) {
  std::string out{'\x78', '\x01'};
  for (std::size_t at = 0; at < bytes.size(); at += 65535) {
    const std::string_view block = bytes.substr(at, 65535);
    const auto size = static_cast<std::uint32_t>(block.size()), inverse = ~size;
    out += at + block.size() == bytes.size() ? '\1' : '\0';  // the last one?
    for (const std::uint32_t n : {size, inverse}) {
      out += static_cast<char>(n & 255);
      out += static_cast<char>(n >> 8 & 255);
    }
    out += block;
  }
  append_big_endian(out, adler32(bytes));
  return out;
}

}  // namespace

std::string encode_png(std::span<const std::uint8_t> pixels, std::uint32_t height, std::uint32_t width,
                       int channels) {
  constexpr char colour_types[] = {0, 4, 2, 6};  // grey, grey and alpha, RGB, RGB and alpha
  std::string header;
  append_big_endian(header, width);
  append_big_endian(header, height);
  header += {'\x8', colour_types[channels - 1], '\0', '\0', '\0'};
  const std::size_t row = std::size_t{width} * static_cast<std::size_t>(channels);
  std::string rows;
  for (std::size_t y = 0; y < height; ++y) {
    rows += '\0';  // no filter
    rows.append(reinterpret_cast<const char*>(pixels.data()) + y * row, row);
  }
  std::string file = "\x89PNG\r\n\x1a\n";
  append_chunk(file, "IHDR", header);
  append_chunk(file, "IDAT", zlib_stored(rows));
  append_chunk(file, "IEND", "");
  return file;
}

}  // namespace karyon
