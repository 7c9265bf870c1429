#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "imageio/tiff_file.h"

namespace nuclei {

// ImageJ above 4 GB, MetaMorph (STK) and tifffile write a stack as one directory: its pixels are the first
// plane's, and the other planes lie behind them without a gap.

/// Why the directory at which the file stands can be no such stack of `planes` planes; empty if it can.
std::string why_no_stack(const TiffFile& file, std::int64_t planes);

/// A plane of such a stack.
struct StackPlane {
  std::uint64_t begin = 0, row_bytes = 0;
};

/// The plane that lies `behind` planes behind the directory's own.
StackPlane find_in_stack(const TiffFile& file, std::uint64_t behind);

/// Reads a row in the machine's byte order. False where the file ends before.
bool read_row(const TiffFile& file, const StackPlane& plane, int y, std::vector<std::uint8_t>& row);

}  // namespace nuclei
