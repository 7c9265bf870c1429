// Winograd's transforms by themselves, against their matrices in double.
#include <karyon/core/cpu/conv/tiles_bf16.h>
#include <karyon/core/cpu/conv/transforms.h>
#include <karyon/core/cpu/conv/transforms_bf16.h>
#include <karyon/core/cpu/simd/simd.h>
#include <karyon/core/random.h>

#include <algorithm>
#include <catch2/catch.hpp>
#include <cmath>
#include <limits>
#include <vector>

using namespace karyon;

namespace {

using Matrix = std::vector<std::vector<double>>;

Matrix transposed(const Matrix& a) {
  Matrix out(a[0].size(), std::vector<double>(a.size()));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[0].size(); ++j) out[j][i] = a[i][j];
  return out;
}
Matrix times(const Matrix& a, const Matrix& b) {
  Matrix out(a.size(), std::vector<double>(b[0].size(), 0.0));
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < b[0].size(); ++j)
      for (std::size_t k = 0; k < b.size(); ++k) out[i][j] += a[i][k] * b[k][j];
  return out;
}
/// m x m^T.
Matrix both_sides(const Matrix& m, const Matrix& x) { return times(times(m, x), transposed(m)); }

/// The matrices of F(m x m, 3 x 3): y = A^T [(G g G^T) o (B^T d B)] A.
struct Winograd {
  Matrix bt, g, at;
};

/// F(2 x 2, 3 x 3) as in Lavin & Gray 2016.
const Winograd of_two{.bt = {{1, 0, -1, 0}, {0, 1, 1, 0}, {0, -1, 1, 0}, {0, 1, 0, -1}},
                      .g = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}},
                      .at = {{1, 1, 1, 0}, {0, 1, -1, -1}}};

/// F(4 x 4, 3 x 3) with these five points and infinity: polynomials that are multiplied by their values
/// there.
Winograd of_points(const std::vector<double>& points) {
  Winograd w{.bt = Matrix(6, std::vector<double>(6, 0.0)),
             .g = Matrix(6, std::vector<double>(3, 0.0)),
             .at = Matrix(4, std::vector<double>(6, 0.0))};
  for (std::size_t row = 0; row < 6; ++row) {  // the last is for infinity
    std::vector<double> polynomial{1};         // the product of x - point over all others
    double factor = 1;
    for (std::size_t other = 0; other < 5; ++other) {
      if (other == row) continue;
      polynomial.push_back(0);
      for (std::size_t i = polynomial.size() - 1; i > 0; --i)
        polynomial[i] = polynomial[i - 1] - points[other] * polynomial[i];
      polynomial[0] *= -points[other];
      if (row < 5) factor *= points[row] - points[other];
    }
    std::copy(polynomial.begin(), polynomial.end(), w.bt[row].begin());
    for (std::size_t i = 0; i < 3 && row < 5; ++i)
      w.g[row][i] = std::pow(points[row], static_cast<double>(i)) / factor;
    for (std::size_t i = 0; i < 4 && row < 5; ++i)
      w.at[i][row] = std::pow(points[row], static_cast<double>(i));
  }
  w.g[5][2] = w.at[3][5] = 1;
  return w;
}

const Winograd& matrices(int m) {
  static const Winograd of_four = of_points({0, 1, -1, 2, -2});
  return m == 2 ? of_two : of_four;
}

/// Channels of values [rows][cols][channels], drawn at random.
template <class T = float>
struct Values {
  std::size_t rows, cols, channels;
  std::vector<T> data;

  Values(std::size_t r, std::size_t c, std::size_t n) : rows(r), cols(c), channels(n), data(r * c * n) {}
  static Values random(std::size_t r, std::size_t c, std::size_t n, std::uint64_t seed) {
    Values out(r, c, n);
    Generator generator(seed);
    for (T& value : out.data) value = static_cast<T>(static_cast<float>(generator.normal()));
    return out;
  }
  Matrix channel(std::size_t n) const {
    Matrix out(rows, std::vector<double>(cols));
    for (std::size_t i = 0; i < rows; ++i)
      for (std::size_t j = 0; j < cols; ++j)
        out[i][j] = static_cast<double>(static_cast<float>(data[(i * cols + j) * channels + n]));
    return out;
  }
  cpu::Grid grid() const {
    return {.row = static_cast<std::int64_t>(cols * channels), .pixel = static_cast<std::int64_t>(channels)};
  }
};

/// Whether every channel of `got` is m x m^T of that of `x`.
template <class To, class From>
void check_transform(const Values<To>& got, const Matrix& m, const Values<From>& x, double tolerance) {
  double worst = 0, largest = 0;
  for (std::size_t n = 0; n < x.channels; ++n) {
    const Matrix is = got.channel(n), expected = both_sides(m, x.channel(n));
    for (std::size_t i = 0; i < expected.size(); ++i)
      for (std::size_t j = 0; j < expected[0].size(); ++j) {
        worst = std::max(worst, std::abs(is[i][j] - expected[i][j]));
        largest = std::max(largest, std::abs(expected[i][j]));
      }
  }
  CHECK(worst < tolerance * largest);
}

const float no_floor = -std::numeric_limits<float>::infinity();

}  // namespace

TEST_CASE("Winograd in f32: the input's transform is B^T d B") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto x = Values<>::random(t, t, n, 1);
  Values<> planes(t, t, n);
  cpu::winograd_input(m, x.data.data(), x.grid(), nullptr, nullptr, planes.data.data(), planes.grid().pixel,
                      planes.grid().pixel);
  check_transform(planes, matrices(m).bt, x, 1e-6);
}

TEST_CASE("Winograd in f32: the input's transform applies a scale, a shift and a ReLU first") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto x = Values<>::random(t, t, n, 1), scale = Values<>::random(1, 1, n, 2),
             shift = Values<>::random(1, 1, n, 3);
  Values<> planes(t, t, n), normed = x;
  for (std::size_t i = 0; i < x.data.size(); ++i)
    normed.data[i] = std::max(scale.data[i % n] * x.data[i] + shift.data[i % n], 0.0f);
  cpu::winograd_input(m, x.data.data(), x.grid(), scale.data.data(), shift.data.data(), planes.data.data(),
                      planes.grid().pixel, planes.grid().pixel);
  check_transform(planes, matrices(m).bt, normed, 1e-6);
}

TEST_CASE("Winograd in f32: the filter's transform is G g G^T") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto filter = Values<>::random(3, 3, n, 1);
  Values<> planes(t, t, n);
  cpu::winograd_filter(m, filter.data.data(), filter.grid(), planes.data.data(), planes.grid().pixel,
                       planes.grid().pixel);
  check_transform(planes, matrices(m).g, filter, 1e-6);
}

TEST_CASE("Winograd in f32: the output's transform is A^T m A") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), side = static_cast<std::size_t>(m),
             n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto planes = Values<>::random(t, t, n, 1);
  const std::vector<float> ones(n, 1.0f), zeros(n, 0.0f);
  Values<> y(side, side, n);
  cpu::winograd_output(m, planes.data.data(), planes.grid().pixel, {ones.data(), zeros.data(), no_floor},
                       y.data.data(), y.grid(), y.grid().pixel, false);
  check_transform(y, matrices(m).at, planes, 1e-6);
}

TEST_CASE("Winograd in f32: the gradient's transform is A dy A^T") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), side = static_cast<std::size_t>(m),
             n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto dy = Values<>::random(side, side, n, 1);
  Values<> planes(t, t, n);
  cpu::winograd_output_gradient(m, dy.data.data(), dy.grid(), planes.data.data(), planes.grid().pixel,
                                planes.grid().pixel);
  check_transform(planes, transposed(matrices(m).at), dy, 1e-6);
}

TEST_CASE("Winograd in f32: the filter gradient's transform is G^T m G") {
  const int m = GENERATE(2, 4);
  const auto t = static_cast<std::size_t>(m + 2), n = static_cast<std::size_t>(2 * cpu::simd_lanes());
  const auto planes = Values<>::random(t, t, n, 1);
  Values<> filter(3, 3, n);
  cpu::winograd_filter_gradient(m, planes.data.data(), planes.grid().pixel, filter.data.data(), filter.grid(),
                                filter.grid().pixel);
  check_transform(filter, transposed(matrices(m).g), planes, 1e-6);
}

TEST_CASE("Winograd's matrices give the convolution of a tile with a filter") {
  for (const Winograd& w : {of_two, matrices(4), of_points({0, 5.0 / 8, -5.0 / 8, 1.5, -1.5})}) {
    const std::size_t t = w.bt.size(), m = w.at.size();
    const Matrix d = Values<>::random(t, t, 1, 1).channel(0), g = Values<>::random(3, 3, 1, 2).channel(0);
    Matrix product = both_sides(w.bt, d);
    const Matrix filter = both_sides(w.g, g);
    for (std::size_t i = 0; i < t; ++i)
      for (std::size_t j = 0; j < t; ++j) product[i][j] *= filter[i][j];
    const Matrix y = both_sides(w.at, product);
    for (std::size_t i = 0; i < m; ++i)
      for (std::size_t j = 0; j < m; ++j) {
        double sum = 0;
        for (std::size_t p = 0; p < 3; ++p)
          for (std::size_t q = 0; q < 3; ++q) sum += d[i + p][j + q] * g[p][q];
        CHECK(y[i][j] == Approx(sum).margin(1e-10));
      }
  }
}

namespace {

// bf16: 40 channels are one block of 32 and one that is filled up with zeros.
constexpr std::size_t channels_bf16 = 40;
constexpr double rounding = 1.0 / 256;

const Winograd& matrices_bf16() {
  static const Winograd w = of_points({0, 5.0 / 8, -5.0 / 8, 1.5, -1.5});
  return w;
}

cpu::Bf16In tile_of(const Values<BFloat16>& x) {
  return {.first = x.data.data(), .row = x.grid().row, .pixel = x.grid().pixel};
}

/// Planes of `pairs` values each (1, or 2: of two tiles) in blocks of 32 channels, and those of one tile.
struct Planes {
  std::size_t pairs;
  std::vector<BFloat16> data = std::vector<BFloat16>(36 * 64 * pairs);
  cpu::Bf16Planes target() {
    return {.data = data.data(),
            .plane = static_cast<std::int64_t>(64 * pairs),
            .block = static_cast<std::int64_t>(32 * pairs)};
  }
  Values<BFloat16> tile(std::size_t i) const {
    Values<BFloat16> out(6, 6, channels_bf16);
    for (std::size_t plane = 0; plane < 36; ++plane)
      for (std::size_t c = 0; c < channels_bf16; ++c)
        out.data[plane * channels_bf16 + c] = data[(plane * 64 + c) * pairs + i];
    return out;
  }
};

}  // namespace

TEST_CASE("Winograd in bf16: the input's transform is B^T d B") {
  if (!cpu::has_bf16_dot()) return;
  const auto x = Values<BFloat16>::random(6, 6, channels_bf16, 1),
             other = Values<BFloat16>::random(6, 6, channels_bf16, 2);
  Planes one{1}, two{2};
  cpu::winograd_bf16_input(tile_of(x), {}, channels_bf16, 0, one.target());
  check_transform(one.tile(0), matrices_bf16().bt, x, rounding);
  cpu::winograd_bf16_input_pair({tile_of(x), tile_of(other)}, {}, channels_bf16, 0, two.target());
  check_transform(two.tile(0), matrices_bf16().bt, x, rounding);
  check_transform(two.tile(1), matrices_bf16().bt, other, rounding);
}

TEST_CASE("Winograd in bf16: the filter's transform is G g G^T") {
  if (!cpu::has_bf16_dot()) return;
  const auto filter = Values<BFloat16>::random(3, 3, channels_bf16, 1);
  const BFloat16* taps[9];
  for (std::size_t i = 0; i < 9; ++i) taps[i] = filter.data.data() + i * channels_bf16;
  Planes planes{1};
  cpu::winograd_bf16_filter(taps, channels_bf16, planes.target());
  check_transform(planes.tile(0), matrices_bf16().g, filter, rounding);
}

TEST_CASE("Winograd in bf16: the gradient's transform is A dy A^T") {
  if (!cpu::has_bf16_dot()) return;
  const auto dy = Values<BFloat16>::random(4, 4, channels_bf16, 1),
             other = Values<BFloat16>::random(4, 4, channels_bf16, 2);
  Planes planes{2};
  cpu::winograd_bf16_gradient_pair({tile_of(dy), tile_of(other)}, channels_bf16, 0, planes.target());
  check_transform(planes.tile(0), transposed(matrices_bf16().at), dy, rounding);
  check_transform(planes.tile(1), transposed(matrices_bf16().at), other, rounding);
}

TEST_CASE("Winograd in bf16: the output's transform is A^T m A") {
  if (!cpu::has_bf16_dot()) return;
  const auto planes = Values<>::random(6, 6, 32, 1);
  const std::vector<float> ones(32, 1.0f), zeros(32, 0.0f);
  Values<BFloat16> y(4, 4, 32);
  cpu::winograd_bf16_output(planes.data.data(), {ones.data(), zeros.data(), no_floor},
                            {.first = y.data.data(), .row = y.grid().row, .pixel = y.grid().pixel}, 32,
                            false);
  check_transform(y, matrices_bf16().at, planes, rounding);
}

TEST_CASE("Winograd in bf16: the filter gradient's transform is G^T m G") {
  if (!cpu::has_bf16_dot()) return;
  const auto planes = Values<>::random(6, 6, 32, 1);
  Values<> taps(3, 3, 32);
  cpu::winograd_bf16_filter_gradient(planes.data.data(), 32, taps.data.data(), 32, 32);
  check_transform(taps, transposed(matrices_bf16().g), planes, 1e-6);
}
