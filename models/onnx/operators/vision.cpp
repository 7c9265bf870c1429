#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include <karyon/core/ops/elementwise.h>
#include <karyon/core/ops/gather.h>
#include <karyon/core/ops/grid_sample.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/matmul.h>
#include <karyon/core/ops/shape.h>
#include <karyon/models/onnx/layout.h>
#include <karyon/models/onnx/window.h>

// Boxes, grids, columns and spectra.
namespace karyon::onnx {
namespace {

struct Box {
  double top, left, bottom, right;
  double area() const { return (bottom - top) * (right - left); }
};
Box box_of(const double* at, bool center) {
  if (center) return {at[1] - at[3] / 2, at[0] - at[2] / 2, at[1] + at[3] / 2, at[0] + at[2] / 2};
  return {std::min(at[0], at[2]), std::min(at[1], at[3]), std::max(at[0], at[2]), std::max(at[1], at[3])};
}
double overlap(const Box& a, const Box& b) {
  const double height = std::min(a.bottom, b.bottom) - std::max(a.top, b.top);
  const double width = std::min(a.right, b.right) - std::max(a.left, b.left);
  if (height <= 0 || width <= 0 || a.area() <= 0 || b.area() <= 0) return 0;
  return height * width / (a.area() + b.area() - height * width);
}

Values non_max_suppression(const Call& call) {
  const Tensor boxes = call.x(0), scores = call.x(1);
  check(boxes.dim() == 3 && boxes.size(2) == 4 && scores.dim() == 3 && scores.size(0) == boxes.size(0) &&
            scores.size(2) == boxes.size(1),
        "expects boxes [B, N, 4] and scores [B, C, N]");
  const auto most = static_cast<std::int64_t>(call.number(2, 0));
  const double limit = call.number(3, 0), least = call.number(4, -INFINITY);
  const bool center = call.node.integer("center_point_box", 0) != 0;
  const std::vector<double> at = boxes.to_vector<double>(), score = scores.to_vector<double>();
  const std::int64_t count = boxes.size(1), classes = scores.size(1);
  std::vector<std::int64_t> chosen;
  for (std::int64_t i = 0; i < boxes.size(0) * classes; ++i) {
    const double* s = score.data() + i * count;
    const double* b = at.data() + i / classes * count * 4;
    std::vector<std::int64_t> order, kept;
    for (std::int64_t n = 0; n < count; ++n)
      if (s[n] > least || !call.has(4)) order.push_back(n);
    std::stable_sort(order.begin(), order.end(), [&](std::int64_t x, std::int64_t y) { return s[x] > s[y]; });
    for (const std::int64_t n : order) {
      if (static_cast<std::int64_t>(kept.size()) >= most) break;
      const Box box = box_of(b + 4 * n, center);
      if (std::any_of(kept.begin(), kept.end(), [&](std::int64_t other) {
            return overlap(box, box_of(b + 4 * other, center)) > limit;
          }))
        continue;
      kept.push_back(n);
      chosen.insert(chosen.end(), {i / classes, i % classes, n});
    }
  }
  return {Value(tensor(chosen, {static_cast<std::int64_t>(chosen.size()) / 3, 3}), int64)};
}

/// Coordinates from -1 to 1, of corners or of the centers of pixels.
std::vector<double> coordinates(std::int64_t n, bool corners) {
  std::vector<double> all;
  const auto size = static_cast<double>(n);
  for (std::int64_t i = 0; i < n; ++i)
    all.push_back(corners ? (n == 1 ? -1 : -1 + 2 * static_cast<double>(i) / (size - 1))
                          : (2 * static_cast<double>(i) + 1) / size - 1);
  return all;
}
Values affine_grid(const Call& call) {
  const Tensor theta = call.x(0);
  std::vector<std::int64_t> sizes = call.numbers(1);
  check(sizes.size() >= 4 && theta.dim() == 3, "expects sizes of images, got ", sizes.size());
  sizes.erase(sizes.begin(), sizes.begin() + 2);
  const bool corners = call.node.integer("align_corners", 0) != 0;
  const Shape shape = shape_of(sizes);
  std::vector<Tensor> places{ones(shape, {.dtype = theta.dtype()})};
  for (int d = 0; d < shape.dims(); ++d) {
    Shape line;
    for (int e = 0; e < shape.dims(); ++e) line.push_back(e == d ? shape[d] : 1);
    const Tensor along = tensor(coordinates(shape[d], corners), line, {.dtype = theta.dtype()});
    places.insert(places.begin(), expand(along, shape));
  }
  const Tensor grid = stack(places, -1).reshape({shape.numel(), shape.dims() + 1});
  const Tensor y = matmul(unsqueeze(grid, 0), transpose(theta, 1, 2));
  Shape out{theta.size(0)};
  for (const std::int64_t size : shape) out.push_back(size);
  out.push_back(shape.dims());
  return {y.reshape(out)};
}

Values grid_sample_(const Call& call) {
  const std::string mode = call.node.text_of("mode", "linear"),
                    padding = call.node.text_of("padding_mode", "zeros");
  GridSampleOptions options;
  options.mode = mode == "nearest" ? GridSampleMode::nearest : GridSampleMode::bilinear;
  options.padding = padding == "border"       ? GridPadding::border
                    : padding == "reflection" ? GridPadding::reflection
                                              : GridPadding::zeros;
  options.align_corners = call.node.integer("align_corners", 0) != 0;
  const Tensor x = call.image(0);
  return {last(grid_sample(x, call.x(1).to(x.dtype()), options))};
}
std::string grid_sample_refuses(const Node& node, const Facts&) {
  const std::string mode = node.text_of("mode", "linear");
  return mode == "cubic" || mode == "bicubic" ? "in mode " + mode : "";
}

/// Columns of blocks added up to images.
Values col2im(const Call& call) {
  const Tensor x = call.x(0);
  const std::vector<std::int64_t> sizes = call.numbers(1), block = call.numbers(2);
  check(x.dim() == 3 && sizes.size() == block.size(), "expects [N, C block, blocks], got ", x.shape());
  Shape image{1};
  for (const std::int64_t size : shape_of(sizes)) image.push_back(size);
  image.push_back(1);
  const Window w(call.node, block, image);
  std::int64_t in_block = 1, blocks = 1, pixels = 1;
  std::vector<std::int64_t> counts;
  for (std::size_t d = 0; d < w.dims(); ++d) {
    counts.push_back(w.positions(d, sizes[d]));
    in_block *= block[d];
    blocks *= counts[d];
    pixels *= sizes[d];
  }
  check(x.size(1) % in_block == 0 && x.size(2) == blocks, "expects ", blocks, " blocks of ", in_block,
        ", got ", x.shape());
  std::vector<std::int64_t> places;  // what lies outside goes behind the image
  for (std::int64_t k = 0; k < in_block; ++k)
    for (std::int64_t b = 0; b < blocks; ++b) {
      std::int64_t in = k, at = b, place = 0, stride = 1;
      bool inside = true;
      for (std::size_t d = w.dims(); d-- > 0;) {
        const std::int64_t p = at % counts[d] * w.stride[d] - w.before[d] + in % block[d] * w.dilation[d];
        in /= block[d];
        at /= counts[d];
        inside &= p >= 0 && p < sizes[d];
        place += p * stride;
        stride *= sizes[d];
      }
      places.push_back(inside ? place : pixels);
    }
  const std::int64_t rows = x.size(0) * (x.size(1) / in_block);
  const Tensor index = expand(tensor(places, {1, in_block * blocks}), {rows, in_block * blocks}).clone();
  const Tensor sums =
      scatter_add(zeros({rows, pixels + 1}, {.dtype = x.dtype()}), 1, index, x.reshape({rows, -1}));
  Shape out{x.size(0), x.size(1) / in_block};
  for (const std::int64_t size : sizes) out.push_back(size);
  return {narrow(sums, 1, 0, pixels).reshape(out)};
}

/// Discrete Fourier transform along the second last dimension of [..., n, 1 or 2], by its matrix.
Tensor transformed(const Tensor& x, std::int64_t length, bool inverse, bool one_sided) {
  const std::int64_t n = x.size(-2);
  const bool real_result = inverse && one_sided;
  const std::int64_t used = real_result ? length / 2 + 1 : length;
  const Tensor fitted = padded(x, x.dim() - 2, 0, used - n, "constant", 0);
  const std::int64_t out = one_sided && !inverse ? length / 2 + 1 : length;
  std::vector<double> cosines, sines;
  for (std::int64_t i = 0; i < used; ++i)
    for (std::int64_t k = 0; k < out; ++k) {
      const double angle =
          2 * std::numbers::pi * static_cast<double>(i * k % length) / static_cast<double>(length);
      // Half a spectrum stands for a whole one: what lies between its ends counts twice.
      const double twice = real_result && i != 0 && 2 * i != length ? 2 : 1;
      const double scale = inverse ? twice / static_cast<double>(length) : 1;
      cosines.push_back(scale * std::cos(angle));
      sines.push_back(scale * (inverse ? 1 : -1) * std::sin(angle));
    }
  const TensorOptions options{.dtype = x.dtype(), .device = x.device()};
  const Tensor c = tensor(cosines, {used, out}, options), s = tensor(sines, {used, out}, options);
  const Tensor re = select(fitted, -1, 0);
  if (x.size(-1) == 1) {
    if (real_result) return unsqueeze(matmul(re, c), -1);
    return stack({matmul(re, c), matmul(re, s)}, -1);
  }
  const Tensor im = select(fitted, -1, 1);
  const Tensor real = sub(matmul(re, c), matmul(im, s));
  return real_result ? unsqueeze(real, -1) : stack({real, add(matmul(re, s), matmul(im, c))}, -1);
}

Values dft(const Call& call) {
  const Tensor x = call.x(0);
  const int given =
      call.has(2) ? static_cast<int>(call.number(2, -2)) : call.axis("axis", call.opset() < 20 ? 1 : -2);
  const int axis = normalize_dim(given, x.dim(), "onnx");
  check(axis < x.dim() - 1, "expects an axis before the last dimension");
  const bool inverse = call.node.integer("inverse", 0) != 0,
             one_sided = call.node.integer("onesided", 0) != 0;
  const std::int64_t all = x.size(axis);
  const auto length = static_cast<std::int64_t>(
      call.number(1, static_cast<double>(inverse && one_sided ? 2 * (all - 1) : all)));
  check(length > 0 && length < (1 << 16), "a length of ", length, "; from 1 to 65535 are possible");
  const Tensor moved = movedim(x, axis, x.dim() - 2).to(f64);
  return {movedim(transformed(moved, length, inverse, one_sided), x.dim() - 2, axis).to(x.dtype())};
}

Values stft(const Call& call) {
  const Tensor x = call.x(0);  // [B, L, 1 or 2]
  check(x.dim() == 3, "expects [B, L, 1 or 2], got ", x.shape());
  const auto step = static_cast<std::int64_t>(call.number(1, 1));
  const Tensor window = call.maybe(2);
  const auto length = static_cast<std::int64_t>(call.number(
      3, window.defined() ? static_cast<double>(window.numel()) : static_cast<double>(x.size(1))));
  check(step > 0 && length > 0 && length < (1 << 16) && length <= x.size(1), "frames of ", length, " every ",
        step);
  std::vector<Tensor> frames;
  for (std::int64_t begin = 0; begin + length <= x.size(1); begin += step)
    frames.push_back(narrow(x, 1, begin, length));
  Tensor all = stack(frames, 1).to(f64);
  if (window.defined()) all = mul(all, window.reshape({-1, 1}).to(f64));
  return {transformed(all, length, false, call.node.integer("onesided", 1) != 0).to(x.dtype())};
}

/// One sample of RoiAlign: four pixels of a plane and their weights.
struct Sample {
  std::int64_t at[4] = {};
  double weight[4] = {};

  Sample(double y, double x, std::int64_t height, std::int64_t width) {
    if (y < -1 || y > static_cast<double>(height) || x < -1 || x > static_cast<double>(width)) return;
    const auto split = [](double p, std::int64_t size, std::int64_t& low, std::int64_t& high) {
      p = std::max(p, 0.0);
      low = std::min(static_cast<std::int64_t>(p), size - 1);
      high = std::min(low + 1, size - 1);
      return low == size - 1 ? 0 : p - static_cast<double>(low);
    };
    std::int64_t top = 0, bottom = 0, left = 0, right = 0;
    const double v = split(y, height, top, bottom), u = split(x, width, left, right);
    at[0] = top * width + left;
    at[1] = top * width + right;
    at[2] = bottom * width + left;
    at[3] = bottom * width + right;
    weight[0] = (1 - v) * (1 - u);
    weight[1] = (1 - v) * u;
    weight[2] = v * (1 - u);
    weight[3] = v * u;
  }
};

Values roi_align(const Call& call) {
  const Tensor x = call.x(0);
  const Node& node = call.node;
  const std::int64_t height = node.integer("output_height", 1), width = node.integer("output_width", 1);
  const std::int64_t h = x.size(2), w = x.size(3), ratio = node.integer("sampling_ratio", 0);
  const double scale = node.real("spatial_scale", 1);
  const bool half = node.text_of("coordinate_transformation_mode",
                                 call.opset() < 16 ? "output_half_pixel" : "half_pixel") == "half_pixel";
  const bool average = node.text_of("mode", "avg") == "avg";
  const std::vector<double> rois = call.x(1).to_vector<double>(), values = x.to_vector<double>();
  const std::vector<std::int64_t> batch = call.numbers(2);
  check(call.x(1).dim() == 2 && call.x(1).size(1) == 4 &&
            call.x(1).size(0) == static_cast<std::int64_t>(batch.size()) && height > 0 && width > 0 &&
            h > 0 && w > 0,
        "expects regions [n, 4] and a batch index for each");
  std::vector<double> y;
  for (std::size_t n = 0; n < batch.size(); ++n) {
    check(batch[n] >= 0 && batch[n] < x.size(0), "batch index ", batch[n], " is beyond ", x.shape());
    const double offset = half ? 0.5 : 0, left = rois[4 * n] * scale - offset,
                 top = rois[4 * n + 1] * scale - offset;
    double across = rois[4 * n + 2] * scale - offset - left, down = rois[4 * n + 3] * scale - offset - top;
    if (!half) {
      across = std::max(across, 1.0);
      down = std::max(down, 1.0);
    }
    const double bin_h = down / static_cast<double>(height), bin_w = across / static_cast<double>(width);
    const std::int64_t grid_h = ratio > 0 ? ratio : static_cast<std::int64_t>(std::ceil(bin_h));
    const std::int64_t grid_w = ratio > 0 ? ratio : static_cast<std::int64_t>(std::ceil(bin_w));
    for (std::int64_t c = 0; c < x.size(1); ++c)
      for (std::int64_t i = 0; i < height * width; ++i) {
        const double* plane = values.data() + (batch[n] * x.size(1) + c) * h * w;
        double total = 0, largest = -INFINITY;
        for (std::int64_t s = 0; s < grid_h * grid_w; ++s) {
          const double py =
              top + bin_h * (static_cast<double>(i / width) +
                             (static_cast<double>(s / grid_w) + 0.5) / static_cast<double>(grid_h));
          const double px =
              left + bin_w * (static_cast<double>(i % width) +
                              (static_cast<double>(s % grid_w) + 0.5) / static_cast<double>(grid_w));
          const Sample sample(py, px, h, w);
          for (int k = 0; k < 4; ++k) {
            const double v = sample.weight[k] * plane[sample.at[k]];
            total += v;
            largest = std::max(largest, v);
          }
        }
        y.push_back(average ? total / static_cast<double>(std::max<std::int64_t>(grid_h * grid_w, 1))
                            : (grid_h * grid_w > 0 ? largest : 0));
      }
  }
  return {
      tensor(y, {static_cast<std::int64_t>(batch.size()), x.size(1), height, width}, {.dtype = x.dtype()})};
}

}  // namespace

std::vector<Operator> vision_operators() {
  return {{"NonMaxSuppression", non_max_suppression},
          {"AffineGrid", affine_grid},
          {"GridSample", grid_sample_, grid_sample_refuses},
          {"Col2Im", col2im},
          {"DFT", dft},
          {"STFT", stft},
          {"RoiAlign", roi_align}};
}

}  // namespace karyon::onnx
