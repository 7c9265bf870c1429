// The direct convolution's gradient in the weights: for every tap a product of matrices [C, pixels] x
// [pixels, K], whose left side is a shifted view of x. A task takes x apart into panels of channels, with
// zeros around the image, and dy into blocks of outputs, so that register tiles (conv_tiles.cpp) read both in
// order; then the sums of a panel and a block stay in the L1 cache while all their pixels go by.
#include <algorithm>
#include <bit>
#include <vector>

#include <hwy/cache_control.h>

#include <karyon/core/cpu/conv/engines.h>
#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/scratch.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/cpu/simd/vectorized.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/parallel.h>

namespace karyon::cpu {
namespace {

constexpr std::int64_t unit_floats = 96 * 1024;  // of x and dy, taken apart together: for the L2 cache
constexpr std::int64_t least_unit = 256, least_shared_unit = 1024;  // its pixels, where those were fewer
constexpr std::int64_t most_in_place = 64;                          // channels that tiles read as they lie
constexpr std::int64_t most_sums = std::int64_t{5} << 18;           // floats in the sums of all chunks
constexpr std::int64_t least_chunks = 8, most_chunks = 16;
// Between panels: at distances of 4 KiB they would share sets of the L1 cache.
constexpr std::int64_t skew = 16;

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
  const ImagePart &x, &dy;
  float* dweight;
  std::int64_t group, c = g.c / g.groups, k = g.k / g.groups;
  std::int64_t taps = g.kernel.h * g.kernel.w;
  // Taps side by side and their channels are one run of register tiles: about 48 to 64 elements.
  std::int64_t taps_in_run = g.dilation.w == 1 ? g.kernel.w : 1;
  // Without borders and scales, few channels of x are read where they lie, as are those of dy.
  bool few = g.groups == 1 && c <= most_in_place && g.padding.h == 0 && g.padding.w == 0;
  bool x_in_place = few && !x.scale;
  std::int64_t panel = x_in_place ? c : std::max<std::int64_t>(64 / taps_in_run / 16, 1) * 16;
  std::int64_t panels = ceil_div(c, panel);
  std::int64_t width = conv_block_width(), blocks = ceil_div(k, width);
  // That a register tile sums up in one go: the same with and without scales, as it decides how sums round.
  std::int64_t segment_pixels = few ? 256 : 512;
  bool dy_in_place = !dy.scale && (g.k == width || (k <= most_in_place && k % width == 0));
  std::int64_t sums_size = taps * std::min(panel, c) * width;  // of one panel and block: [tap][c][k]

  // A unit is a share of the images, of their rows and of their columns; only whole images go together.
  std::int64_t groups_of_images = 0, bands = 1, strips = 1;
  std::int64_t images = 0, rows = 0, cols = 0;  // of a unit at most
  std::int64_t block_h = 0, block_w = 0;        // of x that the rows and columns of a unit read
  std::int64_t chunks = 1;

  void plan() {
    const std::int64_t least =
        most_sums / (panels * blocks * sums_size) < least_chunks ? least_shared_unit : least_unit;
    const std::int64_t pixels = std::max(least, unit_floats / (c * g.stride.h * g.stride.w + k));
    strips = ceil_div(g.w_out, 2 * pixels);
    cols = ceil_div(g.w_out, strips);
    bands = ceil_div(g.h_out, std::clamp<std::int64_t>(pixels / cols, 1, g.h_out));
    const bool whole = strips == 1 && bands == 1;
    groups_of_images = whole ? ceil_div(g.n, std::max<std::int64_t>(pixels / (g.h_out * cols), 1)) : g.n;
    // From the sizes alone, since chunks decide what is added in which order.
    const auto fit = std::bit_floor(
        static_cast<std::uint64_t>(std::min(most_sums / (panels * blocks * sums_size), units())));
    chunks = fit < least_chunks ? 1 : std::min<std::int64_t>(static_cast<std::int64_t>(fit), most_chunks);
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
  }
  std::int64_t units() const { return groups_of_images * bands * strips; }
  std::int64_t channels_in(std::int64_t i) const { return std::min(panel, c - i * panel); }
  std::int64_t outputs_in(std::int64_t i) const { return std::min(width, k - i * width); }

  struct Unit {
    Share images, rows, cols;
  };
  // Where pixels lie: floats from one line or image to the next.
  struct Lines {
    const float* first;
    std::int64_t line, image;
  };
  struct Part {
    std::int64_t first, count, width;
  };
  Unit unit(std::int64_t i) const {
    return {.images = {i / (bands * strips), groups_of_images, g.n},
            .rows = {i / strips % bands, bands, g.h_out},
            .cols = {i % strips, strips, g.w_out}};
  }

  std::int64_t panel_floats() const { return images * block_h * block_w * panel + skew; }
  std::int64_t block_floats() const { return images * rows * cols * width + skew; }

  // Lines of pixels that a unit takes apart: of x, with what the filter reaches beyond it, and of dy.
  std::int64_t x_lines(const Unit& u) const { return x_in_place ? 0 : u.images.size() * block_h; }
  std::int64_t dy_lines(const Unit& u) const { return dy_in_place ? 0 : u.images.size() * u.rows.size(); }

  // Line i of a unit of x, into [panel][line][col][c], with zeros around the image.
  void split_x(const Unit& u, std::int64_t i, float* to) const {
    const std::int64_t row = u.rows.begin * g.stride.h - g.padding.h + i % block_h,
                       left = u.cols.begin * g.stride.w - g.padding.w;
    const bool inside = row >= 0 && row < g.h;
    const std::int64_t begin = inside ? std::clamp<std::int64_t>(-left, 0, block_w) : block_w,
                       end = inside ? std::clamp<std::int64_t>(g.w - left, begin, block_w) : block_w;
    const std::int64_t whole = c / panel * panel;
    const std::int64_t from = (((u.images.begin + i / block_h) * g.h + row) * g.w + left + begin) * g.c;
    // The last panel may have fewer channels.
    for (const auto& [c0, count, n] : {Part{0, whole, panel}, Part{whole, c - whole, c - whole}}) {
      float* line = to + c0 / panel * panel_floats() + i * block_w * n;
      for (std::int64_t p = 0; p < count; p += n) {
        float* padded = line + p / panel * panel_floats();
        std::fill(padded, padded + begin * n, 0.0f);
        std::fill(padded + end * n, padded + block_w * n, 0.0f);
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
                           .panel = panel_floats(),
                           .padded = false});
    }
  }

  // Line i of a unit of dy, into [block][line][col][k].
  void split_dy(const Unit& u, std::int64_t i, float* to) const {
    const std::int64_t whole = k / width * width, rest = rounded(k - whole);
    const std::int64_t row =
        (u.images.begin + i / u.rows.size()) * g.h_out + u.rows.begin + i % u.rows.size();
    const std::int64_t from = (row * g.w_out + u.cols.begin) * g.k;
    for (const auto& [k0, count, n] : {Part{0, whole, width}, Part{whole, k - whole, rest}})
      if (count > 0)
        conv_split_pixels({.from = dy.data + from + group * k + k0,
                           .pixel = g.k,
                           .count = u.cols.size(),
                           .channels = count,
                           .scale = dy.scale ? dy.scale + group * k + k0 : nullptr,
                           .shift = dy.shift ? dy.shift + group * k + k0 : nullptr,
                           .to = to + k0 / width * block_floats() + i * u.cols.size() * n,
                           .width = n,
                           .panel = block_floats(),
                           .padded = true});
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
  Ahead ahead_of(const Unit& now, const Unit& then) const {
    Ahead ahead{.calls = panels * blocks * segments(now)};
    if (strips > 1 || g.groups > 1) return ahead;
    const std::int64_t top = then.rows.begin * g.stride.h - g.padding.h;
    const std::int64_t last = std::clamp<std::int64_t>(top + block_h, 0, g.h);
    std::int64_t first = std::clamp<std::int64_t>(top, 0, last);
    if (now.images.begin == then.images.begin)  // rows that both read are at hand
      first = std::clamp<std::int64_t>(now.rows.begin * g.stride.h - g.padding.h + block_h, first, last);
    ahead.x = x.data + (then.images.begin * g.h + first) * g.w * g.c;
    ahead.x_floats = ((then.images.size() - 1) * g.h + last - first) * g.w * g.c;
    ahead.dy = dy.data + (then.images.begin * g.h_out + then.rows.begin) * g.w_out * g.k;
    ahead.dy_floats = then.images.size() * then.rows.size() * g.w_out * g.k;
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
    Lines in{xs + p * panel_floats(), block_w * n, block_h * block_w * n};
    if (x_in_place)
      in = {
          x.data + ((u.images.begin * g.h + u.rows.begin * g.stride.h) * g.w + u.cols.begin * g.stride.w) * c,
          g.w * c, g.h * g.w * c};
    Lines grad{dys + b * block_floats(), unit_cols * padded, u.rows.size() * unit_cols * padded};
    if (dy_in_place)
      grad = {dy.data + ((u.images.begin * g.h_out + u.rows.begin) * g.w_out + u.cols.begin) * g.k +
                  group * k + b * width,
              g.w_out * g.k, g.h_out * g.w_out * g.k};
    std::vector<Run> runs;
    for (std::int64_t i = 0; i < g.kernel.h; ++i)
      for (std::int64_t j = 0; j < g.kernel.w; j += taps_in_run)
        runs.push_back({i * g.dilation.h * in.line + j * g.dilation.w * n, taps_in_run * n});
    const std::int64_t seg_cols = segment_cols(u), seg_rows = segment_rows(u);
    for (std::int64_t image = 0; image < u.images.size(); ++image)
      for (std::int64_t i = 0; i < u.rows.size(); i += seg_rows)
        for (std::int64_t j = 0; j < unit_cols; j += seg_cols) {
          WeightTiles tiles{
              .x = in.first + image * in.image + i * g.stride.h * in.line + j * g.stride.w * n,
              .x_row = g.stride.h * in.line,
              .x_pixel = g.stride.w * n,
              .runs = runs.data(),
              .run_count = static_cast<std::int64_t>(runs.size()),
              .dy = grad.first + image * grad.image + i * grad.line + j * (dy_in_place ? g.k : padded),
              .dy_row = grad.line,
              .dy_pixel = dy_in_place ? g.k : padded,
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
    const std::int64_t n = channels_in(p), outputs = outputs_in(b), padded = rounded(outputs);
    const bool stream = g.k * taps * c >= stream_floats && c % 16 == 0 && panel % 16 == 0 &&
                        outputs == padded && reinterpret_cast<std::uintptr_t>(dweight) % 64 == 0;
    for (std::int64_t tap = 0; tap < taps; ++tap)
      conv_transpose(sums + tap * n * padded, padded, n, outputs,
                     dweight + ((group * k + b * width) * taps + tap) * c + p * panel, taps * c, stream);
    if (stream) hwy::FlushStream();  // before another thread may read it
  }

  // Few weights: threads share out the pixels, in chunks whose sums are added up in order.
  void run_chunks() const {
    Tensor partial = empty({chunks * panels * blocks * sums_size});
    auto sums_of = [&](std::int64_t chunk, std::int64_t pair) {
      return partial.data<float>() + (chunk * panels * blocks + pair) * sums_size;
    };
    parallel_for(chunks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t chunk = begin; chunk < end; ++chunk) {
        const Share of(chunk, chunks, units());
        float* xs = x_in_place ? nullptr : scratch(panels * panel_floats(), 0);
        float* dys = dy_in_place ? nullptr : scratch(blocks * block_floats(), 1);
        for (std::int64_t i = of.begin; i < of.end; ++i) {
          const Unit u = unit(i);
          for (std::int64_t line = 0; line < x_lines(u); ++line) split_x(u, line, xs);
          for (std::int64_t line = 0; line < dy_lines(u); ++line) split_dy(u, line, dys);
          Ahead ahead;
          const std::int64_t then =
              i + 1 < of.end ? i + 1 : Share(chunk + num_threads(), chunks, units()).begin;
          if (then < units()) ahead = ahead_of(u, unit(then));
          for (std::int64_t pair = 0; pair < panels * blocks; ++pair)
            multiply(u, pair / blocks, xs, pair % blocks, dys, i == of.begin, sums_of(chunk, pair), ahead);
        }
      }
    });
    parallel_for(panels * blocks, 1, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t pair = begin; pair < end; ++pair) {
        const std::int64_t p = pair / blocks, b = pair % blocks;
        for (std::int64_t chunk = 1; chunk < chunks; ++chunk)
          vectorized([to = sums_of(0, pair), more = sums_of(chunk, pair),
                      size = taps * channels_in(p) * rounded(outputs_in(b))] {
            for (std::int64_t i = 0; i < size; ++i) to[i] += more[i];
          });
        finish(p, b, sums_of(0, pair));
      }
    });
  }

  // Many weights: all threads take a unit apart, then share out the pairs of a panel and a block.
  void run_pairs() const {
    const bool at_once = units() == 1;  // whose sums need no memory of their own
    const std::int64_t pairs = panels * blocks, x_size = x_in_place ? 0 : panels * panel_floats();
    Tensor partial = at_once ? Tensor() : empty({pairs * sums_size});
    Tensor split = empty({x_size + (dy_in_place ? 0 : blocks * block_floats())});
    float *xs = split.data<float>(), *dys = xs + x_size;
    for (std::int64_t i = 0; i < units(); ++i) {
      const Unit u = unit(i);
      parallel_for(x_lines(u) + dy_lines(u), 4, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t line = begin; line < end; ++line)
          line < x_lines(u) ? split_x(u, line, xs) : split_dy(u, line - x_lines(u), dys);
      });
      parallel_for(pairs, ceil_div(pairs, 8 * num_threads()), [&](std::int64_t begin, std::int64_t end) {
        Ahead ahead;
        if (i + 1 < units()) ahead = ahead_of(u, unit(i + 1));
        ahead.call = begin * segments(u);
        for (std::int64_t pair = begin; pair < end; ++pair) {
          const std::int64_t p = pair / blocks, b = pair % blocks;
          float* sums = at_once ? scratch(sums_size, 0) : partial.data<float>() + pair * sums_size;
          multiply(u, p, xs, b, dys, i == 0, sums, ahead);
          if (i + 1 == units()) finish(p, b, sums);
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
  for (std::int64_t group = 0; group < g.groups; ++group) {
    WeightGradient gradient{
        .g = g, .x = in.parts[0], .dy = grad.parts[0], .dweight = dweight.data<float>(), .group = group};
    gradient.plan();
    gradient.chunks > 1 ? gradient.run_chunks() : gradient.run_pairs();
  }
}

}  // namespace karyon::cpu
