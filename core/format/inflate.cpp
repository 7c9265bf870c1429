#include <array>
#include <bit>
#include <cstring>

#include <karyon/core/check.h>
#include <karyon/core/format/inflate.h>

namespace karyon {
namespace {

constexpr int longest_code = 15, table_bits = 9;

// A Huffman code. Codes of up to table_bits bits are found in a table. For longer ones, the codes of each
// length are consecutive numbers, so the first code of a length that is larger tells the length.
class HuffmanCode {
 public:
  // False if the lengths are those of no code. Codes may be left unused.
  bool build(std::span<const std::uint8_t> lengths) {
    std::array<int, longest_code + 1> count{};
    for (const std::uint8_t length : lengths) ++count[length];
    count[0] = 0;
    int code = 0, index = 0;
    std::array<int, longest_code + 1> next{};  // the next code of each length
    for (int length = 1; length <= longest_code; ++length) {
      const auto l = static_cast<std::size_t>(length);
      code <<= 1;
      next[l] = code;
      symbol_of_code_[l] = index - code;
      code += count[l];
      index += count[l];
      if (code > 1 << length) return false;
      limit_[l] = code << (longest_code - length);
    }
    table_.fill(0);
    for (std::size_t symbol = 0; symbol < lengths.size(); ++symbol)
      if (lengths[symbol] > 0)
        add(static_cast<std::uint16_t>(symbol), lengths[symbol], next[lengths[symbol]]++);
    return true;
  }

  struct Found {
    int symbol, length;  // a length of 0: no such code
  };
  Found find(std::uint64_t bits) const {
    const std::uint16_t entry = table_[bits & ((1u << table_bits) - 1)];
    if (entry != 0) return {entry >> 4, entry & 15};
    const int code = reversed(static_cast<int>(bits & ((1u << longest_code) - 1)), longest_code);
    for (int length = table_bits + 1; length <= longest_code; ++length) {
      const auto l = static_cast<std::size_t>(length);
      if (code < limit_[l])
        return {symbols_[static_cast<std::size_t>((code >> (longest_code - length)) + symbol_of_code_[l])],
                length};
    }
    return {0, 0};
  }

 private:
  // Codes stand in the stream from their highest bit on, numbers from their lowest.
  static int reversed(int code, int length) {
    int out = 0;
    for (int i = 0; i < length; ++i) out |= (code >> i & 1) << (length - 1 - i);
    return out;
  }
  void add(std::uint16_t symbol, int length, int code) {
    symbols_[static_cast<std::size_t>(code + symbol_of_code_[static_cast<std::size_t>(length)])] = symbol;
    if (length > table_bits) return;
    const auto entry = static_cast<std::uint16_t>(symbol << 4 | length);
    for (int at = reversed(code, length); at < 1 << table_bits; at += 1 << length)
      table_[static_cast<std::size_t>(at)] = entry;
  }

  std::array<std::uint16_t, 1 << table_bits> table_{};  // symbol and length; 0: a longer code
  std::array<std::uint16_t, 288> symbols_{};            // in the order of their codes
  std::array<int, longest_code + 1> limit_{};           // above the codes of a length, moved to 15 bits
  std::array<int, longest_code + 1> symbol_of_code_{};  // place in symbols_, less the code
};

// What a length or distance symbol stands for: a base, and how many more bits are added to it.
struct Range {
  std::uint16_t base;
  std::uint8_t bits;
};
constexpr auto lengths_of_matches = [] {
  std::array<Range, 29> ranges{};
  int base = 3;
  for (int i = 0; i < 28; ++i) {
    const int bits = i < 8 ? 0 : i / 4 - 1;
    ranges[static_cast<std::size_t>(i)] = {static_cast<std::uint16_t>(base), static_cast<std::uint8_t>(bits)};
    base += 1 << bits;
  }
  ranges[28] = {258, 0};
  return ranges;
}();
constexpr auto distances = [] {
  std::array<Range, 30> ranges{};
  int base = 1;
  for (int i = 0; i < 30; ++i) {
    const int bits = i < 4 ? 0 : i / 2 - 1;
    ranges[static_cast<std::size_t>(i)] = {static_cast<std::uint16_t>(base), static_cast<std::uint8_t>(bits)};
    base += 1 << bits;
  }
  return ranges;
}();

class Inflater {
 public:
  Inflater(std::span<const char> in, std::span<char> out, const std::string& where)
      : in_(in), out_(out), where_(where) {}

  void run() {
    for (bool last = false; !last;) {
      last = take(1) == 1;
      switch (take(2)) {
        case 0: copy_stored(); break;
        case 1: set_fixed_codes(), decode_block(); break;
        case 2: read_codes(), decode_block(); break;
        default: fail();
      }
    }
    check(filled_ == out_.size(), where_, "the compressed data end early: damaged");
  }

 private:
  [[noreturn]] void fail() const { throw Error(where_ + "the compressed data are damaged"); }
  void require(bool holds) const {
    if (!holds) [[unlikely]]
      fail();
  }

  // At least 48 bits, of which those behind the end are 0.
  std::uint64_t peek() {
    while (count_ <= 56 && at_ < in_.size()) {
      bits_ |= std::uint64_t{static_cast<unsigned char>(in_[at_++])} << count_;
      count_ += 8;
    }
    return bits_;
  }
  void drop(int n) {
    require(n <= count_);
    bits_ = n < 64 ? bits_ >> n : 0;
    count_ -= n;
  }
  int take(int n) {
    const auto value = static_cast<int>(peek() & ((std::uint64_t{1} << n) - 1));
    drop(n);
    return value;
  }
  int take(const HuffmanCode& code) {
    const auto [symbol, length] = code.find(peek());
    require(length > 0);
    drop(length);
    return symbol;
  }

  void copy_stored() {
    drop(count_ % 8);
    const auto length = static_cast<std::size_t>(take(16));
    require((take(16) ^ 0xffff) == static_cast<int>(length));
    at_ -= static_cast<std::size_t>(count_ / 8);  // whole bytes that were not needed
    bits_ = 0, count_ = 0;
    require(length <= in_.size() - at_ && length <= out_.size() - filled_);
    if (length > 0) std::memcpy(out_.data() + filled_, in_.data() + at_, length);
    at_ += length;
    filled_ += length;
  }

  void set_fixed_codes() {
    std::array<std::uint8_t, 288> lengths;
    for (std::size_t i = 0; i < lengths.size(); ++i) lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    literals_.build(lengths);
    std::array<std::uint8_t, 30> fives;
    fives.fill(5);
    distances_.build(fives);
  }

  void read_codes() {
    const auto literals = static_cast<std::size_t>(take(5) + 257),
               all = literals + static_cast<std::size_t>(take(5) + 1);
    const int given = take(4) + 4;
    constexpr std::uint8_t order[] = {16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15};
    std::array<std::uint8_t, 19> of_lengths{};
    for (int i = 0; i < given; ++i) of_lengths[order[i]] = static_cast<std::uint8_t>(take(3));
    HuffmanCode code;
    require(code.build(of_lengths));
    std::array<std::uint8_t, 286 + 32> lengths{};
    require(literals <= 286);
    for (std::size_t i = 0; i < all;) {
      const int symbol = take(code);
      if (symbol < 16) {
        lengths[i++] = static_cast<std::uint8_t>(symbol);
        continue;
      }
      require(symbol != 16 || i > 0);
      const std::uint8_t value = symbol == 16 ? lengths[i - 1] : 0;
      const int times = symbol == 16 ? 3 + take(2) : symbol == 17 ? 3 + take(3) : 11 + take(7);
      require(static_cast<std::size_t>(times) <= all - i);
      for (int k = 0; k < times; ++k) lengths[i++] = value;
    }
    require(literals_.build(std::span(lengths).first(literals)) &&
            distances_.build(std::span(lengths).subspan(literals, all - literals)));
  }

  void decode_block() {
    for (;;) {
      const int symbol = take(literals_);
      if (symbol == 256) return;
      if (symbol < 256) {
        require(filled_ < out_.size());
        out_[filled_++] = static_cast<char>(symbol);
        continue;
      }
      const auto length = static_cast<std::size_t>(range(lengths_of_matches, symbol - 257));
      const auto distance = static_cast<std::size_t>(range(distances, take(distances_)));
      require(distance <= filled_ && length <= out_.size() - filled_);
      char* const to = out_.data() + filled_;
      const char* const from = to - distance;
      for (std::size_t i = 0; i < length; ++i) to[i] = from[i];  // which may be new itself
      filled_ += length;
    }
  }
  template <std::size_t n>
  int range(const std::array<Range, n>& ranges, int symbol) {
    require(symbol < static_cast<int>(n));
    const Range found = ranges[static_cast<std::size_t>(symbol)];
    return found.base + take(found.bits);
  }

  std::span<const char> in_;
  std::span<char> out_;
  const std::string& where_;
  std::size_t at_ = 0, filled_ = 0;
  std::uint64_t bits_ = 0;  // read ahead, the next one lowest
  int count_ = 0;
  HuffmanCode literals_, distances_;
};

constexpr auto crc_tables = [] {
  std::array<std::array<std::uint32_t, 256>, 8> tables{};
  for (std::uint32_t i = 0; i < 256; ++i) {
    std::uint32_t c = i;
    for (int bit = 0; bit < 8; ++bit) c = c >> 1 ^ (c & 1 ? 0xedb88320u : 0);
    tables[0][i] = c;
  }
  for (std::size_t k = 1; k < 8; ++k)
    for (std::size_t i = 0; i < 256; ++i)
      tables[k][i] = tables[k - 1][i] >> 8 ^ tables[0][tables[k - 1][i] & 255];
  return tables;
}();

}  // namespace

void inflate(std::span<const char> in, std::span<char> out, const std::string& where) {
  Inflater(in, out, where).run();
}

std::uint32_t crc32(std::span<const char> bytes) {
  static_assert(std::endian::native == std::endian::little);
  std::uint32_t crc = 0xffffffffu;
  std::size_t i = 0;
  for (; bytes.size() - i >= 8; i += 8) {
    std::uint64_t word;
    std::memcpy(&word, bytes.data() + i, 8);
    word ^= crc;
    crc = 0;
    for (std::size_t k = 0; k < 8; ++k) crc ^= crc_tables[7 - k][word >> 8 * k & 255];
  }
  for (; i < bytes.size(); ++i)
    crc = crc >> 8 ^ crc_tables[0][(crc ^ static_cast<unsigned char>(bytes[i])) & 255];
  return ~crc;
}

}  // namespace karyon
