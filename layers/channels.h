#pragma once
#include <algorithm>

#include <karyon/core/shape.h>

// Private: what layers with convolutions of 1, 2 and 3 dimensions check.
namespace karyon {

inline void check_channels(const char* op, std::int64_t in, std::int64_t out, const Shape& kernel,
                           std::int64_t groups) {
  check(in >= 1 && out >= 1, op, ": expects at least 1 channel, got ", in, " in and ", out, " out");
  check(std::ranges::all_of(kernel, [](std::int64_t size) { return size >= 1; }), op,
        ": expects a kernel of 1 or more, got ", kernel);
  check(groups >= 1 && in % groups == 0 && out % groups == 0, op, ": ", in, " and ", out,
        " channels do not divide into ", groups, " groups");
}

}  // namespace karyon
