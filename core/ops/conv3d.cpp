// A convolution of volumes by those of images. A frame is the image at one depth. Each output frame is one
// 2-D convolution of the kD input frames that it reads, with their channels side by side:
//
//   y[d] = conv2d(cat(x[d], x[d + 1], x[d + 2]), weight as [C_out, kH, kW, kD C_in])
//
// So all kernels of images serve, Winograd's too, on every device. Sums run over all taps at once: in bf16
// they are rounded once, and no pass over y adds up parts. The weights' gradient is the same with the roles
// exchanged. The gradient in x, which is also the transposed convolution, reads the frames of dy that reach a
// frame of x; with a stride, frames of one phase have the same taps.
//
// Frames side by side are never a whole copy of x: chunks of some frames are gathered, which stay in or near
// the caches. Where a chunk's frames follow each other in x, the frames of one tap are a view of x, and a
// chunk is a lazy cat of such views: kernels that read those copy nothing.
#include <algorithm>
#include <memory>
#include <vector>

#include <karyon/core/autograd.h>
#include <karyon/core/kernels/conv.h>
#include <karyon/core/kernels/copy.h>
#include <karyon/core/kernels/layout.h>
#include <karyon/core/kernels/lazy.h>
#include <karyon/core/ops/conv3d.h>
#include <karyon/core/ops/convolution.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/reduce.h>
#include <karyon/core/ops/shape.h>
#include <karyon/core/trace.h>

namespace karyon {
namespace {

using namespace convolution;

// Of gathered frames: what the caches of a CPU hold, and what keeps a GPU busy.
constexpr std::int64_t gathered_bytes_cpu = std::int64_t{16} << 20,
                       gathered_bytes_gpu = std::int64_t{256} << 20;
constexpr std::int64_t least_pixels = 8192;  // in a chunk: filters are packed for each

// Sizes of one convolution x [n, d, ...] -> y [n, d_out, ...]: that of its frames, and those of its depth.
struct Volumes {
  ConvGeometry frame;  // of one image; n is 1
  std::int64_t n, d, d_out;
  std::int64_t kernel, stride, padding, dilation;
};

TensorOptions like(const Tensor& x) { return {.dtype = x.dtype(), .device = x.device()}; }
Tensor images_of(const Tensor& x) {
  return view(x, {x.size(0) * x.size(1), x.size(2), x.size(3), x.size(4)});
}
// Frames begin ... end - 1 of a volume.
Tensor frames_of(const Tensor& x, std::int64_t begin, std::int64_t end) {
  const std::int64_t frame = x.size(2) * x.size(3) * x.size(4);
  return view(x, {end - begin, x.size(2), x.size(3), x.size(4)}, begin * frame);
}

// The frames that sums read: for result j of an image, tap t reads frame first[t] + j * step of that image,
// or zeros where there is none.
struct Reading {
  const Tensor& from;  // [N, D, H, W, C]
  std::int64_t groups;
  std::int64_t results;  // of each image
  std::int64_t step;
  std::vector<std::int64_t> first;

  std::int64_t taps() const { return static_cast<std::int64_t>(first.size()); }
  std::int64_t depth() const { return from.size(1); }
  // The results [begin, end) of an image in which tap t reads a frame.
  std::int64_t begin(std::int64_t tap) const {
    return std::min(tap >= 0 ? std::int64_t{0} : (-tap + step - 1) / step, results);
  }
  std::int64_t end(std::int64_t tap) const {
    return tap >= depth() ? 0 : std::min((depth() - 1 - tap) / step + 1, results);
  }
};

// Results begin ... end - 1, counted over all images. `views`: the frames of each tap follow each other.
struct Chunk {
  std::int64_t begin, end;
  bool views;
};

void cut(std::int64_t begin, std::int64_t end, std::int64_t at_once, bool views, std::vector<Chunk>& chunks) {
  const std::int64_t n = end - begin, pieces = (n + at_once - 1) / at_once;
  for (std::int64_t i = 0; i < pieces; ++i)
    chunks.push_back({begin + i * n / pieces, begin + (i + 1) * n / pieces, views});
}

std::vector<Chunk> chunks_of(const Reading& r) {
  const std::int64_t images = r.from.size(0), total = images * r.results;
  std::vector<Chunk> chunks;
  if (r.taps() == 1 && r.step == 1 && r.first[0] == 0 && r.results == r.depth()) return {{0, total, true}};
  const std::int64_t pixels = std::max<std::int64_t>(1, r.from.size(2) * r.from.size(3));
  const std::int64_t bytes =
      pixels * r.taps() * r.from.size(4) * static_cast<std::int64_t>(element_size(r.from.dtype()));
  const bool cpu = r.from.device().type == DeviceType::cpu;
  const std::int64_t at_once = std::max(
      {(cpu ? gathered_bytes_cpu : gathered_bytes_gpu) / bytes, least_pixels / pixels, std::int64_t{1}});
  const auto [low, high] = std::ranges::minmax(r.first);
  const std::int64_t begin = r.begin(low), end = std::max(r.end(high), begin);
  const bool views = r.groups == 1 && r.step == 1 && reads_lazily(LazyKind::cat, r.from) &&
                     (end - begin) * pixels >= 4 * least_pixels;
  if (!views) {
    cut(0, total, at_once, false, chunks);
    return chunks;
  }
  for (std::int64_t image = 0; image < total; image += r.results) {
    cut(image, image + begin, at_once, false, chunks);
    cut(image + begin, image + end, at_once, true, chunks);
    cut(image + end, image + r.results, at_once, false, chunks);
  }
  return chunks;
}

// Copies the frames of one tap for results j, ..., j + count - 1 of an image into their place in y
// [frames, H, W, groups, taps, C / groups], from frame `to` on.
void gather_tap(const Reading& r, std::int64_t tap, std::int64_t image, std::int64_t j, std::int64_t count,
                std::int64_t to, Tensor& y) {
  const std::int64_t pixels = r.from.size(2) * r.from.size(3), channels = r.from.size(4);
  const std::int64_t group = channels / r.groups, taps = r.taps();
  const kernels::Axis frames{count, r.step * pixels * channels, pixels * taps * channels};
  const kernels::Axis image_pixels{pixels, channels, taps * channels};
  const kernels::Axis groups{r.groups, group, taps * group};
  const kernels::Axis values{group, 1, 1};
  // The longer of the two runs is the inner one.
  std::vector<kernels::Axis> axes{frames, groups, values, image_pixels};
  if (group >= 8) axes = {frames, image_pixels, groups, values};
  std::erase_if(axes, [&](const kernels::Axis& axis) { return axis.size == 1; });
  if (axes.empty()) axes = {values};
  const std::int64_t from = image * r.depth() + r.first[static_cast<std::size_t>(tap)] + j * r.step;
  kernels::copy_strided(r.from, y, from * pixels * channels, (to * pixels * taps) * channels + tap * group,
                        axes);
}

// What a chunk of results reads: [results, H, W, groups * taps * (C / groups)].
Tensor read(const Reading& r, const Chunk& chunk) {
  const std::int64_t h = r.from.size(2), w = r.from.size(3), channels = r.from.size(4);
  if (chunk.views) {
    const std::int64_t image = chunk.begin / r.results, j = chunk.begin % r.results;
    std::vector<Tensor> parts;
    for (const std::int64_t first : r.first) {
      const std::int64_t frame = image * r.depth() + first + j;
      parts.push_back(frames_of(r.from, frame, frame + chunk.end - chunk.begin));
    }
    return parts.size() == 1 ? parts[0] : lazy_tensor(std::make_shared<LazyCat>(parts));
  }
  Tensor y = zeros({chunk.end - chunk.begin, h, w, channels * r.taps()}, like(r.from));
  for (std::int64_t at = chunk.begin; at < chunk.end;) {
    const std::int64_t image = at / r.results, j = at % r.results,
                       last = std::min(r.results, j + chunk.end - at);
    for (std::int64_t tap = 0; tap < r.taps(); ++tap) {
      const std::int64_t first = r.first[static_cast<std::size_t>(tap)];
      const std::int64_t begin = std::max(j, r.begin(first)), end = std::min(last, r.end(first));
      if (begin < end && y.numel() > 0)
        gather_tap(r, tap, image, begin, end - begin, at - chunk.begin + begin - j, y);
    }
    at += last - j;
  }
  return y;
}

// Filters that several chunks use may be kept as long as they live.
ConvHints hints_for(const std::vector<Chunk>& chunks, DType dtype) {
  return {.keep_filters = chunks.size() > 2 && dtype == f32};
}

Reading forward_reading(const Volumes& v, const Tensor& x) {
  Reading r{.from = x, .groups = v.frame.groups, .results = v.d_out, .step = v.stride, .first = {}};
  for (std::int64_t i = 0; i < v.kernel; ++i) r.first.push_back(i * v.dilation - v.padding);
  return r;
}

// The convolution of the frames of a chunk with their channels side by side.
ConvGeometry forward_geometry(const Volumes& v, const Chunk& chunk) {
  ConvGeometry g = v.frame;
  g.n = chunk.end - chunk.begin;
  g.c *= v.kernel;
  return g;
}

void convolve(const Volumes& v, const Tensor& x, const Tensor& weight, const Tensor& bias, Tensor& y) {
  const Shape s = weight.shape();  // [K, kD, kH, kW, C / groups]
  const Tensor filters = permute(weight, {0, 2, 3, 1, 4}).reshape({s[0], s[2], s[3], s[1] * s[4]});
  const Reading r = forward_reading(v, x);
  const std::vector<Chunk> chunks = chunks_of(r);
  for (const Chunk& chunk : chunks) {
    Tensor out = frames_of(y, chunk.begin, chunk.end);
    kernels::conv2d(forward_geometry(v, chunk), hints_for(chunks, x.dtype()), read(r, chunk), filters, bias,
                    out);
  }
}

void gradient_in_weight(const Volumes& v, const Tensor& x, const Tensor& dy, Tensor& dweight) {
  const Shape s = dweight.shape();
  const Reading r = forward_reading(v, x);
  Tensor sum;
  for (const Chunk& chunk : chunks_of(r)) {
    Tensor part = empty({s[0], s[2], s[3], s[1] * s[4]}, like(dweight));
    kernels::conv2d_backward_weight(forward_geometry(v, chunk), read(r, chunk),
                                    frames_of(dy, chunk.begin, chunk.end), part);
    if (part.dtype() == bf16) part = part.to(f32);
    if (sum.defined()) {
      sum.add_(part);
    } else {
      sum = part;
    }
  }
  const Tensor ordered = permute(sum.reshape({s[0], s[2], s[3], s[1], s[4]}), {0, 3, 1, 2, 4});
  kernels::convert(ordered, dweight);
}

// Frames phase, phase + stride, ... of x: those of dy that reach them, and through which taps.
struct Phase {
  std::int64_t results;
  std::vector<std::int64_t> taps, first;
  Phase(const Volumes& v, std::int64_t phase) : results((v.d - phase + v.stride - 1) / v.stride) {
    for (std::int64_t i = 0; i < v.kernel; ++i) {
      const std::int64_t scaled = phase + v.padding - i * v.dilation;
      if (scaled % v.stride != 0) continue;
      taps.push_back(i);
      first.push_back(scaled / v.stride);
    }
  }
};

// The weights of some taps in depth as the gradient in x reads them: [groups * taps * (K / groups), kH, kW,
// C / groups].
Tensor transposed_filters(const Tensor& weight, std::int64_t groups, const std::vector<std::int64_t>& taps) {
  const Shape s = weight.shape();
  const Tensor by_tap = weight.reshape({groups, s[0] / groups, s[1], s[2] * s[3] * s[4]});
  std::vector<Tensor> chosen;
  for (const std::int64_t tap : taps)
    chosen.push_back(narrow(by_tap, 2, tap, 1).reshape({groups, 1, s[0] / groups, s[2] * s[3] * s[4]}));
  return cat(chosen, 1).reshape({static_cast<std::int64_t>(taps.size()) * s[0], s[2], s[3], s[4]});
}

// The frames of one phase, dense.
void transposed_phase(const Volumes& v, const Phase& phase, const Tensor& dy, const Tensor& weight,
                      const Tensor& bias, Tensor& frames) {
  if (phase.taps.empty()) {
    frames.fill_(0);
    if (bias.defined()) frames.copy_(expand(bias.to(frames.dtype()), frames.shape()));
    return;
  }
  const Tensor filters = transposed_filters(weight, v.frame.groups, phase.taps);
  const Reading r{
      .from = dy, .groups = v.frame.groups, .results = phase.results, .step = 1, .first = phase.first};
  const std::vector<Chunk> chunks = chunks_of(r);
  for (const Chunk& chunk : chunks) {
    ConvGeometry g = v.frame;
    g.n = chunk.end - chunk.begin;
    g.k *= r.taps();
    Tensor out = frames_of(frames, chunk.begin, chunk.end);
    kernels::conv2d_backward_data(g, hints_for(chunks, dy.dtype()), read(r, chunk), filters, bias, out);
  }
}

// dx = the transpose of the convolution applied to dy, + bias.
void convolve_transposed(const Volumes& v, const Tensor& dy, const Tensor& weight, const Tensor& bias,
                         Tensor& dx) {
  if (v.stride == 1) return transposed_phase(v, Phase(v, 0), dy, weight, bias, dx);
  const std::int64_t frame = dx.size(2) * dx.size(3) * dx.size(4);
  for (std::int64_t i = 0; i < std::min(v.stride, v.d); ++i) {
    const Phase phase(v, i);
    Tensor frames = empty({v.n, phase.results, dx.size(2), dx.size(3), dx.size(4)}, like(dx));
    transposed_phase(v, phase, dy, weight, bias, frames);
    kernels::copy_runs(
        frames, dx,
        {.outer = v.n,
         .rows = phase.results,
         .length = frame,
         .from = {.outer_stride = phase.results * frame, .row_stride = frame},
         .to = {.offset = i * frame, .outer_stride = v.d * frame, .row_stride = v.stride * frame}});
  }
}

Tensor backward_bias(const Tensor& dy) {
  Tensor db = empty({dy.size(-1)}, {.dtype = parameter_dtype(dy.dtype()), .device = dy.device()});
  kernels::conv2d_backward_bias(images_of(dy), db);
  return db;
}

Tensor record_conv(const char* name, const Volumes& v, bool transposed, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, const Tensor& y);

// The convolution v of x, its transpose of dy, and the gradient of the weight: all recorded. Each is linear in
// both arguments, and the others are its gradients.
Tensor convolved(const Volumes& v, const Tensor& x, const Tensor& weight) {
  Tensor y = empty({v.n, v.d_out, v.frame.h_out, v.frame.w_out, v.frame.k}, like(x));
  if (v.n > 0) {
    const NoGradGuard no_grad;
    convolve(v, x, weight, {}, y);
  }
  return record_conv("conv3d", v, false, x, weight, {}, y);
}
Tensor transpose_convolved(const Volumes& v, const Tensor& dy, const Tensor& weight) {
  Tensor dx = empty({v.n, v.d, v.frame.h, v.frame.w, v.frame.c}, like(dy));
  if (v.n > 0) {
    const NoGradGuard no_grad;
    convolve_transposed(v, dy, weight, {}, dx);
  }
  return record_conv("conv_transpose3d", v, true, dy, weight, {}, dx);
}
Tensor weight_gradient(const Volumes& v, const Tensor& x, const Tensor& dy) {
  const auto& [h, w] = v.frame.kernel;
  Tensor dw = zeros({v.frame.k, v.kernel, h, w, v.frame.c / v.frame.groups}, like(x));
  if (v.n > 0) {
    const NoGradGuard no_grad;
    gradient_in_weight(v, x, dy, dw);
  }
  return record("conv3d", dw, {x, dy}, twice_differentiable,
                [v, need_x = x.requires_grad(), need_dy = dy.requires_grad(), x = SavedTensor(x),
                 dy = SavedTensor(dy)](const Tensor& ddw) {
                  return std::vector{need_x ? transpose_convolved(v, dy.get(), ddw) : Tensor(),
                                     need_dy ? convolved(v, x.get(), ddw) : Tensor()};
                });
}

// Records y, the convolution v of x or, if `transposed`, its transpose.
Tensor record_conv(const char* name, const Volumes& v, bool transposed, const Tensor& x, const Tensor& weight,
                   const Tensor& bias, const Tensor& y) {
  return record(name, y, {x, weight, bias}, twice_differentiable,
                [v, transposed, need_x = x.requires_grad(), need_w = weight.requires_grad(),
                 need_b = bias.defined() && bias.requires_grad(), x = SavedTensor(x),
                 weight = SavedTensor(weight)](const Tensor& dy) {
                  Tensor dx, dw, db;
                  const Tensor from = need_x || need_w ? x.get() : Tensor();
                  if (grad_enabled()) {
                    if (need_x) dx = (transposed ? convolved : transpose_convolved)(v, dy, weight.get());
                    if (need_w) dw = weight_gradient(v, transposed ? dy : from, transposed ? from : dy);
                    if (need_b) db = sum(dy, {0, 1, 2, 3});  // f32 for bf16
                    return std::vector{dx, dw, db};
                  }
                  if (need_x) {
                    dx = empty_like(from);
                    if (v.n > 0) (transposed ? convolve : convolve_transposed)(v, dy, weight.get(), {}, dx);
                  }
                  if (need_w) {
                    dw = v.n > 0 ? empty_like(weight.get()) : zeros_like(weight.get());
                    if (v.n > 0) gradient_in_weight(v, transposed ? dy : from, transposed ? from : dy, dw);
                  }
                  if (need_b) db = backward_bias(dy);
                  return std::vector{dx, dw, db};
                });
}

Triple kernel_of(const Tensor& weight) { return {weight.size(1), weight.size(2), weight.size(3)}; }

// A stride that is longer than the padded size has one position, as has one of its length. Kernels multiply
// the stride with sizes.
std::int64_t within(std::int64_t stride, std::int64_t size, std::int64_t padding) {
  return std::min(stride, size + 2 * padding);
}

// The convolution of x [n, size, c] -> y [n, out, k].
Volumes volumes(std::int64_t n, const Triple& size, const Triple& out, std::int64_t c, std::int64_t k,
                const Triple& kernel, const Conv3dOptions& o) {
  return {
      .frame = {.n = 1,
                .h = size.h,
                .w = size.w,
                .c = c,
                .h_out = out.h,
                .w_out = out.w,
                .k = k,
                .kernel = {kernel.h, kernel.w},
                .stride = {within(o.stride.h, size.h, o.padding.h), within(o.stride.w, size.w, o.padding.w)},
                .padding = {o.padding.h, o.padding.w},
                .dilation = {o.dilation.h, o.dilation.w},
                .groups = o.groups},
      .n = n,
      .d = size.d,
      .d_out = out.d,
      .kernel = kernel.d,
      .stride = within(o.stride.d, size.d, o.padding.d),
      .padding = o.padding.d,
      .dilation = o.dilation.d};
}

TraceOptions options_of(const Conv3dOptions& o, const Triple& output_padding = 0) {
  const auto triple = [](const Triple& t) { return std::vector{t.d, t.h, t.w}; };
  return {{"stride", triple(o.stride)},
          {"padding", triple(o.padding)},
          {"output_padding", triple(output_padding)},
          {"dilation", triple(o.dilation)},
          {"groups", o.groups}};
}

}  // namespace

Tensor conv3d(const Tensor& input, const Tensor& any_weight, const Tensor& any_bias,
              const Conv3dOptions& options) {
  const char* const op = "conv3d";
  const Tensor x = autocast(input), weight = autocast_weight(any_weight), bias = beside(x, any_bias);
  const auto& [stride, padding, dilation, groups] = options;
  check_arguments(op, 5, x, weight, bias, weight.dim() == 5 ? weight.size(0) : 0, groups, stride, padding,
                  dilation);
  check_channels(op, x, weight, groups);
  const Triple kernel = kernel_of(weight), size{x.size(1), x.size(2), x.size(3)};
  const Pair depth = window_positions(op, {size.d, size.h},
                                      {.kernel = {kernel.d, kernel.h},
                                       .stride = {stride.d, stride.h},
                                       .padding = {padding.d, padding.h},
                                       .dilation = {dilation.d, dilation.h}});
  const Pair plane = window_positions(op, {size.h, size.w},
                                      {.kernel = {kernel.h, kernel.w},
                                       .stride = {stride.h, stride.w},
                                       .padding = {padding.h, padding.w},
                                       .dilation = {dilation.h, dilation.w}});
  check(depth.h >= 1 && plane.h >= 1 && plane.w >= 1, op, ": x ", x.shape(), " with padding ", padding,
        " is smaller than the kernel of weight ", weight.shape(), " with dilation ", dilation);
  const Volumes v =
      volumes(x.size(0), size, {depth.h, plane.h, plane.w}, x.size(4), weight.size(0), kernel, options);
  Tensor y = empty({v.n, v.d_out, plane.h, plane.w, v.frame.k}, like(x));
  if (v.n > 0) {
    const NoGradGuard no_grad;
    convolve(v, x, weight, bias, y);
  }
  return traced(record_conv(op, v, false, x, weight, bias, y), [&] { return options_of(options); });
}

Tensor conv_transpose3d(const Tensor& input, const Tensor& any_weight, const Tensor& any_bias,
                        const ConvTranspose3dOptions& options) {
  const char* const op = "conv_transpose3d";
  const Tensor x = autocast(input), weight = autocast_weight(any_weight), bias = beside(x, any_bias);
  const auto& [stride, padding, extra, dilation, groups] = options;
  const std::int64_t k = transposed_channels(op, 5, weight, groups);
  check_arguments(op, 5, x, weight, bias, k, groups, stride, padding, dilation);
  check_transposed_channels(op, x, weight, k, groups);
  check(output_padding_fits(extra.d, stride.d, dilation.d) &&
            output_padding_fits(extra.h, stride.h, dilation.h) &&
            output_padding_fits(extra.w, stride.w, dilation.w),
        op, ": output_padding ", extra, " must be below the stride ", stride, " or the dilation ", dilation);
  const Triple kernel = kernel_of(weight), size{x.size(1), x.size(2), x.size(3)};
  const Triple out{transposed_size(op, size.d, stride.d, kernel.d, dilation.d, extra.d, padding.d),
                   transposed_size(op, size.h, stride.h, kernel.h, dilation.h, extra.h, padding.h),
                   transposed_size(op, size.w, stride.w, kernel.w, dilation.w, extra.w, padding.w)};
  check(at_least(size, 1) && at_least(out, 1), op, ": x ", x.shape(), " with padding ", padding,
        " gives an empty output");
  // The convolution that this one transposes: its input is our output.
  const Volumes v = volumes(x.size(0), out, size, k, x.size(4), kernel,
                            {.stride = stride, .padding = padding, .dilation = dilation, .groups = groups});
  Tensor y = empty({v.n, out.d, out.h, out.w, k}, like(x));
  if (v.n > 0) {
    const NoGradGuard no_grad;
    convolve_transposed(v, x, weight, bias, y);
  }
  return traced(record_conv(op, v, true, x, weight, bias, y), [&] {
    return options_of({.stride = stride, .padding = padding, .dilation = dilation, .groups = groups}, extra);
  });
}

}  // namespace karyon
