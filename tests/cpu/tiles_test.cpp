// Register tiles by themselves, against plain loops, over sizes that fill no vector and no tile.
#include <karyon/core/cpu/conv/tiles.h>
#include <karyon/core/cpu/simd/round.h>
#include <karyon/core/random.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <vector>

using namespace karyon;

namespace {

std::vector<float> random_values(std::int64_t n, std::uint64_t seed) {
  std::vector<float> values(static_cast<std::size_t>(n));
  Generator generator(seed);
  for (float& value : values) value = static_cast<float>(generator.normal());
  return values;
}

float* at(std::vector<float>& values, std::int64_t i) { return values.data() + i; }
const float* at(const std::vector<float>& values, std::int64_t i) { return values.data() + i; }

std::int64_t padded(std::int64_t outputs) { return cpu::round_up(outputs, cpu::simd_lanes()); }

void check_equal(const std::vector<float>& got, const std::vector<double>& expected) {
  REQUIRE(got.size() == expected.size());
  double worst = 0, largest = 1;
  for (std::size_t i = 0; i < got.size(); ++i) {
    worst = std::max(worst, std::abs(static_cast<double>(got[i]) - expected[i]));
    largest = std::max(largest, std::abs(expected[i]));
  }
  CHECK(worst < 1e-5 * largest);
}

struct Sizes {
  std::int64_t rows, cols, channels;
};
const std::vector<Sizes> odd_sizes = {{1, 1, 1}, {1, 7, 3}, {3, 5, 17}, {2, 15, 8}, {4, 29, 5}, {7, 3, 33}};

/// Two taps in one row and one in the next, of a picture that is read with a stride of 2.
struct Picture {
  Sizes s;
  std::int64_t width, row, pixel;
  std::vector<float> x;
  std::vector<cpu::Run> runs;
  std::int64_t elements;

  explicit Picture(const Sizes& sizes)
      : s(sizes),
        width(2 * s.cols + 1),
        row(width * s.channels),
        pixel(s.channels),
        x(random_values((2 * s.rows + 1) * row, 1)),
        runs{{0, 2 * s.channels}, {row + s.channels, s.channels}},
        elements(3 * s.channels) {}

  /// Element e of the runs at output (i, j).
  double element(std::int64_t e, std::int64_t i, std::int64_t j) const {
    const std::int64_t from = 2 * (i * row + j * pixel);
    return *at(x, from + (e < runs[0].length ? runs[0].offset + e : runs[1].offset + e - runs[0].length));
  }
};

}  // namespace

TEST_CASE("register tiles forward are sums of products over the runs") {
  const Sizes s = GENERATE(from_range(odd_sizes));
  const bool accumulate = GENERATE(false, true), with_bias = GENERATE(false, true);
  for (const std::int64_t outputs :
       {std::int64_t{1}, cpu::simd_lanes(), cpu::conv_panel_width() - 1, cpu::conv_panel_width()}) {
    const Picture in(s);
    const std::int64_t y_pixel = outputs + 3, y_row = s.cols * y_pixel + 5;
    const std::vector<float> filter = random_values(in.elements * padded(outputs), 2),
                             bias = random_values(outputs, 3), before = random_values(s.rows * y_row, 4);
    std::vector<float> y = before;
    std::vector<double> expected(before.begin(), before.end());
    for (std::int64_t i = 0; i < s.rows; ++i)
      for (std::int64_t j = 0; j < s.cols; ++j)
        for (std::int64_t k = 0; k < outputs; ++k) {
          double& sum = expected[static_cast<std::size_t>(i * y_row + j * y_pixel + k)];
          if (!accumulate) sum = with_bias ? *at(bias, k) : 0;
          for (std::int64_t e = 0; e < in.elements; ++e)
            sum += in.element(e, i, j) * *at(filter, e * padded(outputs) + k);
        }
    cpu::conv_forward_tiles({.x = in.x.data(),
                             .x_row = 2 * in.row,
                             .x_pixel = 2 * in.pixel,
                             .runs = in.runs.data(),
                             .run_count = 2,
                             .filter = filter.data(),
                             .y = y.data(),
                             .y_row = y_row,
                             .y_pixel = y_pixel,
                             .rows = s.rows,
                             .cols = s.cols,
                             .outputs = outputs,
                             .bias = with_bias && !accumulate ? bias.data() : nullptr,
                             .accumulate = accumulate});
    INFO(outputs << " outputs of " << s.rows << " x " << s.cols << " pixels of " << s.channels
                 << " channels");
    check_equal(y, expected);  // what lies between the outputs has not changed either
  }
}

TEST_CASE("register tiles for the weights are sums of products over the pixels") {
  const Sizes s = GENERATE(from_range(odd_sizes));
  const bool accumulate = GENERATE(false, true);
  for (const std::int64_t outputs :
       {std::int64_t{1}, cpu::simd_lanes(), cpu::conv_panel_width() - 1, cpu::conv_panel_width()}) {
    const Picture in(s);
    const std::int64_t width = padded(outputs);
    std::vector<float> dy = random_values(s.rows * s.cols * width, 2);
    for (std::size_t i = 0; i < dy.size(); ++i)
      if (static_cast<std::int64_t>(i) % width >= outputs) dy[i] = 0;
    std::vector<float> sums = random_values(in.elements * width, 3);
    std::vector<double> expected(sums.begin(), sums.end());
    for (std::int64_t e = 0; e < in.elements; ++e)
      for (std::int64_t k = 0; k < width; ++k) {
        double& sum = expected[static_cast<std::size_t>(e * width + k)];
        if (!accumulate) sum = 0;
        for (std::int64_t i = 0; i < s.rows; ++i)
          for (std::int64_t j = 0; j < s.cols; ++j)
            sum += in.element(e, i, j) * *at(dy, (i * s.cols + j) * width + k);
      }
    cpu::conv_weight_tiles({.x = in.x.data(),
                            .x_row = 2 * in.row,
                            .x_pixel = 2 * in.pixel,
                            .runs = in.runs.data(),
                            .run_count = 2,
                            .dy = dy.data(),
                            .rows = s.rows,
                            .cols = s.cols,
                            .outputs = outputs,
                            .partial = sums.data(),
                            .accumulate = accumulate});
    INFO(outputs << " outputs of " << s.rows << " x " << s.cols << " pixels of " << s.channels
                 << " channels");
    check_equal(sums, expected);
  }
}

TEST_CASE("pixels are split into panels of channels, padded with zeros") {
  const std::int64_t lanes = cpu::simd_lanes(), width = 2 * lanes, count = 7;
  for (const std::int64_t channels : {std::int64_t{1}, lanes, width, width + 3, 3 * width}) {
    const std::int64_t panels = cpu::ceil_div(channels, width), panel = count * width + 16;
    const std::vector<float> from = random_values(count * (channels + 2), 1);
    std::vector<float> to(static_cast<std::size_t>(panels * panel), -1.0f);
    cpu::conv_split_pixels({.from = from.data(),
                            .pixel = channels + 2,
                            .count = count,
                            .channels = channels,
                            .scale = nullptr,
                            .shift = nullptr,
                            .to = to.data(),
                            .width = width,
                            .panel = panel,
                            .padded = true});
    INFO(channels << " channels");
    bool same = true;
    for (std::int64_t p = 0; p < panels; ++p) {
      const std::int64_t n = padded(std::min(width, channels - p * width));
      for (std::int64_t i = 0; i < count; ++i)
        for (std::int64_t c = 0; c < n; ++c) {
          const std::int64_t channel = p * width + c;
          const float expected = channel < channels ? *at(from, i * (channels + 2) + channel) : 0.0f;
          same = same && *at(to, p * panel + i * n + c) == expected;
        }
    }
    CHECK(same);
  }
}

TEST_CASE("conv_transpose transposes any number of rows and columns") {
  const auto [rows, cols] = GENERATE(
      table<std::int64_t, std::int64_t>({{1, 1}, {3, 17}, {16, 16}, {17, 5}, {32, 48}, {33, 31}, {8, 100}}));
  const std::int64_t from_stride = cols + 3, to_stride = rows + 2;
  const std::vector<float> from = random_values(rows * from_stride, 1);
  std::vector<float> to(static_cast<std::size_t>(cols * to_stride), -1.0f), expected = to;
  for (std::int64_t i = 0; i < rows; ++i)
    for (std::int64_t j = 0; j < cols; ++j) *at(expected, j * to_stride + i) = *at(from, i * from_stride + j);
  cpu::conv_transpose(from.data(), from_stride, rows, cols, to.data(), to_stride);
  INFO(rows << " x " << cols);
  CHECK(to == expected);
}
