#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

namespace nuclei {

/// `value` with a fixed number of decimals and a point, whatever the locale.
std::string fixed(double value, int decimals);

/// A share in [0, 1] as per cent: percent(0.9031) == "90.3 %".
std::string percent(double share, int decimals = 1);

/// counted(1, "image") == "1 image", counted(2, "image") == "2 images".
std::string counted(std::size_t n, const char* what);

/// Adds a part behind a separator; no separator where one of the two is empty.
void append_part(std::string& text, std::string_view separator, std::string_view part);

/// padded(7, 3) == "007".
std::string padded(std::int64_t number, std::size_t digits);

/// ASCII letters in lower case, the rest as it is.
std::string lower(std::string text);

/// A name as a field of a CSV file: quoted if it holds a comma, a quote or a line break (RFC 4180).
/// Spreadsheets take a field that begins with = + - @, a tab or a line break for a formula. Such a name, and
/// one that begins with an apostrophe, gets an apostrophe in front. A reader that drops it has the name.
std::string csv_field(std::string_view text);

/// Text of unknown origin for a terminal or a log: control characters, those that turn the direction of
/// writing, and bytes that are not UTF-8 as \x1b; the rest as it is. A line break is one of them: the result
/// is one line.
std::string printable(std::string_view text);

/// A name for JSON, which holds UTF-8 only. Each byte that is not UTF-8 becomes U+0000, which no name holds,
/// and the character of the byte's number. Names in UTF-8 stay as they are.
std::string to_utf8(std::string_view name);
/// The name of which to_utf8() made `text`.
std::string from_utf8(std::string_view text);

}  // namespace nuclei
