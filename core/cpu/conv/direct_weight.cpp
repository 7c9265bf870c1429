// The direct convolution's gradient in the weights. Each tap is a product of matrices [C, pixels] x [pixels,
// K], whose left side is a shifted view of x. The pixels are taken in stages. A stage copies x into panels of
// channels, with zeros around the image, and dy into panels of outputs. Register tiles (tiles.cpp) then read
// both in order. The sums of a panel of x and one of dy then stay in the L1 cache while all their pixels are
// read.
#include <algorithm>
#include <bit>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/chunks.h>
#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t stage_floats = 96 * 1024;           // in the panels of x and dy: they fit the L2 cache
constexpr std::int64_t least_stage = 256;                  // pixels in a stage, at least
constexpr std::int64_t least_shared_stage = 1024;          // the same when all threads share one stage
constexpr std::int64_t most_in_place = 64;                 // channels that register tiles read in place
constexpr std::int64_t most_sums = std::int64_t{5} << 18;  // floats in the sums of all chunks
constexpr std::int64_t least_chunks = 8, most_chunks = 16;
// Floats between panels: at distances of 4 KiB they would share sets of the L1 cache.
constexpr std::int64_t skew = 16;

// The plan for one group of channels, and the work itself. Pixels are cut into stages, and stages are joined
// to chunks. Channels and outputs are cut into panels.
struct DirectWeightPlan {
  const ConvGeometry& g;
  const ImagePart &x, &dy;
  float* dweight;
  std::int64_t group, c = g.c / g.groups, k = g.k / g.groups;
  std::int64_t taps = g.kernel.h * g.kernel.w;
  // Taps side by side and their channels are one run of a register tile: about 48 to 64 elements.
  std::int64_t taps_in_run = g.dilation.w == 1 ? g.kernel.w : 1;
  // Few channels are read in place: those of x if it has neither borders nor scales, those of dy if it has no
  // scales.
  bool few = g.groups == 1 && c <= most_in_place && g.padding.h == 0 && g.padding.w == 0;
  bool x_in_place = few && !x.scale;
  std::int64_t x_width = x_in_place ? c : std::max<std::int64_t>(64 / taps_in_run / 16, 1) * 16;
  std::int64_t x_panels = ceil_div(c, x_width);
  std::int64_t dy_width = conv_panel_width(), dy_panels = ceil_div(k, dy_width);
  // Pixels that one call of the register tiles sums up. It decides how sums round, so it is the same with and
  // without scales.
  std::int64_t call_pixels = few ? 256 : 512;
  // Tiles read whole vectors. In place, those of a group's last outputs must not reach beyond dy.
  bool dy_in_place = !dy.scale && k <= most_in_place && k % dy_width == 0;
  std::int64_t sums_size = taps * std::min(x_width, c) * dy_width;  // sums of one pair of panels: [tap][c][k]

  // A stage is a share of the images, of their rows and of their columns; only whole images go together.
  std::int64_t image_shares = 0, row_shares = 1, col_shares = 1;
  std::int64_t images = 0, rows = 0, cols = 0;  // in a stage, at most
  std::int64_t x_rows = 0, x_cols = 0;          // of x, as read by the rows and columns of a stage
  std::int64_t chunks = 1;

  void plan() {
    const std::int64_t least =
        most_sums / (x_panels * dy_panels * sums_size) < least_chunks ? least_shared_stage : least_stage;
    const std::int64_t pixels = std::max(least, stage_floats / (c * g.stride.h * g.stride.w + k));
    col_shares = ceil_div(g.w_out, 2 * pixels);
    cols = ceil_div(g.w_out, col_shares);
    row_shares = ceil_div(g.h_out, std::clamp<std::int64_t>(pixels / cols, 1, g.h_out));
    const bool whole = col_shares == 1 && row_shares == 1;
    image_shares = whole ? ceil_div(g.n, std::max<std::int64_t>(pixels / (g.h_out * cols), 1)) : g.n;
    // Depends on the sizes alone, because chunks fix the order of additions.
    const auto fit = std::bit_floor(
        static_cast<std::uint64_t>(std::min(most_sums / (x_panels * dy_panels * sums_size), stages())));
    chunks = fit < least_chunks ? 1 : std::min<std::int64_t>(static_cast<std::int64_t>(fit), most_chunks);
    // As many stages in each, if some more shares of the rows achieve that.
    for (std::int64_t more = row_shares; !whole && more <= std::min(g.h_out, 2 * row_shares); ++more)
      if (image_shares * col_shares * more % chunks == 0) {
        row_shares = more;
        break;
      }
    images = ceil_div(g.n, image_shares);
    rows = ceil_div(g.h_out, row_shares);
    x_rows = (rows - 1) * g.stride.h + (g.kernel.h - 1) * g.dilation.h + 1;
    x_cols = (cols - 1) * g.stride.w + (g.kernel.w - 1) * g.dilation.w + 1;
  }
  std::int64_t stages() const { return image_shares * row_shares * col_shares; }
  std::int64_t channels_in(std::int64_t i) const { return std::min(x_width, c - i * x_width); }
  std::int64_t outputs_in(std::int64_t i) const { return std::min(dy_width, k - i * dy_width); }

  struct Stage {
    Share images, rows, cols;
  };
  // Strides of pixels: floats from one line or image to the next.
  struct Lines {
    const float* first;
    std::int64_t line, image;
  };
  struct Channels {
    std::int64_t first, count, width;
  };
  Stage stage(std::int64_t i) const {
    return {.images = {i / (row_shares * col_shares), image_shares, g.n},
            .rows = {i / col_shares % row_shares, row_shares, g.h_out},
            .cols = {i % col_shares, col_shares, g.w_out}};
  }

  std::int64_t x_panel_floats() const { return images * x_rows * x_cols * x_width + skew; }
  std::int64_t dy_panel_floats() const { return images * rows * cols * dy_width + skew; }

  // Lines of pixels that a stage copies into panels: those of dy, and those of x with the border that the
  // filter reaches.
  std::int64_t x_lines(const Stage& s) const { return x_in_place ? 0 : s.images.size() * x_rows; }
  std::int64_t dy_lines(const Stage& s) const { return dy_in_place ? 0 : s.images.size() * s.rows.size(); }

  // Copies line i of a stage of x into [panel][line][col][c], with zeros around the image.
  void split_x(const Stage& s, std::int64_t i, float* to) const {
    const std::int64_t row = s.rows.begin * g.stride.h - g.padding.h + i % x_rows,
                       left = s.cols.begin * g.stride.w - g.padding.w;
    const bool inside = row >= 0 && row < g.h;
    const std::int64_t begin = inside ? std::clamp<std::int64_t>(-left, 0, x_cols) : x_cols,
                       end = inside ? std::clamp<std::int64_t>(g.w - left, begin, x_cols) : x_cols;
    const std::int64_t whole = c / x_width * x_width;
    const std::int64_t from = (((s.images.begin + i / x_rows) * g.h + row) * g.w + left + begin) * g.c;
    // The last panel may have fewer channels.
    for (const auto& [c0, count, n] : {Channels{0, whole, x_width}, Channels{whole, c - whole, c - whole}}) {
      float* line = to + c0 / x_width * x_panel_floats() + i * x_cols * n;
      for (std::int64_t p = 0; p < count; p += n) {
        float* padded = line + p / x_width * x_panel_floats();
        std::fill(padded, padded + begin * n, 0.0f);
        std::fill(padded + end * n, padded + x_cols * n, 0.0f);
      }
      if (begin < end && count > 0)
        conv_split_pixels({.from = x.data + from + group * c + c0,
                           .pixel = g.c,
                           .count = end - begin,
                           .channels = count,
                           .scale = x.scale ? x.scale + group * c + c0 : nullptr,
                           .shift = x.shift ? x.shift + group * c + c0 : nullptr,
                           .to = line + begin * n,
                           .width = n,
                           .panel = x_panel_floats(),
                           .padded = false});
    }
  }

  // Copies line i of a stage of dy into [panel][line][col][k].
  void split_dy(const Stage& s, std::int64_t i, float* to) const {
    const std::int64_t whole = k / dy_width * dy_width, rest = round_up(k - whole, simd_lanes());
    const std::int64_t row =
        (s.images.begin + i / s.rows.size()) * g.h_out + s.rows.begin + i % s.rows.size();
    const std::int64_t from = (row * g.w_out + s.cols.begin) * g.k;
    for (const auto& [k0, count, n] : {Channels{0, whole, dy_width}, Channels{whole, k - whole, rest}})
      if (count > 0)
        conv_split_pixels({.from = dy.data + from + group * k + k0,
                           .pixel = g.k,
                           .count = s.cols.size(),
                           .channels = count,
                           .scale = dy.scale ? dy.scale + group * k + k0 : nullptr,
                           .shift = dy.shift ? dy.shift + group * k + k0 : nullptr,
                           .to = to + k0 / dy_width * dy_panel_floats() + i * s.cols.size() * n,
                           .width = n,
                           .panel = dy_panel_floats(),
                           .padded = true});
  }

  // The parts of x and dy that the next stage reads. The caches fetch them while this stage is computed.
  struct Ahead {
    const float *x = nullptr, *dy = nullptr;
    std::int64_t x_floats = 0, dy_floats = 0, calls = 1, call = 0;
    void next(WeightTiles& tiles) {
      const Share share(call++, calls, x_floats + dy_floats);
      tiles.ahead = share.begin < x_floats ? x + share.begin : dy + share.begin - x_floats;
      tiles.ahead_floats = share.size();
    }
  };
  Ahead ahead_of(const Stage& now, const Stage& then) const {
    Ahead ahead{.calls = x_panels * dy_panels * tile_calls(now)};
    if (col_shares > 1 || g.groups > 1) return ahead;
    const std::int64_t top = then.rows.begin * g.stride.h - g.padding.h;
    const std::int64_t last = std::clamp<std::int64_t>(top + x_rows, 0, g.h);
    std::int64_t first = std::clamp<std::int64_t>(top, 0, last);
    if (now.images.begin == then.images.begin)  // rows that both read are already there
      first = std::clamp<std::int64_t>(now.rows.begin * g.stride.h - g.padding.h + x_rows, first, last);
    ahead.x = x.data + (then.images.begin * g.h + first) * g.w * g.c;
    ahead.x_floats = ((then.images.size() - 1) * g.h + last - first) * g.w * g.c;
    ahead.dy = dy.data + (then.images.begin * g.h_out + then.rows.begin) * g.w_out * g.k;
    ahead.dy_floats = then.images.size() * then.rows.size() * g.w_out * g.k;
    return ahead;
  }

  // A call of the register tiles takes some whole rows of a stage, or some columns of one row.
  std::int64_t call_cols(const Stage& s) const {
    return ceil_div(s.cols.size(), ceil_div(s.cols.size(), call_pixels));
  }
  std::int64_t call_rows(const Stage& s) const {
    return std::max<std::int64_t>(1, call_pixels / s.cols.size());
  }
  std::int64_t tile_calls(const Stage& s) const {
    return s.images.size() * ceil_div(s.rows.size(), call_rows(s)) * ceil_div(s.cols.size(), call_cols(s));
  }

  // Adds a stage's products of one pair of panels to their sums, or writes them if it is the first stage.
  void multiply(const Stage& s, std::int64_t pair, const float* xs, const float* dys, bool first, float* sums,
                Ahead& ahead) const {
    const std::int64_t p = pair / dy_panels, b = pair % dy_panels;
    const std::int64_t n = channels_in(p), padded = round_up(outputs_in(b), simd_lanes()),
                       stage_cols = s.cols.size();
    Lines in{xs + p * x_panel_floats(), x_cols * n, x_rows * x_cols * n};
    if (x_in_place)
      in = {
          x.data + ((s.images.begin * g.h + s.rows.begin * g.stride.h) * g.w + s.cols.begin * g.stride.w) * c,
          g.w * c, g.h * g.w * c};
    Lines grad{dys + b * dy_panel_floats(), stage_cols * padded, s.rows.size() * stage_cols * padded};
    if (dy_in_place)
      grad = {dy.data + ((s.images.begin * g.h_out + s.rows.begin) * g.w_out + s.cols.begin) * g.k +
                  group * k + b * dy_width,
              g.w_out * g.k, g.h_out * g.w_out * g.k};
    std::vector<Run> runs;
    for (std::int64_t i = 0; i < g.kernel.h; ++i)
      for (std::int64_t j = 0; j < g.kernel.w; j += taps_in_run)
        runs.push_back({i * g.dilation.h * in.line + j * g.dilation.w * n, taps_in_run * n});
    const std::int64_t cols_at_once = call_cols(s), rows_at_once = call_rows(s);
    for (std::int64_t image = 0; image < s.images.size(); ++image)
      for (std::int64_t i = 0; i < s.rows.size(); i += rows_at_once)
        for (std::int64_t j = 0; j < stage_cols; j += cols_at_once) {
          WeightTiles tiles{
              .x = in.first + image * in.image + i * g.stride.h * in.line + j * g.stride.w * n,
              .x_row = g.stride.h * in.line,
              .x_pixel = g.stride.w * n,
              .runs = runs.data(),
              .run_count = static_cast<std::int64_t>(runs.size()),
              .dy = grad.first + image * grad.image + i * grad.line + j * (dy_in_place ? g.k : padded),
              .dy_row = grad.line,
              .dy_pixel = dy_in_place ? g.k : padded,
              .rows = std::min(rows_at_once, s.rows.size() - i),
              .cols = std::min(cols_at_once, stage_cols - j),
              .outputs = outputs_in(b),
              .partial = sums,
              .accumulate = !first};
          ahead.next(tiles);
          conv_weight_tiles(tiles);
          first = false;
        }
  }

  // Writes sums [tap][c][k] as weights [k][tap][c].
  void finish(std::int64_t pair, const float* sums) const {
    const std::int64_t p = pair / dy_panels, b = pair % dy_panels;
    const std::int64_t n = channels_in(p), outputs = outputs_in(b), padded = round_up(outputs, simd_lanes());
    const bool nontemporal = g.k * taps * c >= nontemporal_floats && c % 16 == 0 && x_width % 16 == 0 &&
                             outputs == padded && reinterpret_cast<std::uintptr_t>(dweight) % 64 == 0;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      conv_transpose(sums + tap * n * padded, padded, n, outputs,
                     dweight + ((group * k + b * dy_width) * taps + tap) * c + p * x_width, taps * c,
                     nontemporal);
    if (nontemporal) hwy::FlushStream();  // before another thread may read it
  }

  // Few weights: threads share out the pixels.
  void run_chunks() const {
    const std::int64_t pairs = x_panels * dy_panels;
    const auto fill = [&](std::int64_t chunk, float* sums) {
      const Share of(chunk, chunks, stages());
      float* const xs = x_in_place ? nullptr : scratch(x_panels * x_panel_floats(), 0);
      float* const dys = dy_in_place ? nullptr : scratch(dy_panels * dy_panel_floats(), 1);
      for (std::int64_t i = of.begin; i < of.end; ++i) {
        const Stage s = stage(i);
        for (std::int64_t line = 0; line < x_lines(s); ++line) split_x(s, line, xs);
        for (std::int64_t line = 0; line < dy_lines(s); ++line) split_dy(s, line, dys);
        Ahead ahead;
        const std::int64_t next =
            i + 1 < of.end ? i + 1 : Share(chunk + num_threads(), chunks, stages()).begin;
        if (next < stages()) ahead = ahead_of(s, stage(next));
        for (std::int64_t pair = 0; pair < pairs; ++pair)
          multiply(s, pair, xs, dys, i == of.begin, sums + pair * sums_size, ahead);
      }
    };
    const auto range = [&](std::int64_t pair) {
      return SumRange{pair * sums_size, taps * channels_in(pair / dy_panels) *
                                            round_up(outputs_in(pair % dy_panels), simd_lanes())};
    };
    sum_in_chunks(chunks, pairs * sums_size, pairs, fill, range,
                  [&](std::int64_t pair, const float* sums) { finish(pair, sums); });
  }

  // Many weights: all threads copy a stage into panels, then share out the pairs of panels.
  void run_pairs() const {
    const bool at_once = stages() == 1;  // sums then need no memory of their own
    const std::int64_t pairs = x_panels * dy_panels, x_size = x_in_place ? 0 : x_panels * x_panel_floats();
    Tensor partial = at_once ? Tensor() : empty({pairs * sums_size});
    Tensor panels = empty({x_size + (dy_in_place ? 0 : dy_panels * dy_panel_floats())});
    float *xs = panels.data<float>(), *dys = xs + x_size;
    for (std::int64_t i = 0; i < stages(); ++i) {
      const Stage s = stage(i);
      parallel_for(x_lines(s) + dy_lines(s), 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line)
          line < x_lines(s) ? split_x(s, line, xs) : split_dy(s, line - x_lines(s), dys);
      });
      parallel_for(pairs, ceil_div(pairs, 8 * num_threads()), [&](std::int64_t begin, std::int64_t end) {
        Ahead ahead;
        if (i + 1 < stages()) ahead = ahead_of(s, stage(i + 1));
        ahead.call = begin * tile_calls(s);
        for (std::int64_t pair = begin; pair < end; ++pair) {
          float* sums = at_once ? scratch(sums_size, 0) : partial.data<float>() + pair * sums_size;
          multiply(s, pair, xs, dys, i == 0, sums, ahead);
          if (i + 1 == stages()) finish(pair, sums);
        }
      });
    }
  }
};

}  // namespace

void conv2d_backward_weight_direct(const ConvGeometry& g, const Tensor& x, const Tensor& dy,
                                   Tensor& dweight) {
  if (g.n == 0) {
    dweight.fill_(0);
    return;
  }
  const ConvInput in = grouped_input(x, g.c / g.groups), grad = grouped_input(dy, g.k / g.groups);
  for_groups(g.groups, [&](std::int64_t group) {
    DirectWeightPlan gradient{
        .g = g, .x = in.parts[0], .dy = grad.parts[0], .dweight = dweight.data<float>(), .group = group};
    gradient.plan();
    gradient.chunks > 1 ? gradient.run_chunks() : gradient.run_pairs();
  });
}

}  // namespace karyon::cpu
