#include <algorithm>
#include <cmath>
#include <cstring>
#include <numbers>

#include <karyon/core/data/color.h>
#include <karyon/core/data/warp.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t nowhere = -1;

// The index in 0 ... n - 1 of a place along one dimension, or nowhere.
std::int64_t placed(double place, std::int64_t n, PadMode border) {
  const auto last = static_cast<double>(n - 1);
  if (place >= 0 && place <= last) return static_cast<std::int64_t>(place);
  if (border == PadMode::zeros || n == 0 || !std::isfinite(place)) return nowhere;
  if (n == 1) return 0;
  const double folded = std::fmod(std::abs(place), 2 * last);
  return static_cast<std::int64_t>(folded <= last ? folded : 2 * last - folded);
}

template <class T>
void interpolated(const T* image, const ImageSizes& s, double row, double column, PadMode border, T* out) {
  const double top = std::floor(row), left = std::floor(column);
  const double down = row - top, right = column - left;
  std::fill(out, out + s.c, T{0});
  for (int corner = 0; corner < 4; ++corner) {
    const int below = corner / 2, beside = corner % 2;
    const double weight = (below ? down : 1 - down) * (beside ? right : 1 - right);
    if (weight == 0) continue;
    const std::int64_t y = placed(top + below, s.h, border), x = placed(left + beside, s.w, border);
    if (y == nowhere || x == nowhere) continue;
    const T* pixel = image + (y * s.w + x) * s.c;
    for (std::int64_t c = 0; c < s.c; ++c) out[c] += static_cast<T>(weight) * pixel[c];
  }
}

// f(image of x, place in positions, pixel of y) for every pixel of y.
template <class F>
void each_pixel(std::int64_t images, std::int64_t pixels, F f) {
  parallel_for(images * pixels, 4096, [&](std::int64_t begin, std::int64_t end) {
    for (std::int64_t i = begin; i < end; ++i) f(i / pixels, i % pixels, i);
  });
}

void take_nearest(const Tensor& x, const ImageSizes& s, const float* from, PadMode border, Tensor& y) {
  const auto bytes = static_cast<std::int64_t>(element_size(x.dtype())) * s.c;
  const auto* source = static_cast<const std::byte*>(x.data_ptr());
  auto* target = static_cast<std::byte*>(y.data_ptr());
  each_pixel(s.n, s.n == 0 ? 1 : y.numel() / std::max<std::int64_t>(1, s.n * s.c),
             [&](std::int64_t n, std::int64_t place, std::int64_t i) {
               const std::int64_t row = placed(std::nearbyint(from[2 * place]), s.h, border);
               const std::int64_t column = placed(std::nearbyint(from[2 * place + 1]), s.w, border);
               std::byte* to = target + i * bytes;
               if (row == nowhere || column == nowhere) {
                 std::memset(to, 0, static_cast<std::size_t>(bytes));
               } else {
                 std::memcpy(to, source + ((n * s.h + row) * s.w + column) * bytes,
                             static_cast<std::size_t>(bytes));
               }
             });
}

// Where each pixel of `sizes` comes from: f(i, j) is {row, column}.
template <class F>
Tensor positions_of(Pair sizes, F f) {
  Tensor out = empty({sizes.h, sizes.w, 2});
  float* to = out.data<float>();
  for (std::int64_t i = 0; i < sizes.h; ++i)
    for (std::int64_t j = 0; j < sizes.w; ++j) {
      const auto [row, column] = f(static_cast<double>(i), static_cast<double>(j));
      *to++ = static_cast<float>(row);
      *to++ = static_cast<float>(column);
    }
  return out;
}

Tensor affine_positions(const ImageSizes& s, const AffineOptions& o) {
  check(o.scale > 0 && std::abs(o.shear) < 90, "affine: expects scale > 0 and |shear| < 90, got ", o.scale,
        " and ", o.shear);
  const double radians = std::numbers::pi / 180;
  const double cosine = std::cos(o.degrees * radians) / o.scale,
               sine = std::sin(o.degrees * radians) / o.scale;
  const double lean = std::tan(o.shear * radians);
  const double middle = static_cast<double>(s.h - 1) / 2, centre = static_cast<double>(s.w - 1) / 2;
  return positions_of({s.h, s.w}, [&](double i, double j) {
    const double y = i - middle - o.down, x = j - centre - o.right;
    const double row = x * sine + y * cosine, column = x * cosine - y * sine;
    return std::pair(middle + row, centre + column + lean * row);
  });
}

ImageSizes sizes_of(const char* op, const Sample& sample) {
  check(!sample.empty(), op, ": expects at least one tensor");
  const ImageSizes first = image_sizes(op, sample[0]);
  for (const Tensor& x : sample) {
    const ImageSizes s = image_sizes(op, x);
    check(s.h == first.h && s.w == first.w, op, ": expects images of ", first.h, " x ", first.w, ", got ",
          x.shape());
  }
  return first;
}

Sample warped(const Sample& sample, const Tensor& positions, PadMode border) {
  Sample out;
  for (const Tensor& x : sample) out.push_back(warp(x, positions, border));
  return out;
}

struct Window {
  double top, left, height, width;
};
Window random_window(const ImageSizes& s, const RandomResizedCropOptions& o, Generator& generator) {
  const auto h = static_cast<double>(s.h), w = static_cast<double>(s.w);
  for (int attempt = 0; attempt < 10; ++attempt) {
    const double area = h * w * generator.uniform(o.scale_low, o.scale_high);
    const double ratio = std::exp(generator.uniform(std::log(o.ratio_low), std::log(o.ratio_high)));
    const double width = std::round(std::sqrt(area * ratio)), height = std::round(std::sqrt(area / ratio));
    if (width < 1 || height < 1 || width > w || height > h) continue;
    const auto top = generator.below(static_cast<std::int64_t>(h - height) + 1);
    const auto left = generator.below(static_cast<std::int64_t>(w - width) + 1);
    return {static_cast<double>(top), static_cast<double>(left), height, width};
  }
  const double ratio = std::clamp(w / h, o.ratio_low, o.ratio_high);
  const double width = std::min(w, std::round(h * ratio)), height = std::min(h, std::round(w / ratio));
  return {std::floor((h - height) / 2), std::floor((w - width) / 2), height, width};
}

}  // namespace

Tensor warp(const Tensor& x, const Tensor& positions, PadMode border) {
  const ImageSizes s = image_sizes("warp", x);
  check(positions.dim() == 3 && positions.size(2) == 2 && positions.dtype() == f32 &&
            positions.device() == Device::cpu(),
        "warp: expects f32 positions [H, W, 2] in the CPU's memory, got ", positions.dtype(),
        positions.shape());
  check(x.dtype() != bf16, "warp: expects another dtype than bf16");
  check(border == PadMode::zeros || border == PadMode::reflect, "warp: expects the border zeros or reflect");
  const std::int64_t h = positions.size(0), w = positions.size(1);
  Tensor y = empty(x.dim() == 4 ? Shape{s.n, h, w, s.c} : Shape{h, w, s.c}, {.dtype = x.dtype()});
  if (y.numel() == 0) return y;
  const float* from = positions.data<float>();
  if (!is_floating(x.dtype())) {
    take_nearest(x, s, from, border, y);
    return y;
  }
  dispatch_floating(x.dtype(), "warp", [&]<class T>() {
    const T* source = x.data<T>();
    T* target = y.data<T>();
    each_pixel(s.n, h * w, [&](std::int64_t n, std::int64_t place, std::int64_t i) {
      interpolated(source + n * s.h * s.w * s.c, s, from[2 * place], from[2 * place + 1], border,
                   target + i * s.c);
    });
  });
  return y;
}

Tensor affine(const Tensor& x, const AffineOptions& options) {
  return warp(x, affine_positions(image_sizes("affine", x), options), options.border);
}

Tensor rotate(const Tensor& x, double degrees, PadMode border) {
  return warp(x, affine_positions(image_sizes("rotate", x), {.degrees = degrees}), border);
}

Sample random_affine(const Sample& sample, const RandomAffineOptions& o, Generator& generator) {
  const ImageSizes s = sizes_of("random_affine", sample);
  check(o.scale_low > 0 && o.scale_high >= o.scale_low,
        "random_affine: expects 0 < scale_low <= scale_high, got ", o.scale_low, " and ", o.scale_high);
  const double tall = o.translate * static_cast<double>(s.h), wide = o.translate * static_cast<double>(s.w);
  const double degrees = generator.uniform(-o.degrees, o.degrees);
  const double scale = std::exp(generator.uniform(std::log(o.scale_low), std::log(o.scale_high)));
  const double shear = generator.uniform(-o.shear, o.shear);
  const double down = generator.uniform(-tall, tall), right = generator.uniform(-wide, wide);
  const AffineOptions affine{
      .degrees = degrees, .scale = scale, .shear = shear, .down = down, .right = right, .border = o.border};
  return warped(sample, affine_positions(s, affine), o.border);
}

Sample random_resized_crop(const Sample& sample, Pair size, const RandomResizedCropOptions& o,
                           Generator& generator) {
  const ImageSizes s = sizes_of("random_resized_crop", sample);
  check(s.h > 0 && s.w > 0 && size.h > 0 && size.w > 0,
        "random_resized_crop: expects images and a size, got ", sample[0].shape(), " and ", size);
  check(o.scale_low > 0 && o.scale_high >= o.scale_low && o.ratio_low > 0 && o.ratio_high >= o.ratio_low,
        "random_resized_crop: expects ranges above 0, got ", o.scale_low, " to ", o.scale_high, " and ",
        o.ratio_low, " to ", o.ratio_high);
  const Window window = random_window(s, o, generator);
  const auto place = [](double begin, double length, double i, std::int64_t n) {
    const double inside = (i + 0.5) * length / static_cast<double>(n) - 0.5;
    return begin + std::clamp(inside, 0.0, length - 1);
  };
  const Tensor positions = positions_of(size, [&](double i, double j) {
    return std::pair(place(window.top, window.height, i, size.h),
                     place(window.left, window.width, j, size.w));
  });
  return warped(sample, positions, PadMode::zeros);
}

Sample random_elastic(const Sample& sample, const ElasticOptions& o, Generator& generator) {
  const ImageSizes s = sizes_of("random_elastic", sample);
  Tensor noise = empty({s.h, s.w, 2});
  uniform_(noise, -1, 1, generator);
  const Tensor field = gaussian_blur(noise, o.sigma);
  const float* moved = field.data<float>();
  const Tensor positions = positions_of({s.h, s.w}, [&](double i, double j) {
    const double row = i + o.alpha * static_cast<double>(*moved++);
    return std::pair(row, j + o.alpha * static_cast<double>(*moved++));
  });
  return warped(sample, positions, o.border);
}

}  // namespace karyon
