#include <catch2/catch.hpp>
#include <cmath>

#include <karyon/core/data/augment.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>

using namespace karyon;
using Catch::Contains;

namespace {

// The values of [N, H, W, C] or [H, W, C] with pixel (y, x) taken from from(y, x).
template <class From>
std::vector<double> moved(const Tensor& x, std::int64_t h, std::int64_t w, From from) {
  const auto values = x.to_vector<double>();
  const std::int64_t images = x.dim() == 4 ? x.size(0) : 1, c = x.size(-1);
  std::vector<double> out;
  for (std::int64_t n = 0; n < images; ++n)
    for (std::int64_t i = 0; i < h; ++i)
      for (std::int64_t j = 0; j < w; ++j)
        for (std::int64_t k = 0; k < c; ++k) {
          const auto [y, z] = from(i, j);
          out.push_back(values[static_cast<std::size_t>(((n * x.size(-3) + y) * x.size(-2) + z) * c + k)]);
        }
  return out;
}

using Position = std::pair<std::int64_t, std::int64_t>;

}  // namespace

TEST_CASE("augment: flips and turns move every pixel where they say") {
  for (const DType dtype : {f32, u8, i64})
    for (const Shape& shape : {Shape{3, 5, 2}, Shape{2, 4, 3, 1}, Shape{1, 1, 1}, Shape{0, 4, 3, 1}}) {
      const Tensor x = arange(shape.numel()).reshape(shape).to(dtype);
      const std::int64_t h = x.size(-3), w = x.size(-2);
      INFO(shape << ' ' << dtype);
      CHECK(hflip(x).to_vector<double>() ==
            moved(x, h, w, [&](auto i, auto j) { return Position(i, w - 1 - j); }));
      CHECK(vflip(x).to_vector<double>() ==
            moved(x, h, w, [&](auto i, auto j) { return Position(h - 1 - i, j); }));
      CHECK(rot90(x).to_vector<double>() ==
            moved(x, w, h, [&](auto i, auto j) { return Position(j, w - 1 - i); }));
      CHECK(rot90(x, 2).to_vector<double>() == hflip(vflip(x)).to_vector<double>());
      CHECK(rot90(x, -1).to_vector<double>() == rot90(x, 3).to_vector<double>());
      CHECK(rot90(rot90(x, 3)).to_vector<double>() == x.to_vector<double>());
      CHECK(rot90(x, 4).shape() == shape);
      CHECK(rot90(x).size(-3) == w);
      CHECK(rot90(x).size(-2) == h);
      CHECK(rot90(x).dtype() == dtype);
    }
  // torch.rot90(torch.tensor([[0, 1], [2, 3]]), 1)
  const Tensor x = arange(4).reshape({2, 2, 1});
  CHECK(rot90(x).to_vector<std::int64_t>() == std::vector<std::int64_t>{1, 3, 0, 2});
}

TEST_CASE("augment: all tensors of a sample get the same change, and the same seed gives the same") {
  const Tensor image = arange(2 * 6 * 6 * 2, {.dtype = f32}).reshape({2, 6, 6, 2});
  const Tensor mask = split(image, 1, -1)[0].to(i64);
  const auto agrees = [](const Sample& s) {
    return split(s[0], 1, -1)[0].to_vector<double>() == s[1].to_vector<double>();
  };
  int flips = 0, turns = 0;
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Generator a(seed), b(seed);
    const Sample flipped = random_flip({image, mask}, a);
    CHECK(agrees(flipped));
    CHECK(random_flip({image}, b)[0].to_vector<float>() == flipped[0].to_vector<float>());
    flips += flipped[0].to_vector<float>() != image.to_vector<float>();
    const Sample turned = random_rot90({image, mask}, a);
    CHECK(agrees(turned));
    turns += turned[0].to_vector<float>() != image.to_vector<float>();
    const Sample cut = random_crop({image, mask}, {3, 5}, a);
    CHECK(cut[0].shape() == Shape{2, 3, 5, 2});
    CHECK(agrees(cut));
  }
  CHECK(flips > 20);
  CHECK(flips < 40);
  CHECK(turns > 20);
  CHECK(turns < 40);
}

TEST_CASE("augment: a random window is inside and every corner is reached") {
  const Tensor x = arange(20).reshape({4, 5, 1});
  std::vector<bool> reached(20);
  Generator generator(2);
  for (int i = 0; i < 200; ++i) {
    const Tensor y = random_crop({x}, {2, 3}, generator)[0];
    CHECK(y.shape() == Shape{2, 3, 1});
    const std::int64_t corner = y[0][0].item<std::int64_t>();
    CHECK(y.to_vector<std::int64_t>() ==
          std::vector<std::int64_t>{corner, corner + 1, corner + 2, corner + 5, corner + 6, corner + 7});
    reached[static_cast<std::size_t>(corner)] = true;
  }
  CHECK(std::count(reached.begin(), reached.end(), true) == 9);
  CHECK(random_crop({x}, {4, 5}, generator)[0].to_vector<double>() == x.to_vector<double>());
}

TEST_CASE("augment: jitter scales brightness, and contrast about the mean") {
  Generator generator(3);
  const Tensor x = rand({3, 4, 5, 2}, generator);
  CHECK(jitter(x, {}, generator).to_vector<float>() == x.to_vector<float>());
  const auto factors = [&](const JitterOptions& options, bool contrast) {
    const Tensor y = jitter(x, options, generator);
    CHECK(y.shape() == x.shape());
    std::vector<double> out;
    for (int n = 0; n < 3; ++n) {
      const auto before = x[n].to_vector<double>(), after = y[n].to_vector<double>();
      const double mean = contrast ? x[n].mean().item<double>() : 0;
      const double factor = (after[0] - mean) / (before[0] - mean);
      for (std::size_t i = 0; i < before.size(); ++i)
        CHECK(after[i] == Approx(mean + factor * (before[i] - mean)).margin(1e-6));
      out.push_back(factor);
    }
    return out;
  };
  for (const bool contrast : {false, true}) {
    const auto f =
        factors(contrast ? JitterOptions{.contrast = 0.5} : JitterOptions{.brightness = 0.5}, contrast);
    for (const double factor : f) CHECK(std::abs(factor - 1) <= 0.501);
    CHECK(f[0] != Approx(f[1]));
  }
  CHECK(jitter(x[0], {.brightness = 0.1, .contrast = 0.1}, generator).shape() == Shape{4, 5, 2});
  CHECK(jitter(x.to(f64), {.brightness = 1}, generator).dtype() == f64);
}

TEST_CASE("augment: misuse is an Error") {
  Generator generator;
  CHECK_THROWS_WITH(hflip(zeros({3, 4})), Contains("hflip: expects [H, W, C] or [N, H, W, C], got [3, 4]"));
  CHECK_THROWS_WITH(random_crop({zeros({4, 4, 1}), zeros({4, 5, 1})}, 2, generator), Contains("[4, 5, 1]"));
  CHECK_THROWS_WITH(random_crop({zeros({4, 4, 1})}, 5, generator), Contains("random_crop"));
  CHECK_THROWS_WITH(jitter(zeros({4, 4, 1}), {.contrast = 2}, generator), Contains("in [0, 1]"));
}
