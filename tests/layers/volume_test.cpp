#include <catch2/catch.hpp>

#include <karyon/core/ops/activation.h>
#include <karyon/karyon.h>

#include "op_check.h"

using namespace karyon;
using namespace karyon::test;
using Catch::Contains;

TEST_CASE("layers of sequences and volumes compute their operations") {
  Generator generator(1);
  const Tensor s = randn({2, 9, 4}, generator), v = randn({2, 5, 6, 7, 4}, generator);
  Conv1d conv1(4, 6, 3, {.padding = 1, .groups = 2});
  CHECK(difference(conv1(s), conv1d(s, conv1.weight, conv1.bias, conv1.options)) == 0);
  ConvTranspose3d up3(4, 6, 2, {.stride = 2});
  CHECK(up3(v).shape() == Shape{2, 10, 12, 14, 6});
  CHECK(MaxPool1d(3)(s).shape() == Shape{2, 3, 4});
  CHECK(AvgPool1d({.kernel_size = 3, .ceil_mode = true})(s).shape() == Shape{2, 3, 4});
  CHECK(AdaptiveAvgPool1d(2)(s).shape() == Shape{2, 2, 4});
  CHECK(MaxPool3d(2)(v).shape() == Shape{2, 2, 3, 3, 4});
  CHECK(AvgPool3d({.kernel_size = 2, .ceil_mode = true})(v).shape() == Shape{2, 3, 3, 4, 4});
  CHECK(AdaptiveAvgPool3d({1, 2, 3})(v).shape() == Shape{2, 1, 2, 3, 4});
  CHECK_THROWS_WITH(Conv3d(4, 6, {1, 0, 1}),
                    Contains("Conv3d: expects a kernel of 1 or more, got [1, 0, 1]"));
  CHECK_THROWS_WITH(Conv1d(4, 6, 1, {.groups = 4}), Contains("do not divide into 4 groups"));
}

TEST_CASE("BatchNorm3d and InstanceNorm") {
  Generator generator(2);
  const Tensor v = randn({2, 5, 6, 7, 4}, generator);
  BatchNorm3d norm(4);
  CHECK(difference(norm(v), batch_norm(v, {}, {}, {}, {})) < 1e-6);
  CHECK(norm.num_batches_tracked.item<std::int64_t>() == 1);
  CHECK_THROWS_WITH(norm(ones({2, 4, 4, 4})), Contains("BatchNorm3d: expects [N, D, H, W, C]"));
  InstanceNorm3d bare(4);
  CHECK(bare.parameters().empty());
  CHECK(difference(bare(v), instance_norm(v)) == 0);
  InstanceNorm2d affine(4, {.affine = true, .relu = true});
  CHECK(affine.parameters().size() == 2);
  const Tensor x = randn({2, 6, 7, 4}, generator);
  CHECK(difference(affine(x), relu(instance_norm(x))) == 0);
  CHECK_THROWS_WITH(affine(v), Contains("InstanceNorm2d: expects [N, H, W, C]"));
  CHECK_THROWS_WITH(InstanceNorm1d(3)(ones({2, 6, 4})), Contains("expects 3 channels"));
}

TEST_CASE("layers that resample, shuffle and pad") {
  Generator generator(3);
  const Tensor s = randn({2, 5, 4}, generator), x = randn({2, 4, 6, 4}, generator),
               v = randn({1, 3, 4, 5, 4}, generator);
  CHECK(Upsample(2)(s).shape() == Shape{2, 10, 4});
  CHECK(Upsample(2, {.mode = InterpolateMode::trilinear})(v).shape() == Shape{1, 6, 8, 10, 4});
  CHECK(Upsample({1, 2, 3})(v).shape() == Shape{1, 3, 8, 15, 4});
  CHECK(difference(Upsample(2, {.mode = InterpolateMode::bicubic})(x),
                   interpolate(x, {8, 12}, {.mode = InterpolateMode::bicubic})) == 0);
  CHECK_THROWS_WITH(Upsample({1, 2, 3})(x), Contains("Upsample: expects 5 dimensions"));
  CHECK_THROWS_WITH(Upsample({1, 0, 3}), Contains("1 or more"));
  CHECK(PixelShuffle(2)(x).shape() == Shape{2, 8, 12, 1});
  CHECK(difference(PixelUnshuffle(2)(PixelShuffle(2)(x)), x) == 0);
  CHECK(difference(ChannelShuffle(2)(ChannelShuffle(2)(x)), x) == 0);
  CHECK(difference(ReplicationPad2d(1)(x), pad(x, {1, 1, 1, 1}, PadMode::replicate)) == 0);
  CHECK(difference(ZeroPad2d(Pad2d{.top = 2})(x), pad(x, {.top = 2})) == 0);
  CHECK(ReflectionPad3d(Pad3d{.front = 1, .back = 2, .right = 3})(v).shape() == Shape{1, 6, 4, 8, 4});
  CHECK(CircularPad1d(Pad1d{1, 2})(s).shape() == Shape{2, 8, 4});
  CHECK(ConstantPad3d(1, 2.5)(v).to_vector<float>()[0] == 2.5f);
  CHECK_THROWS_WITH(CircularPad1d(1)(x), Contains("CircularPad1d: expects 3 dimensions"));
}
