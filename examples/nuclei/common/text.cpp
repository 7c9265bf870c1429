#include "common/text.h"

#include <algorithm>
#include <charconv>

namespace nuclei {
namespace {

struct Character {
  std::size_t bytes;  // 1 for a byte that is not UTF-8
  char32_t code;      // not_utf8 for such a byte
};
constexpr char32_t not_utf8 = 0xffffffff;

/// The first character of a text that is not empty.
Character first_character(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {1, lead};
  const std::size_t bytes = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  constexpr char32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000};
  if (lead < 0xc2 || lead > 0xf4 || text.size() < bytes) return {1, not_utf8};
  char32_t code = lead & (0x7f >> bytes);
  for (std::size_t i = 1; i < bytes; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {1, not_utf8};
    code = code << 6 | (byte(i) & 0x3f);
  }
  const bool surrogate = code >= 0xd800 && code <= 0xdfff;
  if (code < smallest[bytes] || code > 0x10ffff || surrogate) return {1, not_utf8};
  return {bytes, code};
}

/// Calls visit(character, its bytes) for each character.
template <class Visit>
void for_each_character(std::string_view text, const Visit& visit) {
  for (std::size_t at = 0; at < text.size();) {
    const Character c = first_character(text.substr(at));
    visit(c.code, text.substr(at, c.bytes));
    at += c.bytes;
  }
}

bool controls_terminal(char32_t code) {
  const bool control = code < 0x20 || (code >= 0x7f && code < 0xa0);
  const bool line_end = code == 0x2028 || code == 0x2029;
  const bool direction = code == 0x061c || code == 0x200e || code == 0x200f ||
                         (code >= 0x202a && code <= 0x202e) || (code >= 0x2066 && code <= 0x2069);
  return code == not_utf8 || control || line_end || direction;
}

}  // namespace

std::string fixed(double value, int decimals) {
  char buffer[400];  // the largest double has 309 digits before the point
  const auto [end, error] =
      std::to_chars(buffer, buffer + sizeof buffer, value, std::chars_format::fixed, decimals);
  return error == std::errc() ? std::string(buffer, end) : std::to_string(value);
}

std::string percent(double share, int decimals) { return fixed(100 * share, decimals) + " %"; }

std::string counted(std::size_t n, const char* what) {
  return std::to_string(n) + " " + what + (n == 1 ? "" : "s");
}

void append_part(std::string& text, std::string_view separator, std::string_view part) {
  if (!text.empty() && !part.empty()) text += separator;
  text += part;
}

std::string padded(std::int64_t number, std::size_t digits) {
  const std::string text = std::to_string(number);
  return std::string(digits - std::min(digits, text.size()), '0') + text;
}

std::string lower(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

std::string csv_field(std::string_view text) {
  constexpr std::string_view formula = "=+-@'\t\r\n";
  const bool harmful = !text.empty() && formula.find(text.front()) != std::string_view::npos;
  const std::string field = (harmful ? "'" : "") + std::string(text);
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string quoted = "\"";
  for (const char c : field) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string printable(std::string_view text) {
  constexpr const char* digits = "0123456789abcdef";
  std::string shown;
  for_each_character(text, [&](char32_t code, std::string_view bytes) {
    if (!controls_terminal(code)) {
      shown += bytes;
      return;
    }
    for (const char c : bytes) {
      const auto byte = static_cast<unsigned char>(c);
      shown += {'\\', 'x', digits[byte >> 4], digits[byte & 15]};
    }
  });
  return shown;
}

std::string to_utf8(std::string_view name) {
  std::string text;
  for_each_character(name, [&](char32_t code, std::string_view bytes) {
    if (code != not_utf8) {
      text += bytes;
      return;
    }
    const auto byte = static_cast<unsigned char>(bytes.front());
    text += {'\0', static_cast<char>(0xc0 | byte >> 6), static_cast<char>(0x80 | (byte & 0x3f))};
  });
  return text;
}

std::string from_utf8(std::string_view text) {
  std::string name;
  bool is_byte = false;
  for_each_character(text, [&](char32_t code, std::string_view bytes) {
    if (is_byte) {
      name += static_cast<char>(code);
    } else if (code != 0) {
      name += bytes;
    }
    is_byte = code == 0;
  });
  return name;
}

}  // namespace nuclei
