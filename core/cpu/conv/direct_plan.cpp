// How a direct convolution is cut into chunks, stages and panels.
#include <algorithm>

#include <karyon/core/cpu/conv/direct.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t copy_floats = 96 * 1024;  // of the input's copy: 384 KiB of a 1 MiB L2 cache
constexpr std::int64_t chunk_pixels = 1024;      // of small images that one chunk takes together
constexpr std::int64_t max_taps = 9 * 128;       // times channels per stage: 147 KiB more for 32 outputs
constexpr double most_inside = 0.75;             // of what taps read, where those outside are left out

bool dilated(const std::vector<AxisTap>& taps) {
  return taps.size() > 1 && taps[1].offset - taps[0].offset > 1;
}

// A wide dilation reads mostly beyond the image. Patches would be small where it is narrow.
bool leaves_out_taps(const TapConv& t) {
  return (dilated(t.tap_rows) || dilated(t.tap_cols)) &&
         share_inside(t.tap_rows, t.step.h, t.in_h, t.rows) *
                 share_inside(t.tap_cols, t.step.w, t.in_w, t.cols) <
             most_inside;
}

bool reads(const Stretch& stretch, std::int64_t tap) {
  return std::ranges::find(stretch.taps, tap, &AxisTap::index) != stretch.taps.end();
}

}  // namespace

std::vector<Tap> product(const std::vector<AxisTap>& rows, const std::vector<AxisTap>& cols) {
  std::vector<Tap> taps;
  for (const AxisTap& row : rows)
    for (const AxisTap& col : cols) taps.push_back({row.offset, col.offset, row.index, col.index});
  return taps;
}

DirectPlan::DirectPlan(const TapConv& conv) : t(conv), skips(leaves_out_taps(conv)) {
  for (const Tap& tap : t.taps) {
    row_min = std::min(row_min, tap.row);
    row_max = std::max(row_max, tap.row);
    col_min = std::min(col_min, tap.col);
    col_max = std::max(col_max, tap.col);
  }
  stages = ceil_div(t.c, std::max<std::int64_t>(max_taps / taps, 128) / 128 * 128);
  channels = std::min(t.c, round_up(ceil_div(t.c, stages), 16));
  cut_images();
  share_out();
  in_place = !skips && reads_in_place();
}

void DirectPlan::cut_images() {
  const std::int64_t span = row_max - row_min + 1;
  left = skips ? 0 : col_min;
  copy_w = skips ? t.in_w : (t.cols - 1) * t.step.w + col_max - col_min + 1;
  rows = skips ? chunk_pixels / t.cols : (copy_floats / (copy_w * channels) - span) / t.step.h + 1;
  rows = std::clamp<std::int64_t>(rows, 1, t.rows);
  row_chunks = ceil_div(t.rows, rows);
  rows = ceil_div(t.rows, row_chunks);
  const std::int64_t copied = (rows - 1) * t.step.h + span;
  copy_size = (skips ? std::min(copied, t.in_h) : copied) * copy_w * channels;
}

void DirectPlan::share_out() {
  const std::int64_t tasks_wanted = 2 * num_threads();
  images = 1;
  if (row_chunks == 1)
    images = std::clamp<std::int64_t>(std::min(chunk_pixels / (t.rows * t.cols), 2 * copy_floats / copy_size),
                                      1, t.n);
  while (images > 1 && ceil_div(t.n, images) * panels < 2 * tasks_wanted) images = ceil_div(images, 2);
  image_chunks = ceil_div(t.n, images);
  shares = std::clamp<std::int64_t>(ceil_div(tasks_wanted, image_chunks * row_chunks), 1, panels);
}

bool DirectPlan::reads_in_place() const {
  const bool one_by_one = taps == 1 && t.step.h == 1 && t.step.w == 1;
  return !t.scale && (one_by_one || panels >= 4) && row_max - row_min < t.step.h &&
         col_max - col_min < t.step.w && row_min >= 0 && col_min >= 0 &&
         (t.rows - 1) * t.step.h + row_max < t.in_h && (t.cols - 1) * t.step.w + col_max < t.in_w;
}

DirectPlan::Chunk DirectPlan::chunk(std::int64_t task) const {
  const std::int64_t share = task % shares, row = task / shares % row_chunks * rows;
  const std::int64_t image = task / shares / row_chunks;
  return {.first_image = image * t.n / image_chunks,
          .last_image = (image + 1) * t.n / image_chunks,
          .first_row = row,
          .rows = std::min(rows, t.rows - row),
          .first_panel = share * panels / shares,
          .last_panel = (share + 1) * panels / shares};
}

std::vector<DirectPlan::Patch> DirectPlan::patches(const Chunk& chunk, std::int64_t c, std::int64_t row,
                                                   std::int64_t pixel) const {
  if (!skips) return {{0, chunk.rows, 0, t.cols, runs(c, row, pixel)}};
  std::vector<Patch> result;
  const std::vector<Stretch> cols = stretches(t.tap_cols, t.step.w, t.in_w, t.cols);
  for (const Stretch& r : stretches(t.tap_rows, t.step.h, t.in_h, t.rows)) {
    const std::int64_t first = std::max(r.begin, chunk.first_row),
                       last = std::min(r.end, chunk.first_row + chunk.rows);
    if (first >= last) continue;
    for (const Stretch& s : cols) {
      Patch patch{first - chunk.first_row, last - first, s.begin, s.end - s.begin, {}};
      std::int64_t skip = 0;
      for (const Tap& tap : t.taps) {
        if (reads(r, tap.i) && reads(s, tap.j)) {
          patch.runs.push_back({(first * t.step.h + tap.row - top(chunk)) * row +
                                    (s.begin * t.step.w + tap.col - left) * pixel,
                                c, skip});
          skip = 0;
        } else {
          skip += c;
        }
      }
      result.push_back(std::move(patch));
    }
  }
  return result;
}

// Where pixels are dense, taps side by side make one run.
std::vector<Run> DirectPlan::runs(std::int64_t c, std::int64_t row, std::int64_t pixel) const {
  std::vector<Run> out;
  for (std::size_t i = 0; i < t.taps.size(); ++i) {
    const Tap& tap = t.taps[i];
    if (i > 0 && c == pixel && tap.row == t.taps[i - 1].row && tap.col == t.taps[i - 1].col + 1) {
      out.back().length += c;
    } else {
      out.push_back({(tap.row - row_min) * row + (tap.col - col_min) * pixel, c});
    }
  }
  return out;
}

}  // namespace karyon::cpu
