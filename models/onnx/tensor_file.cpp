#include <bit>
#include <cstring>
#include <fstream>

#include <karyon/models/onnx/small_float.h>
#include <karyon/models/onnx/tensor_file.h>

namespace karyon::onnx {
namespace {

static_assert(std::endian::native == std::endian::little, "raw data is little-endian");

template <class Numbers>
std::string bytes_of(const Numbers& numbers, std::size_t width) {
  std::string bytes;
  bytes.reserve(static_cast<std::size_t>(numbers.size()) * width);
  for (const auto number : numbers) bytes.append(reinterpret_cast<const char*>(&number), width);
  return bytes;
}

std::uint64_t number_of(const std::string& text, const std::string& what) {
  std::uint64_t number = 0;
  for (const char c : text) {
    check(c >= '0' && c <= '9' && number < (std::uint64_t{1} << 59), "expects a number as ", what, ", got '",
          text, "'");
    number = number * 10 + static_cast<std::uint64_t>(c - '0');
  }
  return number;
}

std::string external_bytes(const onnx_file::Tensor& from, const std::filesystem::path& folder,
                           std::uint64_t want) {
  std::filesystem::path location;
  std::uint64_t offset = 0, length = want;
  for (const onnx_file::Entry& entry : from.external_data()) {
    if (entry.key() == "location") location = entry.value();
    if (entry.key() == "offset") offset = number_of(entry.value(), "offset");
    if (entry.key() == "length") length = number_of(entry.value(), "length");
  }
  check(!location.empty() && location.is_relative(), "external data needs a file beside this one, got ",
        location);
  for (const auto& part : location) check(part != "..", "external data is not in this folder: ", location);
  const std::filesystem::path path = folder / location;
  std::ifstream in(path, std::ios::binary | std::ios::ate);
  check(in.good() && std::filesystem::is_regular_file(path), "cannot read external data in ", path);
  const auto size = static_cast<std::uint64_t>(in.tellg());
  check(offset <= size && length <= size - offset, "external data from byte ", offset, " on has ", length,
        " bytes, but ", path, " has ", size);
  check(length == want, "external data has ", length, " bytes where its shape and type take ", want);
  std::string bytes(length, '\0');
  in.seekg(static_cast<std::streamoff>(offset));
  in.read(bytes.data(), static_cast<std::streamsize>(length));
  check(in.good() || length == 0, "cannot read ", path);
  return bytes;
}

/// The elements as raw data has them.
std::string raw_bytes(const onnx_file::Tensor& from, int type, const std::filesystem::path& folder,
                      std::uint64_t want) {
  if (from.data_location() == 1) return external_bytes(from, folder, want);
  if (from.has_raw_data()) return from.raw_data();
  const auto width = static_cast<std::size_t>((bits_of(type) + 7) / 8);
  switch (type) {
    case float32: return bytes_of(from.float_data(), 4);
    case float64: return bytes_of(from.double_data(), 8);
    case int64: return bytes_of(from.int64_data(), 8);
    case uint32:
    case uint64: return bytes_of(from.uint64_data(), width);
    default: return bytes_of(from.int32_data(), width);
  }
}

template <class T>
std::int64_t element(const std::string& bytes, std::size_t i) {
  T value{};
  std::memcpy(&value, bytes.data() + i * sizeof(T), sizeof(T));
  return static_cast<std::int64_t>(value);
}

/// Bits of element i: elements of less than 8 bits begin at the low end.
std::uint32_t pattern(const std::string& bytes, std::size_t i, int bits) {
  if (bits == 16) return static_cast<std::uint32_t>(element<std::uint16_t>(bytes, i));
  const auto per_byte = static_cast<std::size_t>(8 / bits);
  const auto byte = static_cast<std::uint8_t>(bytes[i / per_byte]);
  return (byte >> (i % per_byte * static_cast<std::size_t>(bits))) & ((1u << bits) - 1);
}

std::int64_t whole_element(const std::string& bytes, std::size_t i, int type) {
  switch (type) {
    case uint8: return element<std::uint8_t>(bytes, i);
    case int8: return element<std::int8_t>(bytes, i);
    case uint16: return element<std::uint16_t>(bytes, i);
    case int16: return element<std::int16_t>(bytes, i);
    case int32: return element<std::int32_t>(bytes, i);
    case uint32: return element<std::uint32_t>(bytes, i);
    case int64:
    case uint64: return element<std::int64_t>(bytes, i);
    default: break;
  }
  const int bits = bits_of(type);
  const auto value = static_cast<std::int64_t>(pattern(bytes, i, bits));
  return value > highest(type) ? value - (std::int64_t{1} << bits) : value;
}

Tensor decoded(const std::string& bytes, const Shape& shape, int type) {
  const auto count = static_cast<std::size_t>(shape.numel());
  if (type == float32 || type == float64) {
    Tensor x = empty(shape, {.dtype = dtype_of_type(type)});
    if (count != 0) std::memcpy(x.data_ptr(), bytes.data(), bytes.size());
    return x;
  }
  if (const SmallFloat* format = small_float(type)) {
    std::vector<float> values(count);
    for (std::size_t i = 0; i < count; ++i)
      values[i] = static_cast<float>(format->decode(pattern(bytes, i, format->bits())));
    return tensor(values, shape);
  }
  std::vector<std::int64_t> values(count);
  if (type == boolean_type) {
    for (std::size_t i = 0; i < count; ++i) values[i] = bytes[i] != 0;
    return tensor(values, shape).to(boolean);
  }
  for (std::size_t i = 0; i < count; ++i) values[i] = whole_element(bytes, i, type);
  return tensor(values, shape);
}

}  // namespace

Value read_tensor(const onnx_file::Tensor& from, const std::filesystem::path& folder) {
  const int type = from.data_type();
  const std::string who = "tensor '" + from.name() + "'";
  check(is_known(type), who, " is of ", type_name(type), ", which Karyon does not have");
  check(from.dims_size() <= Shape::max_dims, who, " has ", from.dims_size(), " dimensions; at most ",
        Shape::max_dims, " are possible");
  Shape shape;
  for (const std::int64_t size : from.dims()) {
    check(size >= 0, who, " has a negative size, ", size);
    shape.push_back(size);
  }
  const std::int64_t count = shape.numel();
  const auto bits = static_cast<std::uint64_t>(checked_mul(count, bits_of(type), "onnx"));
  const std::uint64_t want = bits / 8 + (bits % 8 != 0 ? 1 : 0);
  const std::string bytes = raw_bytes(from, type, folder, want);
  check(bytes.size() == want, who, " of ", type_name(type), shape, " takes ", want, " bytes, the file has ",
        bytes.size());
  return Value(decoded(bytes, shape, type), type);
}

}  // namespace karyon::onnx
