#include <catch2/catch.hpp>
#include <map>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/label.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/random.h>

#include "test_device.h"

using namespace karyon;
using Catch::Contains;
using Labels = std::vector<std::int64_t>;

namespace {

Tensor mask_of(const std::vector<double>& values, const Shape& shape) {
  return tensor(values, shape, {.dtype = boolean}).to(test::device());
}

// Every pixel takes the smallest label that it touches, until nothing changes; then they are numbered in
// order.
Labels reference(const std::vector<bool>& inside, std::int64_t h, std::int64_t w, int connectivity) {
  Labels labels(inside.size());
  for (std::size_t i = 0; i < inside.size(); ++i)
    labels[i] = inside[i] ? static_cast<std::int64_t>(i) + 1 : 0;
  for (bool changed = true; changed;) {
    changed = false;
    for (std::int64_t y = 0; y < h; ++y)
      for (std::int64_t x = 0; x < w; ++x)
        for (std::int64_t dy = -1; dy <= 1; ++dy)
          for (std::int64_t dx = -1; dx <= 1; ++dx) {
            if ((connectivity == 4 && dx != 0 && dy != 0) || y + dy < 0 || y + dy >= h || x + dx < 0 ||
                x + dx >= w)
              continue;
            auto& here = labels[static_cast<std::size_t>(y * w + x)];
            const auto there = labels[static_cast<std::size_t>((y + dy) * w + x + dx)];
            if (here > 0 && there > 0 && there < here) here = there, changed = true;
          }
  }
  std::map<std::int64_t, std::int64_t> numbers{{0, 0}};
  for (std::int64_t& l : labels)
    l = numbers.emplace(l, static_cast<std::int64_t>(numbers.size())).first->second;
  return labels;
}

}  // namespace

TEST_CASE("label: components by hand") {
  const Tensor mask = mask_of({1, 0, 1, 1,  //
                               0, 1, 0, 1,  //
                               1, 1, 0, 0},
                              {3, 4});
  // scipy.ndimage.label(mask), and with structure=numpy.ones((3, 3))
  CHECK(label(mask).to_vector<std::int64_t>() == Labels{1, 0, 2, 2, 0, 3, 0, 2, 3, 3, 0, 0});
  CHECK(label(mask, {.connectivity = 8}).to_vector<std::int64_t>() ==
        Labels{1, 0, 1, 1, 0, 1, 0, 1, 1, 1, 0, 0});
  CHECK(label(mask).dtype() == i64);
  CHECK(label(mask).device() == mask.device());
  CHECK(label(mask).max().item<std::int64_t>() == 3);
}

TEST_CASE("label: random masks agree with a plain reference, each image by itself") {
  Generator generator(4);
  for (const double share : {0.2, 0.5, 0.6, 0.9})
    for (const Pair size : {Pair{1, 1}, Pair{1, 9}, Pair{8, 1}, Pair{13, 17}})
      for (const int connectivity : {4, 8}) {
        INFO(share << ' ' << size << ' ' << connectivity);
        const Tensor masks = lt(rand({2, size.h, size.w}, generator), share);
        Labels expected;
        for (int n = 0; n < 2; ++n) {
          const Labels one = reference(masks[n].to_vector<bool>(), size.h, size.w, connectivity);
          expected.insert(expected.end(), one.begin(), one.end());
        }
        CHECK(label(masks.to(test::device()), {.connectivity = connectivity}).to_vector<std::int64_t>() ==
              expected);
      }
}

TEST_CASE("label: nothing, everything and misuse") {
  CHECK(label(zeros({0, 3}, {.dtype = boolean})).shape() == Shape{0, 3});
  CHECK(label(zeros({2, 0, 3}, {.dtype = boolean})).shape() == Shape{2, 0, 3});
  CHECK(label(zeros({3, 3}, {.dtype = boolean})).max().item<std::int64_t>() == 0);
  const Tensor full_mask = ones({300, 300}, {.dtype = boolean});
  CHECK(label(full_mask).to(f64).mean().item<double>() == 1);
  CHECK_THROWS_WITH(label(zeros({3, 3})), Contains("label: expects bool [H, W] or [N, H, W], got f32[3, 3]"));
  CHECK_THROWS_AS(label(zeros({3}, {.dtype = boolean})), Error);
  CHECK_THROWS_WITH(label(full_mask, {.connectivity = 6}), Contains("4 or 8, got 6"));
}
