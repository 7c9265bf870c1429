#pragma once

#include <string>
#include <string_view>

namespace nuclei {

/// `value` with a fixed number of decimals and a point, whatever the locale.
std::string fixed(double value, int decimals);

/// A share in [0, 1] as per cent: percent(0.9031) == "90.3 %".
std::string percent(double share, int decimals = 1);

/// A field as RFC 4180 wants it: quoted if it holds a comma, a quote or a line break.
std::string csv_field(std::string_view text);

}  // namespace nuclei
