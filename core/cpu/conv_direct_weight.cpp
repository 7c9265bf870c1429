// The direct convolution's gradient in the weights: for every tap a product of matrices [C, pixels] x
// [pixels, K], whose left side is a shifted view of x. A task takes x apart into panels of channels, with
// zeros around the image, and dy into blocks of outputs, so that register tiles (conv_tiles.cpp) read both in
// order; then the sums of a panel and a block stay in the L1 cache while all their pixels go by.
#include <algorithm>
#include <bit>
#include <vector>

#include <karyon/core/cpu/conv.h>
#include <karyon/core/cpu/conv_input.h>
#include <karyon/core/cpu/conv_tiles.h>
#include <karyon/core/cpu/scratch.h>
#include <karyon/core/cpu/vectorized.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t segment_pixels = 256;                 // that a register tile sums up in one go
constexpr std::int64_t least_unit = 1024;                    // pixels taken apart together
constexpr std::int64_t unit_floats = std::int64_t{1} << 17;  // of x and dy, where more pixels fit
constexpr std::int64_t most_floats = std::int64_t{1} << 19;  // of them in one task
constexpr std::int64_t most_sums = std::int64_t{1} << 20;    // floats in the sums of all chunks
constexpr std::int64_t skew =
    16;  // between panels: at distances of 4 KiB they would share sets of the L1 cache

// [begin, end) of the i-th of `parts` equal shares of n.
struct Share {
  std::int64_t begin, end;
  Share(std::int64_t i, std::int64_t parts, std::int64_t n)
      : begin(i * n / parts), end((i + 1) * n / parts) {}
  std::int64_t size() const { return end - begin; }
};

// One group of channels: how its pixels are cut into units, units into chunks, channels and outputs into
// parts.
struct WeightGradient {
  const ConvGeometry& g;
  const ImagePart& x;
  const float* dy;
  float* dweight;
  std::int64_t group, c = g.c / g.groups, k = g.k / g.groups;
  std::int64_t taps = g.kernel.h * g.kernel.w;
  // Taps side by side and their channels are one run of register tiles: about 48 to 64 elements.
  std::int64_t taps_in_run = g.dilation.w == 1 ? g.kernel.w : 1;
  std::int64_t panel = std::max<std::int64_t>(64 / taps_in_run / 16, 1) * 16, panels = ceil_div(c, panel);
  std::int64_t width = conv_block_width(), blocks = ceil_div(k, width);
  std::int64_t sums_size = taps * std::min(panel, c) * width;  // of one panel and block: [tap][c][k]

  // A unit is a share of the images, of their rows and of their columns; only whole images go together.
  std::int64_t groups_of_images = 0, bands = 1, strips = 1;
  std::int64_t images = 0, rows = 0, cols = 0;  // of a unit at most
  std::int64_t block_h = 0, block_w = 0;        // of x that the rows and columns of a unit read
  std::int64_t chunks = 1, c_parts = 1, k_parts = 1;

  void plan() {
    const std::int64_t pixels = std::max(least_unit, unit_floats / (c + k));
    strips = ceil_div(g.w_out, 2 * pixels);
    cols = ceil_div(g.w_out, strips);
    bands = ceil_div(g.h_out, std::clamp<std::int64_t>(pixels / cols, 1, g.h_out));
    const bool whole = strips == 1 && bands == 1;
    groups_of_images = whole ? ceil_div(g.n, std::max<std::int64_t>(pixels / (g.h_out * cols), 1)) : g.n;
    // Chunks depend on the sizes alone, since they decide what is added in which order.
    chunks = static_cast<std::int64_t>(std::bit_floor(static_cast<std::uint64_t>(std::clamp<std::int64_t>(
        most_sums / (panels * blocks * sums_size), 1, std::clamp<std::int64_t>(units(), 1, 16)))));
    // As many units in each, if some more bands do it.
    for (std::int64_t more = bands; !whole && more <= std::min(g.h_out, 2 * bands); ++more)
      if (groups_of_images * strips * more % chunks == 0) {
        bands = more;
        break;
      }
    images = ceil_div(g.n, groups_of_images);
    rows = ceil_div(g.h_out, bands);
    block_h = (rows - 1) * g.stride.h + (g.kernel.h - 1) * g.dilation.h + 1;
    block_w = (cols - 1) * g.stride.w + (g.kernel.w - 1) * g.dilation.w + 1;
    // Tasks for all threads, and no larger than the caches: each takes its channels of x and outputs of dy
    // apart.
    auto floats = [&] {
      return images * (block_h * block_w * ceil_div(panels, c_parts) * panel +
                       rows * cols * ceil_div(blocks, k_parts) * width);
    };
    while (chunks * c_parts * k_parts < 2 * num_threads() || floats() > most_floats) {
      const bool more_c = c_parts < panels, more_k = k_parts < blocks;
      if (!more_c && !more_k) break;
      const bool split_c = more_c && (!more_k || panels * panel * k_parts >= blocks * width * c_parts);
      (split_c ? c_parts : k_parts) =
          std::min(split_c ? 2 * c_parts : 2 * k_parts, split_c ? panels : blocks);
    }
  }
  std::int64_t units() const { return groups_of_images * bands * strips; }
  std::int64_t channels_in(std::int64_t i) const { return std::min(panel, c - i * panel); }
  std::int64_t outputs_in(std::int64_t i) const { return std::min(width, k - i * width); }

  struct Unit {
    Share images, rows, cols;
  };
  Unit unit(std::int64_t i) const {
    return {.images = {i / (bands * strips), groups_of_images, g.n},
            .rows = {i / strips % bands, bands, g.h_out},
            .cols = {i % strips, strips, g.w_out}};
  }

  std::int64_t panel_floats() const { return images * block_h * block_w * panel + skew; }
  std::int64_t block_floats() const { return images * rows * cols * width + skew; }

  // The pixels of x that a unit reads, panels `of` apart: [panel][image][row][col][c], zeros around the
  // image.
  void split_x(const Unit& u, const Share& of, float* to) const {
    const std::int64_t left = u.cols.begin * g.stride.w - g.padding.w;
    const std::int64_t first = std::clamp<std::int64_t>(-left, 0, block_w),
                       last = std::clamp<std::int64_t>(g.w - left, first, block_w);
    const std::int64_t c0 = of.begin * panel, channels = std::min(of.end * panel, c) - c0;
    for (std::int64_t image = 0; image < u.images.size(); ++image)
      for (std::int64_t i = 0; i < block_h; ++i) {
        const std::int64_t row = u.rows.begin * g.stride.h - g.padding.h + i;
        const bool inside = row >= 0 && row < g.h;
        const std::int64_t begin = inside ? first : block_w, end = inside ? last : block_w;
        const std::int64_t at = (image * block_h + i) * block_w;
        for (std::int64_t p = of.begin; p < of.end; ++p) {
          const std::int64_t n = channels_in(p);
          float* line = to + (p - of.begin) * panel_floats() + at * n;
          std::fill(line, line + begin * n, 0.0f);
          std::fill(line + end * n, line + block_w * n, 0.0f);
        }
        if (begin == end) continue;
        // A last panel of fewer channels has a start of its own.
        const std::int64_t whole = channels / panel * panel;
        auto split = [&](std::int64_t from_c, std::int64_t count, std::int64_t n) {
          conv_split_pixels({.from = x.data +
                                     (((u.images.begin + image) * g.h + row) * g.w + left + begin) * g.c +
                                     group * c + c0 + from_c,
                             .pixel = g.c,
                             .count = end - begin,
                             .channels = count,
                             .scale = x.scale ? x.scale + group * c + c0 + from_c : nullptr,
                             .shift = x.shift ? x.shift + group * c + c0 + from_c : nullptr,
                             .to = to + from_c / panel * panel_floats() + (at + begin) * n,
                             .width = panel,
                             .panel = panel_floats(),
                             .padded = false});
        };
        if (whole > 0) split(0, whole, panel);
        if (whole < channels) split(whole, channels - whole, channels - whole);
      }
  }

  // The pixels of dy of a unit, blocks `of` apart: [block][image][row][col][k].
  void split_dy(const Unit& u, const Share& of, float* to) const {
    const std::int64_t k0 = of.begin * width, outputs = std::min(of.end * width, k) - k0;
    const std::int64_t whole = outputs / width * width;
    std::int64_t at = 0;
    for (std::int64_t image = u.images.begin; image < u.images.end; ++image)
      for (std::int64_t row = u.rows.begin; row < u.rows.end; ++row, at += u.cols.size()) {
        const float* from = dy + ((image * g.h_out + row) * g.w_out + u.cols.begin) * g.k + group * k + k0;
        auto split = [&](std::int64_t from_k, std::int64_t count, std::int64_t n) {
          conv_split_pixels({.from = from + from_k,
                             .pixel = g.k,
                             .count = u.cols.size(),
                             .channels = count,
                             .scale = nullptr,
                             .shift = nullptr,
                             .to = to + from_k / width * block_floats() + at * n,
                             .width = width,
                             .panel = block_floats(),
                             .padded = true});
        };
        if (whole > 0) split(0, whole, width);
        if (whole < outputs) split(whole, outputs - whole, rounded(outputs - whole));
      }
  }

  // What the next unit reads of x and dy, to be fetched while this one is computed: a stretch of each where
  // they are read as they lie.
  struct Ahead {
    const float *x = nullptr, *dy = nullptr;
    std::int64_t x_floats = 0, dy_floats = 0, calls = 1, call = 0;
    void next(WeightTiles& tiles) {
      const Share share(call++, calls, x_floats + dy_floats);
      tiles.ahead = share.begin < x_floats ? x + share.begin : dy + share.begin - x_floats;
      tiles.ahead_floats = share.size();
    }
  };
  Ahead ahead_of(const Unit& now, const Unit& then, std::int64_t multiplications) const {
    Ahead ahead{.calls = multiplications * segments(now)};
    if (strips > 1 || g.groups > 1) return ahead;
    const std::int64_t top = then.rows.begin * g.stride.h - g.padding.h;
    const std::int64_t first = std::clamp<std::int64_t>(top, 0, g.h),
                       last = std::clamp<std::int64_t>(top + block_h, 0, g.h);
    // Rows that both read are at hand.
    const std::int64_t read =
        now.images.begin == then.images.begin
            ? std::clamp<std::int64_t>(now.rows.begin * g.stride.h - g.padding.h + block_h, first, last)
            : first;
    if (c_parts == 1) {
      ahead.x = x.data + (then.images.begin * g.h + read) * g.w * g.c;
      ahead.x_floats = ((then.images.size() - 1) * g.h + last - read) * g.w * g.c;
    }
    if (k_parts == 1) {
      ahead.dy = dy + (then.images.begin * g.h_out + then.rows.begin) * g.w_out * g.k;
      ahead.dy_floats = then.images.size() * then.rows.size() * g.w_out * g.k;
    }
    return ahead;
  }

  // A unit's pixels in segments of whole rows, or of a part of one row.
  std::int64_t segment_cols(const Unit& u) const {
    return ceil_div(u.cols.size(), ceil_div(u.cols.size(), segment_pixels));
  }
  std::int64_t segment_rows(const Unit& u) const {
    return std::max<std::int64_t>(1, segment_pixels / u.cols.size());
  }
  std::int64_t segments(const Unit& u) const {
    return u.images.size() * ceil_div(u.rows.size(), segment_rows(u)) *
           ceil_div(u.cols.size(), segment_cols(u));
  }

  // Adds a unit's products of one panel and one block to their sums, or puts them there.
  void multiply(const Unit& u, std::int64_t p, const float* xs, std::int64_t b, const float* dys, bool first,
                float* sums, Ahead& ahead) const {
    const std::int64_t n = channels_in(p), padded = rounded(outputs_in(b)), unit_cols = u.cols.size();
    std::vector<Run> runs;
    for (std::int64_t i = 0; i < g.kernel.h; ++i)
      for (std::int64_t j = 0; j < g.kernel.w; j += taps_in_run)
        runs.push_back({(i * g.dilation.h * block_w + j * g.dilation.w) * n, taps_in_run * n});
    const std::int64_t seg_cols = segment_cols(u), seg_rows = segment_rows(u);
    for (std::int64_t image = 0; image < u.images.size(); ++image)
      for (std::int64_t i = 0; i < u.rows.size(); i += seg_rows)
        for (std::int64_t j = 0; j < unit_cols; j += seg_cols) {
          const std::int64_t row = image * block_h + i * g.stride.h;
          WeightTiles tiles{.x = xs + (row * block_w + j * g.stride.w) * n,
                            .x_row = g.stride.h * block_w * n,
                            .x_pixel = g.stride.w * n,
                            .runs = runs.data(),
                            .run_count = static_cast<std::int64_t>(runs.size()),
                            .dy = dys + ((image * u.rows.size() + i) * unit_cols + j) * padded,
                            .rows = std::min(seg_rows, u.rows.size() - i),
                            .cols = std::min(seg_cols, unit_cols - j),
                            .outputs = outputs_in(b),
                            .partial = sums,
                            .accumulate = !first};
          ahead.next(tiles);
          conv_weight_tiles(tiles);
          first = false;
        }
  }

  // Sums [tap][c][k] to weights [k][tap][c].
  void finish(std::int64_t p, std::int64_t b, const float* sums) const {
    const std::int64_t n = channels_in(p), padded = rounded(outputs_in(b));
    for (std::int64_t tap = 0; tap < taps; ++tap)
      conv_transpose(sums + tap * n * padded, padded, n, outputs_in(b),
                     dweight + ((group * k + b * width) * taps + tap) * c + p * panel, taps * c);
  }

  void run() const {
    const bool at_once = units() == 1;  // whose sums need no memory of their own
    Tensor partial = at_once ? Tensor() : empty({chunks * panels * blocks * sums_size});
    auto sums_of = [&](std::int64_t chunk, std::int64_t p, std::int64_t b) {
      return partial.data<float>() + ((chunk * panels + p) * blocks + b) * sums_size;
    };
    const bool dy_in_place = g.k == width && blocks == 1 && strips == 1;
    parallel_for(chunks * c_parts * k_parts, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t chunk = task / (c_parts * k_parts);
        const Share units_of(chunk, chunks, units()), panels_of(task / k_parts % c_parts, c_parts, panels),
            blocks_of(task % k_parts, k_parts, blocks);
        float* xs = scratch(panels_of.size() * panel_floats(), 0);
        float* dys = dy_in_place ? nullptr : scratch(blocks_of.size() * block_floats(), 1);
        for (std::int64_t i = units_of.begin; i < units_of.end; ++i) {
          const Unit u = unit(i);
          split_x(u, panels_of, xs);
          if (!dy_in_place) split_dy(u, blocks_of, dys);
          const float* from_dy =
              dy_in_place ? dy + (u.images.begin * g.h_out + u.rows.begin) * g.w_out * g.k : dys;
          Ahead ahead;
          if (i + 1 < units_of.end) ahead = ahead_of(u, unit(i + 1), panels_of.size() * blocks_of.size());
          for (std::int64_t p = panels_of.begin; p < panels_of.end; ++p)
            for (std::int64_t b = blocks_of.begin; b < blocks_of.end; ++b) {
              float* sums = at_once ? scratch(sums_size, 2) : sums_of(chunk, p, b);
              multiply(u, p, xs + (p - panels_of.begin) * panel_floats(), b,
                       from_dy + (b - blocks_of.begin) * block_floats(), i == units_of.begin, sums, ahead);
              if (chunks == 1 && i + 1 == units_of.end) finish(p, b, sums);
            }
        }
      }
    });
    if (chunks == 1) return;
    parallel_for(panels * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t task = begin; task < end; ++task) {
        const std::int64_t p = task / blocks, b = task % blocks;
        float* sums = sums_of(0, p, b);
        for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
          vectorized([to = sums, more = sums_of(chunk, p, b),
                      size = taps * channels_in(p) * rounded(outputs_in(b))] {
            for (std::int64_t i = 0; i < size; ++i) to[i] += more[i];
          });
        finish(p, b, sums);
      }
    });
  }
};

}  // namespace

void conv2d_backward_weight_direct(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                   Tensor& dweight) {
  if (g.n == 0) {
    dweight.fill_(0);
    return;
  }
  const ConvInput in = grouped_input(x, g.c / g.groups);
  for (std::int64_t group = 0; group < g.groups; ++group) {
    WeightGradient gradient{
        .g = g, .x = in.parts[0], .dy = dy.data<float>(), .dweight = dweight.data<float>(), .group = group};
    gradient.plan();
    gradient.run();
  }
}

}  // namespace karyon::cpu
