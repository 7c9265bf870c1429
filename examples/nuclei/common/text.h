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

/// padded(7, 3) == "007".
std::string padded(std::int64_t number, std::size_t digits);

/// ASCII letters in lower case, the rest as it is.
std::string lower(std::string text);

/// A field as RFC 4180 wants it: quoted if it holds a comma, a quote or a line break.
std::string csv_field(std::string_view text);

}  // namespace nuclei
