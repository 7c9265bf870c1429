#include "instances/outline.h"

#include <algorithm>
#include <array>
#include <unordered_map>

namespace nuclei {
namespace {

// The four ways, clockwise from "to the right". The nucleus lies on the right-hand side of the way.
constexpr std::array<Corner, 4> directions{{{1, 0}, {0, 1}, {-1, 0}, {0, -1}}};

bool encloses(const Ring& ring, Corner point) {
  // Counts the ring's sides that a ray meets, which runs from the point's pixel to the left.
  bool inside = false;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Corner a = ring[i], b = ring[(i + 1) % ring.size()];
    if (a.x == b.x && a.x <= point.x && std::min(a.y, b.y) <= point.y && std::max(a.y, b.y) > point.y)
      inside = !inside;
  }
  return inside;
}

Ring without_straight_corners(const std::vector<Corner>& line) {
  Ring ring;
  for (std::size_t i = 0; i < line.size(); ++i) {
    const Corner before = line[(i + line.size() - 1) % line.size()], after = line[(i + 1) % line.size()];
    if ((before.x == line[i].x) != (line[i].x == after.x)) ring.push_back(line[i]);
  }
  return ring;
}

/// Gives each hole to the smallest part that encloses it; parts come by descending area.
void add_holes(std::vector<Part>& parts, std::vector<Ring>& holes) {
  for (Ring& hole : holes) {
    // The hole's uppermost, leftmost corner is one of its own, and its pixel there is below to the right.
    const Corner top = *std::ranges::min_element(hole, {}, [](Corner c) { return std::pair(c.y, c.x); });
    auto owner = parts.rbegin();
    while (owner != parts.rend() && !encloses(owner->outer, top)) ++owner;
    if (owner != parts.rend()) owner->holes.push_back(std::move(hole));
  }
}

}  // namespace

std::int64_t doubled_area(const Ring& ring) {
  std::int64_t sum = 0;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Corner a = ring[i], b = ring[(i + 1) % ring.size()];
    sum += static_cast<std::int64_t>(a.x) * b.y - static_cast<std::int64_t>(b.x) * a.y;
  }
  return sum;
}

std::vector<Part> outline(const LabelMap& map, const Nucleus& n) {
  const int width = n.x1 - n.x0 + 1, height = n.y1 - n.y0 + 1;  // corners
  const auto inside = [&](int x, int y) {
    return x >= 0 && y >= 0 && x + 1 < width && y + 1 < height && map.at(x + n.x0, y + n.y0) == n.label;
  };
  // Whether a pixel side leaves corner (x, y) this way and has the nucleus on its right-hand side alone.
  const auto is_side = [&](int x, int y, int way) {
    switch (way) {
      case 0: return inside(x, y) && !inside(x, y - 1);
      case 1: return inside(x - 1, y) && !inside(x, y);
      case 2: return inside(x - 1, y - 1) && !inside(x - 1, y);
      default: return inside(x, y - 1) && !inside(x - 1, y - 1);
    }
  };
  Raster<std::uint8_t> walked(width, height);  // per corner: a bit for each way that a line has left it
  std::vector<Part> parts;
  std::vector<Ring> holes;
  const auto keep = [&](const std::vector<Corner>& line) {
    Ring ring = without_straight_corners(line);
    for (Corner& c : ring) c = {c.x + n.x0, c.y + n.y0};
    if (doubled_area(ring) > 0) {
      parts.push_back({std::move(ring), {}});
    } else {
      holes.push_back(std::move(ring));
    }
  };
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      for (int start = 0; start < 4; ++start) {
        if (!is_side(x, y, start) || walked.at(x, y) >> start & 1) continue;
        std::vector<Corner> line;
        std::unordered_map<std::size_t, std::size_t> seen;  // where in the line a corner is
        Corner at{x, y};
        int way = start;
        do {
          // A corner met again closes a ring of its own.
          if (const auto before = seen.find(walked.index(at.x, at.y)); before != seen.end()) {
            const auto from = line.begin() + static_cast<std::ptrdiff_t>(before->second);
            keep({from, line.end()});
            for (auto c = from; c != line.end(); ++c) seen.erase(walked.index(c->x, c->y));
            line.erase(from, line.end());
          }
          seen[walked.index(at.x, at.y)] = line.size();
          line.push_back(at);
          std::uint8_t& ways = walked.at(at.x, at.y);
          ways = static_cast<std::uint8_t>(ways | 1 << way);
          at = {at.x + directions[static_cast<std::size_t>(way)].x,
                at.y + directions[static_cast<std::size_t>(way)].y};
          // Where pixels touch at a corner only, stay with this one: the right turn first.
          for (const int turn : {1, 0, 3}) {
            if (!is_side(at.x, at.y, (way + turn) % 4)) continue;
            way = (way + turn) % 4;
            break;
          }
        } while (at != Corner{x, y} || way != start);
        keep(line);
      }
    }
  }
  std::ranges::stable_sort(parts, std::greater<>(), [](const Part& p) { return doubled_area(p.outer); });
  add_holes(parts, holes);
  return parts;
}

Ring with_cut_corners(const Ring& ring) {
  Ring cut;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const Corner a = ring[i], b = ring[(i + 1) % ring.size()];
    const int dx = (b.x > a.x) - (b.x < a.x), dy = (b.y > a.y) - (b.y < a.y);
    const Corner first{2 * a.x + dx, 2 * a.y + dy}, last{2 * b.x - dx, 2 * b.y - dy};
    cut.push_back(first);
    if (last != first) cut.push_back(last);
  }
  return cut;
}

std::vector<Run> column_runs(const LabelMap& map, const Nucleus& n) {
  std::vector<Run> runs;
  for (int x = n.x0; x < n.x1; ++x) {
    bool open = false;
    for (int y = n.y0; y < n.y1; ++y) {
      const bool inside = map.at(x, y) == n.label;
      if (inside && open) {
        ++runs.back().length;
      } else if (inside) {
        runs.push_back({x, y, 1});
      }
      open = inside;
    }
  }
  return runs;
}

std::vector<Span> column_spans(const std::vector<Run>& runs, int height) {
  std::vector<Span> spans;
  for (const Run& run : runs) {
    const std::int64_t start = std::int64_t{run.x} * height + run.y;
    if (!spans.empty() && spans.back().start + spans.back().length == start) {
      spans.back().length += run.length;
    } else {
      spans.push_back({start, run.length});
    }
  }
  return spans;
}

}  // namespace nuclei
