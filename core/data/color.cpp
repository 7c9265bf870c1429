#include <algorithm>
#include <array>
#include <cmath>

#include <karyon/core/data/color.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/parallel.h>

namespace karyon {
namespace {

constexpr std::int64_t grain = 4096;

template <class T>
T limited(double x) {
  return static_cast<T>(std::clamp(x, 0.0, 1.0));
}

void check_rgb(const char* op, const Tensor& x) {
  check(image_sizes(op, x).c == 3, op, ": expects 3 channels, got ", x.shape());
}

void check_factor(const char* op, double factor) {
  check(std::isfinite(factor) && factor >= 0, op, ": expects a finite factor >= 0, got ", factor);
}

template <class T>
double grey(const T* pixel) {
  return 0.2989 * static_cast<double>(pixel[0]) + 0.587 * static_cast<double>(pixel[1]) +
         0.114 * static_cast<double>(pixel[2]);
}

// f(pixel of x, pixel of y) for every pixel.
template <class F>
Tensor each_pixel(const char* op, const Tensor& x, F f) {
  const ImageSizes s = image_sizes(op, x);
  Tensor y = empty(x.shape(), {.dtype = x.dtype()});
  dispatch_floating(x.dtype(), op, [&]<class T>() {
    const T* from = x.data<T>();
    T* to = y.data<T>();
    parallel_for(s.n * s.h * s.w, grain, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) f(from + i * s.c, to + i * s.c);
    });
  });
  return y;
}

using Color = std::array<double, 3>;

// Red, green and blue of another hue: the same lightest and darkest value, turned by `shift`.
Color turned(const Color& rgb, double shift) {
  const double high = std::max({rgb[0], rgb[1], rgb[2]}), low = std::min({rgb[0], rgb[1], rgb[2]});
  const double range = high - low;
  if (range == 0) return rgb;
  double hue = high == rgb[0]   ? (rgb[1] - rgb[2]) / range
               : high == rgb[1] ? 2 + (rgb[2] - rgb[0]) / range
                                : 4 + (rgb[0] - rgb[1]) / range;
  hue = hue / 6 + shift;
  hue = 6 * (hue - std::floor(hue));
  // Each colour is `high` within one sixth of a circle from its own hue, and falls to `low` in the next sixth.
  const auto value = [&](double own) {
    const double away = std::abs(hue - own), distance = std::min(away, 6 - away);
    return low + range * std::clamp(2 - distance, 0.0, 1.0);
  };
  return {value(0), value(2), value(4)};
}

// Weights of the neighbours in a distance of 0, 1, ...
std::vector<double> gaussian(double sigma, std::int64_t radius) {
  std::vector<double> out;
  double sum = 0;
  for (std::int64_t d = 0; d <= radius; ++d) {
    const double x = static_cast<double>(d) / sigma;
    out.push_back(std::exp(-0.5 * x * x));
    sum += d == 0 ? out.back() : 2 * out.back();
  }
  for (double& w : out) w /= sum;
  return out;
}

std::int64_t mirrored(std::int64_t i, std::int64_t n) {
  if (i >= 0 && i < n) return i;
  if (n == 1) return 0;
  i = std::abs(i) % (2 * (n - 1));
  return i < n ? i : 2 * (n - 1) - i;
}

// One pass along an axis of n places that lie `step` values apart; there are rows of step * n values.
template <class T>
void blur(const T* from, T* to, std::int64_t rows, std::int64_t n, std::int64_t step,
          const std::vector<double>& weights) {
  const auto radius = static_cast<std::int64_t>(weights.size()) - 1;
  parallel_for(rows * n, std::max<std::int64_t>(1, grain / step), [&](std::int64_t begin, std::int64_t end) {
    std::vector<double> sums(static_cast<std::size_t>(step));
    for (std::int64_t place = begin; place < end; ++place) {
      const std::int64_t row = place / n, i = place % n;
      std::fill(sums.begin(), sums.end(), 0.0);
      for (std::int64_t d = -radius; d <= radius; ++d) {
        const double weight = weights[static_cast<std::size_t>(std::abs(d))];
        const T* line = from + (row * n + mirrored(i + d, n)) * step;
        for (std::int64_t k = 0; k < step; ++k)
          sums[static_cast<std::size_t>(k)] += weight * static_cast<double>(line[k]);
      }
      for (std::int64_t k = 0; k < step; ++k)
        to[place * step + k] = static_cast<T>(sums[static_cast<std::size_t>(k)]);
    }
  });
}

Tensor jittered(Tensor x, const ColorJitterOptions& o, Generator& generator) {
  const auto factor = [&](double range) { return generator.uniform(std::max(0.0, 1 - range), 1 + range); };
  const double brightness = factor(o.brightness), contrast = factor(o.contrast);
  const double saturation = factor(o.saturation), hue = generator.uniform(-o.hue, o.hue);
  for (const std::int64_t which : randperm(4, generator).to_vector<std::int64_t>()) {
    if (which == 0 && o.brightness > 0) x = adjust_brightness(x, brightness);
    if (which == 1 && o.contrast > 0) x = adjust_contrast(x, contrast);
    if (which == 2 && o.saturation > 0) x = adjust_saturation(x, saturation);
    if (which == 3 && o.hue > 0) x = adjust_hue(x, hue);
  }
  return x;
}

}  // namespace

Tensor adjust_brightness(const Tensor& x, double factor) {
  check_factor("adjust_brightness", factor);
  const std::int64_t c = image_sizes("adjust_brightness", x).c;
  return each_pixel("adjust_brightness", x, [&]<class T>(const T* from, T* to) {
    for (std::int64_t k = 0; k < c; ++k) to[k] = limited<T>(factor * static_cast<double>(from[k]));
  });
}

Tensor adjust_contrast(const Tensor& x, double factor) {
  check_factor("adjust_contrast", factor);
  const ImageSizes s = image_sizes("adjust_contrast", x);
  check(s.c == 1 || s.c == 3, "adjust_contrast: expects 1 or 3 channels, got ", x.shape());
  Tensor y = empty(x.shape(), {.dtype = x.dtype()});
  const std::int64_t pixels = s.h * s.w, values = pixels * s.c;
  dispatch_floating(x.dtype(), "adjust_contrast", [&]<class T>() {
    for (std::int64_t n = 0; n < s.n; ++n) {
      const T* from = x.data<T>() + n * values;
      T* to = y.data<T>() + n * values;
      double sum = 0;
      for (std::int64_t i = 0; i < pixels; ++i)
        sum += s.c == 3 ? grey(from + 3 * i) : static_cast<double>(from[i]);
      const double rest = (1 - factor) * (sum / static_cast<double>(pixels));
      for (std::int64_t i = 0; i < values; ++i)
        to[i] = limited<T>(factor * static_cast<double>(from[i]) + rest);
    }
  });
  return y;
}

Tensor adjust_saturation(const Tensor& x, double factor) {
  check_factor("adjust_saturation", factor);
  check_rgb("adjust_saturation", x);
  return each_pixel("adjust_saturation", x, [&]<class T>(const T* from, T* to) {
    const double rest = (1 - factor) * grey(from);
    for (std::int64_t k = 0; k < 3; ++k) to[k] = limited<T>(factor * static_cast<double>(from[k]) + rest);
  });
}

Tensor adjust_hue(const Tensor& x, double shift) {
  check(shift >= -0.5 && shift <= 0.5, "adjust_hue: expects a shift from -0.5 to 0.5, got ", shift);
  check_rgb("adjust_hue", x);
  return each_pixel("adjust_hue", x, [&]<class T>(const T* from, T* to) {
    const Color color{static_cast<double>(from[0]), static_cast<double>(from[1]),
                      static_cast<double>(from[2])};
    const Color other = turned(color, shift);
    for (std::size_t k = 0; k < 3; ++k) to[k] = static_cast<T>(other[k]);
  });
}

Tensor adjust_gamma(const Tensor& x, double gamma, double gain) {
  check(gamma >= 0, "adjust_gamma: expects gamma >= 0, got ", gamma);
  const std::int64_t c = image_sizes("adjust_gamma", x).c;
  return each_pixel("adjust_gamma", x, [&]<class T>(const T* from, T* to) {
    for (std::int64_t k = 0; k < c; ++k)
      to[k] = limited<T>(gain * std::pow(std::max(0.0, static_cast<double>(from[k])), gamma));
  });
}

Tensor color_jitter(const Tensor& x, const ColorJitterOptions& o, Generator& generator) {
  check_rgb("color_jitter", x);
  for (const double range : {o.brightness, o.contrast, o.saturation, o.hue})
    check(std::isfinite(range) && range >= 0, "color_jitter: expects finite options >= 0, got ", range);
  check(o.hue <= 0.5, "color_jitter: expects hue of at most 0.5, got ", o.hue);
  if (x.dim() == 3) return jittered(x, o, generator);
  std::vector<Tensor> images;
  for (std::int64_t n = 0; n < x.size(0); ++n) images.push_back(jittered(x.detach()[n], o, generator));
  return images.empty() ? x.detach() : stack(images);
}

Tensor gaussian_blur(const Tensor& x, double sigma, std::int64_t kernel_size) {
  check(sigma > 0 && sigma < 1e6, "gaussian_blur: expects sigma > 0, got ", sigma);
  check(kernel_size == 0 || (kernel_size >= 1 && kernel_size % 2 == 1),
        "gaussian_blur: expects an odd kernel_size, or 0, got ", kernel_size);
  const ImageSizes s = image_sizes("gaussian_blur", x);
  const std::int64_t radius =
      kernel_size == 0 ? static_cast<std::int64_t>(std::ceil(3 * sigma)) : kernel_size / 2;
  Tensor half = empty(x.shape(), {.dtype = x.dtype()}), y = empty(x.shape(), {.dtype = x.dtype()});
  dispatch_floating(x.dtype(), "gaussian_blur", [&]<class T>() {
    if (x.numel() == 0) return;
    const std::vector<double> weights = gaussian(sigma, radius);
    blur(x.data<T>(), half.data<T>(), s.n * s.h, s.w, s.c, weights);
    blur(half.data<T>(), y.data<T>(), s.n, s.h, s.w * s.c, weights);
  });
  return y;
}

Tensor gaussian_noise(const Tensor& x, double std, Generator& generator) {
  check(std >= 0, "gaussian_noise: expects std >= 0, got ", std);
  image_sizes("gaussian_noise", x);
  Tensor y = x.detach().clone();
  Tensor noise = randn(x.shape(), generator, {.dtype = x.dtype()});
  return y.add_(noise, std);
}

}  // namespace karyon
