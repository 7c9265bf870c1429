#include <algorithm>
#include <limits>

#include <karyon/core/ops/pad.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

// The element of a dimension of size n that stands at place i of its border, or -1.
std::int64_t source(std::int64_t i, std::int64_t n, PadMode mode) {
  if (i >= 0 && i < n) return i;
  if (mode == PadMode::constant) return -1;
  if (mode == PadMode::replicate) return i < 0 ? 0 : n - 1;
  if (mode == PadMode::circular) return i < 0 ? i + n : i - n;
  return i < 0 ? -i : 2 * n - 2 - i;
}

Tensor padded(const Tensor& x, const std::vector<Border>& borders, PadMode mode, double value) {
  Shape shape;
  for (int d = 0; d < x.dim(); ++d) {
    const Border& b = borders[static_cast<std::size_t>(d)];
    shape.push_back(b.before + x.size(d) + b.after);
  }
  std::vector<double> y;
  for (std::int64_t i = 0; i < shape.numel(); ++i) {
    std::int64_t rest = i, from = 0, stride = 1;
    bool inside = true;
    for (int d = x.dim() - 1; d >= 0; --d) {
      const std::int64_t at =
          source(rest % shape[d] - borders[static_cast<std::size_t>(d)].before, x.size(d), mode);
      inside &= at >= 0;
      from += at * stride;
      stride *= x.size(d);
      rest /= shape[d];
    }
    y.push_back(inside ? x.data<double>()[from] : value);
  }
  return tensor(y, shape, {.dtype = f64});
}

const std::vector<PadMode> modes = {PadMode::constant, PadMode::reflect, PadMode::replicate,
                                    PadMode::circular};

}  // namespace

TEST_CASE("pad_nd in every mode") {
  const std::vector<std::pair<Shape, std::vector<Border>>> cases = {
      {{2, 5, 3}, {{}, {2, 3}, {}}},
      {{2, 4, 5, 3}, {{}, {1, 3}, {4, 0}, {}}},
      {{1, 3, 4, 5, 2}, {{}, {2, 1}, {0, 3}, {1, 1}, {}}},
      {{3, 2}, {{2, 1}, {1, 1}}},
      {{4}, {{3, 3}}},
      {{2, 3}, {{}, {}}},
  };
  Generator generator(1);
  for (const auto& [shape, borders] : cases)
    for (const PadMode mode : modes) {
      INFO("mode " << static_cast<int>(mode));
      const double value = mode == PadMode::constant ? 1.5 : 0;
      check_op(
          "pad_nd", [&, &b = borders](const auto& x) { return pad_nd(x[0], b, mode, value); },
          [&, &b = borders](const auto& x) { return padded(x[0], b, mode, value); },
          {randn(shape, generator)});
    }
}

TEST_CASE("pad of images by their edge, their other side and a value") {
  Generator generator(2);
  const Tensor x = randn({2, 4, 5, 3}, generator);
  const std::vector<Border> borders = {{}, {1, 2}, {3, 0}, {}};
  for (const PadMode mode : {PadMode::replicate, PadMode::circular, PadMode::constant}) {
    const double value = mode == PadMode::constant ? -2 : 0;
    CHECK(difference(pad(x, {1, 2, 3, 0}, mode, value), padded(x.to(f64), borders, mode, value)) == 0);
  }
  // A border may be wider than what is repeated.
  CHECK(pad_nd(tensor({1, 2}), {{3, 2}}, PadMode::replicate).to_vector<float>() ==
        std::vector<float>{1, 1, 1, 1, 2, 2, 2});
  CHECK(pad_nd(tensor({1, 2}), {{2, 2}}, PadMode::circular).to_vector<float>() ==
        std::vector<float>{1, 2, 1, 2, 1, 2});
}

TEST_CASE("pad_nd of whole numbers, truth values and nothing") {
  const Tensor x = tensor({1, 2, 3}, {.dtype = i64});
  CHECK(pad_nd(x, {{1, 1}}, PadMode::constant, 7).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{7, 1, 2, 3, 7});
  CHECK(pad_nd(x, {{1, 1}}, PadMode::reflect).to_vector<std::int64_t>() ==
        std::vector<std::int64_t>{2, 1, 2, 3, 2});
  CHECK(pad_nd(x.to(boolean), {{0, 1}}, PadMode::replicate).dtype() == boolean);
  for (const PadMode mode : modes) {
    Tensor none = zeros({0, 3, 2}).requires_grad_();
    const Tensor y = pad_nd(none, {{}, {1, 1}, {}}, mode);
    CHECK(y.shape() == Shape{0, 5, 2});
    y.backward(zeros_like(y));
    CHECK(none.grad().shape() == none.shape());
  }
  CHECK(pad_nd(zeros({0}), {{1, 1}}, PadMode::constant, 2).to_vector<float>() == std::vector<float>{2, 2});
}

TEST_CASE("pad_nd has the same bits with any number of threads") {
  Generator generator(3);
  const Tensor x = randn({2, 40, 41, 9}, generator).requires_grad_();
  CHECK(same_for_any_thread_count([&] {
    const Tensor y = pad_nd(x, {{}, {30, 20}, {7, 40}, {}}, PadMode::replicate);
    x.impl()->grad = Tensor();
    y.backward(ones_like(y));
    return std::vector{y, x.grad()};
  }));
}

TEST_CASE("pad_nd: what is refused") {
  const Tensor x = ones({1, 3, 2});
  CHECK_THROWS_WITH(pad_nd(x, {{1, 1}}),
                    Contains("pad_nd: expects a border for each dimension of [1, 3, 2], got 1"));
  CHECK_THROWS_WITH(pad_nd(x, {{}, {-1, 0}, {}}), Contains("at least 0, got -1 and 0"));
  CHECK_THROWS_WITH(pad_nd(x, {{}, {3, 0}, {}}, PadMode::reflect),
                    Contains("reflect expects borders smaller than 3"));
  CHECK_THROWS_WITH(pad_nd(x, {{}, {4, 0}, {}}, PadMode::circular),
                    Contains("circular expects borders of at most 3"));
  CHECK_THROWS_WITH(pad_nd(zeros({1, 0, 2}), {{}, {1, 0}, {}}, PadMode::replicate),
                    Contains("an element to repeat"));
  CHECK_THROWS_WITH(pad_nd(x, {{}, {1, 0}, {}}, PadMode::reflect, 2), Contains("expects the mode constant"));
  constexpr std::int64_t most = std::numeric_limits<std::int64_t>::max();
  for (const PadMode mode : {PadMode::constant, PadMode::replicate})
    CHECK_THROWS_WITH(pad_nd(x, {{}, {most, most}, {}}, mode), Contains("is too large"));
}
