#pragma once
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

// Private: the bytes of TensorBoard's event files.
namespace karyon {

/// A message of Protocol Buffers as it grows: fields by number.
class ProtoMessage {
 public:
  void add_integer(int field, std::int64_t value);
  void add_double(int field, double value);
  void add_float(int field, float value);
  void add_bytes(int field, std::string_view value);
  void add_message(int field, const ProtoMessage& value) { add_bytes(field, value.bytes_); }
  /// A packed repeated field.
  void add_doubles(int field, std::span<const double> values);
  const std::string& bytes() const { return bytes_; }

 private:
  void varint(std::uint64_t value);
  void key(int field, int wire_type);
  std::string bytes_;
};

/// The checksum CRC-32C (Castagnoli).
std::uint32_t crc32c(std::string_view bytes);

/// A TFRecord: the length and the contents, each followed by its masked CRC-32C.
std::string framed_record(std::string_view contents);

}  // namespace karyon
