#include <array>
#include <bit>

#include <karyon/core/format/event_record.h>

namespace karyon {
namespace {

template <class T>
void append(std::string& text, T value) {
  static_assert(std::endian::native == std::endian::little);
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

constexpr std::array<std::uint32_t, 256> crc_table = [] {
  std::array<std::uint32_t, 256> table{};
  for (std::uint32_t byte = 0; byte < 256; ++byte) {
    std::uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc >> 1 ^ (crc & 1 ? 0x82f63b78u : 0);
    table[byte] = crc;
  }
  return table;
}();

// The checksum of bytes that hold checksums would be weak: TensorFlow stores it turned and shifted.
std::uint32_t masked_crc(std::string_view bytes) { return std::rotr(crc32c(bytes), 15) + 0xa282ead8u; }

enum WireType { varint_type = 0, eight_bytes = 1, sized = 2, four_bytes = 5 };

}  // namespace

void ProtoMessage::varint(std::uint64_t value) {
  for (; value >= 128; value >>= 7) bytes_ += static_cast<char>(value | 128);
  bytes_ += static_cast<char>(value);
}

void ProtoMessage::key(int field, int wire_type) {
  varint(static_cast<std::uint64_t>(field << 3 | wire_type));
}

void ProtoMessage::add_integer(int field, std::int64_t value) {
  key(field, varint_type);
  varint(static_cast<std::uint64_t>(value));
}

void ProtoMessage::add_double(int field, double value) {
  key(field, eight_bytes);
  append(bytes_, value);
}

void ProtoMessage::add_float(int field, float value) {
  key(field, four_bytes);
  append(bytes_, value);
}

void ProtoMessage::add_bytes(int field, std::string_view value) {
  key(field, sized);
  varint(value.size());
  bytes_ += value;
}

void ProtoMessage::add_doubles(int field, std::span<const double> values) {
  add_bytes(field, {reinterpret_cast<const char*>(values.data()), values.size_bytes()});
}

std::uint32_t crc32c(std::string_view bytes) {
  std::uint32_t crc = ~0u;
  for (const char byte : bytes) crc = crc >> 8 ^ crc_table[(crc ^ static_cast<unsigned char>(byte)) & 255];
  return ~crc;
}

std::string framed_record(std::string_view contents) {
  std::string out;
  append(out, static_cast<std::uint64_t>(contents.size()));
  append(out, masked_crc(out));
  out += contents;
  append(out, masked_crc(contents));
  return out;
}

}  // namespace karyon
