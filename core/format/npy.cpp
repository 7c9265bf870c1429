#include <algorithm>
#include <charconv>
#include <cstring>
#include <string_view>
#include <utility>

#include <karyon/core/format/npy.h>
#include <karyon/core/format/stored_values.h>

namespace karyon {
namespace {

constexpr std::string_view magic = "\x93NUMPY";
constexpr std::size_t most_header_bytes = std::size_t{1} << 20;

const std::pair<std::string_view, const char*> type_names[] = {
    {"f2", "F16"}, {"f4", "F32"}, {"f8", "F64"}, {"i1", "I8"},  {"i2", "I16"}, {"i4", "I32"},
    {"i8", "I64"}, {"u1", "U8"},  {"u2", "U16"}, {"u4", "U32"}, {"u8", "U64"}, {"b1", "BOOL"}};

struct Header {
  const StoredType* type = nullptr;
  StoredLayout layout;
  bool fortran_order = false;
};

// Reads the header, which is a dictionary as Python prints it:
// {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& where) : rest_(text), where_(where) {}

  Header read() {
    expect('{');
    while (!takes('}')) {
      const std::string_view key = quoted();
      expect(':');
      if (key == "descr" && header_.type == nullptr)
        set_type();
      else if (key == "fortran_order" && !std::exchange(has_order_, true))
        header_.fortran_order = truth();
      else if (key == "shape" && !std::exchange(has_shape_, true))
        read_shape();
      else
        fail();
      if (!takes(',')) {
        expect('}');
        break;
      }
    }
    skip_space();
    check(rest_.empty() && header_.type != nullptr && has_order_ && has_shape_, where_,
          "expects a header with descr, fortran_order and shape alone: damaged");
    return header_;
  }

 private:
  [[noreturn]] void fail() const {
    throw Error(where_ + "its header is damaged, or of another kind of file");
  }
  void skip_space() {
    while (!rest_.empty() && (rest_[0] == ' ' || rest_[0] == '\n')) rest_.remove_prefix(1);
  }
  bool takes(char c) {
    skip_space();
    if (rest_.empty() || rest_[0] != c) return false;
    rest_.remove_prefix(1);
    return true;
  }
  void expect(char c) {
    if (!takes(c)) fail();
  }
  std::string_view quoted() {
    const char quote = takes('"') ? '"' : '\'';
    if (quote == '\'') expect('\'');
    const std::size_t end = rest_.find(quote);
    if (end == std::string_view::npos) fail();
    const std::string_view text = rest_.substr(0, end);
    rest_.remove_prefix(end + 1);
    return text;
  }
  bool truth() {
    skip_space();
    for (const auto& [word, value] : {std::pair<std::string_view, bool>{"True", true}, {"False", false}})
      if (rest_.starts_with(word)) return rest_.remove_prefix(word.size()), value;
    fail();
  }

  void set_type() {
    skip_space();
    check(!rest_.starts_with('['), where_, "holds records with several fields, expected numbers");
    const std::string_view text = quoted();
    std::string_view name = text;
    if (!name.empty() && std::string_view("<>|=").find(name[0]) != std::string_view::npos) {
      header_.layout.big_endian = name[0] == '>';
      name.remove_prefix(1);
    }
    for (const auto& [known, stored] : type_names)
      if (name == known) header_.type = stored_type(stored);
    check(header_.type != nullptr, where_, "has the dtype '", text.substr(0, 40),
          "', expected whole numbers, truth values, float16, float32 or float64");
  }

  void read_shape() {
    expect('(');
    while (!takes(')')) {
      skip_space();
      std::int64_t size = 0;
      const auto [end, error] = std::from_chars(rest_.data(), rest_.data() + rest_.size(), size);
      if (error != std::errc() || size < 0) fail();
      rest_.remove_prefix(static_cast<std::size_t>(end - rest_.data()));
      takes('L');  // Python 2 wrote 3L
      check(header_.layout.shape.dims() < Shape::max_dims, where_, "has more than ", Shape::max_dims,
            " dimensions");
      header_.layout.shape.push_back(size);
      if (!takes(',')) {
        expect(')');
        break;
      }
    }
  }

  std::string_view rest_;
  const std::string& where_;
  Header header_;
  bool has_order_ = false, has_shape_ = false;
};

}  // namespace

Tensor decode_npy(std::span<const char> bytes, const std::string& where) {
  check(bytes.size() >= magic.size() + 4 && std::equal(magic.begin(), magic.end(), bytes.begin()), where,
        "not an .npy file, or truncated");
  const int version = bytes[6];
  check(version >= 1 && version <= 3, where, "has version ", version, " of the format, expected 1 to 3");
  const std::size_t length_bytes = version == 1 ? 2 : 4, begin = magic.size() + 2 + length_bytes;
  check(bytes.size() >= begin, where, "truncated");
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data() + magic.size() + 2, length_bytes);
  check(length <= most_header_bytes && length <= bytes.size() - begin, where, "truncated, or damaged");
  const Header header = HeaderReader({bytes.data() + begin, length}, where).read();
  const std::span<const char> values = bytes.subspan(begin + length);
  StoredLayout layout = header.layout;
  const std::uint64_t expected = stored_bytes(layout.shape, *header.type);
  check(values.size() >= expected, where, "holds ", values.size(), " bytes of ", layout.shape,
        " elements: truncated, or damaged");
  check(values.size() == expected, where, "holds ", values.size() - expected,
        " bytes more than its array: damaged, or of several arrays");
  layout.strides = packed_strides(layout.shape, header.fortran_order);
  return decode(*header.type, layout, values, where);
}

std::string npy_header(const Tensor& x) {
  const std::string_view stored = stored_type(x.dtype()).name;
  std::string text = "{'descr': '";
  for (const auto& [known, name] : type_names)
    if (stored == name) text += (element_size(x.dtype()) == 1 ? "|" : "<") + std::string(known);
  text += "', 'fortran_order': False, 'shape': (";
  for (const std::int64_t size : x.shape()) text += std::to_string(size) + (x.dim() == 1 ? "," : ", ");
  if (x.dim() > 1) text.resize(text.size() - 2);
  text += "), }";
  const std::size_t before = magic.size() + 4;
  text.resize((before + text.size() + 1 + 63) / 64 * 64 - before - 1, ' ');  // the elements begin aligned
  text += '\n';
  std::string header(magic);
  header += {1, 0, static_cast<char>(text.size() & 255), static_cast<char>(text.size() >> 8)};
  return header + text;
}

}  // namespace karyon
