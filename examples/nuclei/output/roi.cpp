#include "output/roi.h"

#include <algorithm>
#include <bit>
#include <cstdint>

namespace nuclei {
namespace {

void big(std::string& to, std::uint64_t value, int bytes) {
  for (int i = bytes; i-- > 0;) to += static_cast<char>(value >> 8 * i & 0xff);
}

}  // namespace

std::string imagej_roi(const Found& found, std::string_view name) {
  constexpr int farthest = 32767;
  constexpr std::uint64_t subpixel = 128;
  const Ring& ring = found.parts.front().outer;
  int x0 = ring.front().x, x1 = x0, y0 = ring.front().y, y1 = y0;
  for (const Corner& c : ring) {
    x0 = std::min(x0, c.x), x1 = std::max(x1, c.x);
    y0 = std::min(y0, c.y), y1 = std::max(y1, c.y);
  }
  const bool far = x1 > farthest || y1 > farthest;  // coordinates are 16-bit numbers, unless they are floats
  const std::size_t n = ring.size(), points = n * (far ? 12 : 4);
  std::string roi = "Iout";
  big(roi, 227, 2);  // version
  big(roi, 0, 2);    // polygon
  for (const int edge : {y0, x0, y1, x1}) big(roi, static_cast<std::uint64_t>(edge), 2);
  big(roi, n <= 0xffff ? n : 0, 2);
  big(roi, n <= 0xffff ? 0 : n, 4);
  roi.resize(50);
  big(roi, far ? subpixel : 0, 2);
  roi.resize(60);
  big(roi, 64 + points, 4);  // where the second header is
  for (const Corner& c : ring) big(roi, static_cast<std::uint64_t>(c.x - x0), 2);
  for (const Corner& c : ring) big(roi, static_cast<std::uint64_t>(c.y - y0), 2);
  if (far) {
    for (const Corner& c : ring) big(roi, std::bit_cast<std::uint32_t>(static_cast<float>(c.x)), 4);
    for (const Corner& c : ring) big(roi, std::bit_cast<std::uint32_t>(static_cast<float>(c.y)), 4);
  }
  const std::size_t second = roi.size();
  roi.append(16, '\0');
  big(roi, second + 64, 4);
  big(roi, name.size(), 4);
  roi.resize(second + 64);
  for (const char c : name) big(roi, static_cast<unsigned char>(c), 2);
  return roi;
}

}  // namespace nuclei
