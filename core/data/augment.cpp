#include <cstring>

#include <karyon/core/autograd.h>
#include <karyon/core/data/augment.h>
#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>

namespace karyon {
namespace {

// [H, W, C] as a batch of one image.
Tensor as_batch(const Tensor& x, const char* op) {
  image_sizes(op, x);
  return x.dim() == 4 ? x.detach() : view(x, {1, x.size(0), x.size(1), x.size(2)});
}
Tensor as_given(const Tensor& batch, const Tensor& given) {
  return given.dim() == 4 ? batch : view(batch, {batch.size(1), batch.size(2), batch.size(3)});
}

// The image whose pixel (i, j) is x's pixel at row a.start + a.down i + a.right j, and its column likewise.
struct Axis {
  std::int64_t start, down, right;
};
Tensor rearranged(const char* op, const Tensor& x, bool turned, const Axis& row, const Axis& column) {
  const Tensor from = as_batch(x, op);
  const std::int64_t h = from.size(1), w = from.size(2);
  Tensor to = empty({from.size(0), turned ? w : h, turned ? h : w, from.size(3)}, {.dtype = x.dtype()});
  const auto bytes = static_cast<std::int64_t>(element_size(x.dtype())) * from.size(3);
  const auto* source = static_cast<const std::byte*>(from.data_ptr());
  auto* target = static_cast<std::byte*>(to.data_ptr());
  for (std::int64_t n = 0; n < to.size(0); ++n)
    for (std::int64_t i = 0; i < to.size(1); ++i)
      for (std::int64_t j = 0; j < to.size(2); ++j, target += bytes) {
        const std::int64_t y = row.start + row.down * i + row.right * j;
        const std::int64_t z = column.start + column.down * i + column.right * j;
        std::memcpy(target, source + ((n * h + y) * w + z) * bytes, static_cast<std::size_t>(bytes));
      }
  return as_given(to, x);
}

std::int64_t height(const Tensor& x) { return x.dim() >= 3 ? x.size(-3) : 0; }
std::int64_t width(const Tensor& x) { return x.dim() >= 3 ? x.size(-2) : 0; }

template <class F>
Sample each(const Sample& sample, F change) {
  Sample out;
  for (const Tensor& x : sample) out.push_back(change(x));
  return out;
}

}  // namespace

ImageSizes image_sizes(const char* op, const Tensor& x) {
  check(x.dim() == 3 || x.dim() == 4, op, ": expects [H, W, C] or [N, H, W, C], got ", x.shape());
  check(x.device() == Device::cpu(), op, ": expects images in the CPU's memory, got ", x.device());
  return {x.dim() == 4 ? x.size(0) : 1, x.size(-3), x.size(-2), x.size(-1)};
}

Tensor hflip(const Tensor& x) { return rearranged("hflip", x, false, {0, 1, 0}, {width(x) - 1, 0, -1}); }
Tensor vflip(const Tensor& x) { return rearranged("vflip", x, false, {height(x) - 1, -1, 0}, {0, 0, 1}); }

Tensor rot90(const Tensor& x, int k) {
  const std::int64_t bottom = height(x) - 1, right = width(x) - 1;
  switch (k & 3) {
    case 1: return rearranged("rot90", x, true, {0, 0, 1}, {right, -1, 0});
    case 2: return rearranged("rot90", x, false, {bottom, -1, 0}, {right, 0, -1});
    case 3: return rearranged("rot90", x, true, {bottom, 0, -1}, {0, 1, 0});
    default: return rearranged("rot90", x, false, {0, 1, 0}, {0, 0, 1});
  }
}

Sample random_flip(const Sample& sample, Generator& generator) {
  const bool across = generator.below(2) == 1, down = generator.below(2) == 1;
  return each(sample, [&](const Tensor& x) {
    const Tensor flipped = across ? hflip(x) : x;
    return down ? vflip(flipped) : flipped;
  });
}

Sample random_rot90(const Sample& sample, Generator& generator) {
  const auto k = static_cast<int>(generator.below(4));
  return each(sample, [&](const Tensor& x) { return rot90(x, k); });
}

Sample random_crop(const Sample& sample, Pair size, Generator& generator) {
  check(!sample.empty(), "random_crop: expects at least one tensor");
  const std::int64_t h = height(sample[0]), w = width(sample[0]);
  for (const Tensor& x : sample)
    check(height(x) == h && width(x) == w && h >= size.h && w >= size.w, "random_crop: expects images of ", h,
          " x ", w, " and at least ", size, ", got ", x.shape());
  const std::int64_t top = generator.below(h - size.h + 1), left = generator.below(w - size.w + 1);
  return each(sample, [&](const Tensor& x) {
    return as_given(crop(as_batch(x, "random_crop"), top, left, size), x);
  });
}

Tensor jitter(const Tensor& x, const JitterOptions& options, Generator& generator) {
  check(options.brightness >= 0 && options.brightness <= 1 && options.contrast >= 0 && options.contrast <= 1,
        "jitter: expects brightness and contrast in [0, 1], got ", options.brightness, " and ",
        options.contrast);
  const NoGradGuard no_grad;
  const Tensor images = as_batch(x, "jitter");
  std::vector<double> scales, keeps;  // y = scale x + keep mean, for each image
  for (std::int64_t n = 0; n < images.size(0); ++n) {
    const double brightness = generator.uniform(1 - options.brightness, 1 + options.brightness);
    const double contrast = generator.uniform(1 - options.contrast, 1 + options.contrast);
    scales.push_back(brightness * contrast);
    keeps.push_back(brightness * (1 - contrast));
  }
  const Shape each_image{images.size(0), 1, 1, 1};
  const Tensor scale = tensor(scales, each_image, {.dtype = x.dtype()});
  const Tensor keep = tensor(keeps, each_image, {.dtype = x.dtype()});
  return as_given(images * scale + mean(images, {1, 2, 3}, true) * keep, x);
}

}  // namespace karyon
