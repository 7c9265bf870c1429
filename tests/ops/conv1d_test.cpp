#include <karyon/core/ops/conv1d.h>

#include "conv_by_definition.h"
#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

namespace {

Tensor tall(const Tensor& x) { return x.reshape({x.size(0), 1, x.size(1), x.size(2)}); }
Tensor flat(const Tensor& x) { return x.reshape({x.size(0), x.size(2), x.size(3)}); }

}  // namespace

TEST_CASE("conv1d over odd shapes") {
  struct Case {
    Shape x;
    std::int64_t out, kernel;
    Conv1dOptions o;
    bool bias = true;
  };
  const Case c = GENERATE(values<Case>({
      {{1, 1, 1}, 1, 1, {}},
      {{2, 9, 3}, 4, 3, {.padding = 1}},
      {{1, 17, 4}, 6, 5, {.stride = 3, .padding = 2, .dilation = 2, .groups = 2}},
      {{2, 8, 17}, 33, 2, {}, false},
      {{1, 7, 5}, 5, 3, {.groups = 5}},
      {{0, 9, 3}, 4, 3, {}},
  }));
  const Conv1dOptions& o = c.o;
  Generator generator(1);
  check_op(
      "conv1d", [&](const auto& in) { return conv1d(in[0], in[1], in[2], o); },
      [&](const auto& in) {
        return flat(conv2d_by_definition(tall(in[0]), tall(in[1]), in[2],
                                         {.stride = {1, o.stride},
                                          .padding = {0, o.padding},
                                          .dilation = {1, o.dilation},
                                          .groups = o.groups}));
      },
      {randn(c.x, generator), randn({c.out, c.kernel, c.x[2] / o.groups}, generator),
       c.bias ? randn({c.out}, generator) : Tensor()},
      {.parameters_from = 2});
}

TEST_CASE("conv_transpose1d over odd shapes") {
  struct Case {
    Shape x;
    std::int64_t out, kernel;
    ConvTranspose1dOptions o;
    bool bias = true;
  };
  const Case c = GENERATE(values<Case>({
      {{1, 1, 1}, 1, 1, {}},
      {{2, 5, 4}, 2, 2, {.stride = 2}},
      {{1, 6, 4}, 6, 3, {.stride = 3, .padding = 1, .output_padding = 2, .dilation = 2, .groups = 2}},
      {{1, 4, 3}, 5, 2, {.stride = 4}, false},
  }));
  const ConvTranspose1dOptions& o = c.o;
  Generator generator(2);
  check_op(
      "conv_transpose1d", [&](const auto& in) { return conv_transpose1d(in[0], in[1], in[2], o); },
      [&](const auto& in) {
        return flat(conv_transpose2d_by_definition(tall(in[0]), tall(in[1]), in[2],
                                                   {.stride = {1, o.stride},
                                                    .padding = {0, o.padding},
                                                    .output_padding = {0, o.output_padding},
                                                    .dilation = {1, o.dilation},
                                                    .groups = o.groups}));
      },
      {randn(c.x, generator), randn({c.x[2], c.kernel, c.out / o.groups}, generator),
       c.bias ? randn({c.out}, generator) : Tensor()},
      {.parameters_from = 2});
}

TEST_CASE("conv1d and conv_transpose1d: what is refused") {
  const Tensor x = ones({1, 4, 2}), w = ones({3, 3, 2});
  CHECK_THROWS_WITH(conv1d(ones({4, 2}), w), Contains("conv1d: expects x [N, L, C]"));
  CHECK_THROWS_WITH(conv1d(x, ones({3, 2})), Contains("conv1d: expects a weight of 3 dimensions"));
  CHECK_THROWS_WITH(conv1d(x, ones({3, 3, 1})), Contains("conv1d: weight"));
  CHECK_THROWS_WITH(conv1d(x, w, ones({2})), Contains("conv1d: expects bias f32 [3]"));
  CHECK_THROWS_WITH(conv1d(x, w, {}, {.stride = 0}), Contains("conv1d: expects stride >= 1, got 0"));
  CHECK_THROWS_WITH(conv1d(x, w, {}, {.dilation = 2}), Contains("shorter than the kernel"));
  CHECK_THROWS_WITH(conv_transpose1d(x, w), Contains("conv_transpose1d: weight"));
  CHECK_THROWS_WITH(conv_transpose1d(x, ones({2, 2, 3}), {}, {.output_padding = 1}),
                    Contains("must be below the stride"));
  CHECK_THROWS_WITH(conv_transpose1d(x, ones({2, 2, 3}), {}, {.padding = 3}), Contains("empty output"));
}
