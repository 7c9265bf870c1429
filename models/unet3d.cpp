#include <numeric>

#include <karyon/core/ops/activation.h>
#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pad.h>
#include <karyon/core/ops/pool3d.h>
#include <karyon/models/unet3d.h>

namespace karyon {
namespace {

// Norms come with the ReLU that follows them.
std::unique_ptr<Module> make_norm(Norm norm, std::int64_t channels) {
  switch (norm) {
    case Norm::batch: return std::make_unique<BatchNorm3d>(channels, BatchNorm3d::Options{.relu = true});
    case Norm::group:
      return std::make_unique<GroupNorm>(std::gcd<std::int64_t>(8, channels), channels,
                                         GroupNorm::Options{.relu = true});
    case Norm::none: break;
  }
  return nullptr;
}

Tensor normalized(Module* norm, Tensor x) { return norm ? (*norm)(std::move(x)) : relu(x); }

const UNet3dOptions& checked(const UNet3dOptions& o) {
  check(o.in_channels >= 1 && o.out_channels >= 1 && o.base_width >= 1,
        "UNet3d: expects at least 1 channel, got in_channels ", o.in_channels, ", out_channels ",
        o.out_channels, ", base_width ", o.base_width);
  check(o.depth >= 1 && o.depth <= 10, "UNet3d: expects a depth of 1 to 10, got ", o.depth);
  check(o.flat_levels >= 0 && o.flat_levels <= o.depth, "UNet3d: expects flat_levels of 0 to ", o.depth,
        ", got ", o.flat_levels);
  check(o.base_width <= (std::int64_t{1} << 20) >> o.depth, "UNet3d: base_width ", o.base_width, " at depth ",
        o.depth, " gives more than 2^20 channels");
  return o;
}

Border at_end(std::int64_t size, std::int64_t multiple) {
  return {0, (multiple - size % multiple) % multiple};
}

}  // namespace

DoubleConv3d::DoubleConv3d(std::int64_t in_channels, std::int64_t out_channels, Norm kind)
    : norm(kind),
      conv1(in_channels, out_channels, 3, {.padding = 1, .bias = kind == Norm::none}),
      conv2(out_channels, out_channels, 3, {.padding = 1, .bias = kind == Norm::none}),
      norm1(make_norm(kind, out_channels)),
      norm2(make_norm(kind, out_channels)) {
  register_module("conv1", conv1);
  if (norm1) register_module("norm1", *norm1);
  register_module("conv2", conv2);
  if (norm2) register_module("norm2", *norm2);
}

Tensor DoubleConv3d::forward(Tensor x) {
  x = normalized(norm1.get(), conv1(std::move(x)));
  return normalized(norm2.get(), conv2(std::move(x)));
}

std::unique_ptr<Module> DoubleConv3d::rebuilt() const {
  return std::make_unique<DoubleConv3d>(conv1.weight.size(4), conv1.weight.size(0), norm);
}

UpBlock3d::UpBlock3d(std::int64_t in_channels, const Triple& scale, Norm kind)
    : DoubleConv3d(in_channels, in_channels / 2, kind),
      up(in_channels, in_channels / 2, scale, {.stride = scale}) {
  register_module("up", up);
}

Tensor UpBlock3d::forward(Tensor x, Tensor skip) {
  x = up(std::move(x));
  return forward(cat({std::move(skip), std::move(x)}, -1));
}

std::unique_ptr<Module> UpBlock3d::rebuilt() const {
  return std::make_unique<UpBlock3d>(conv1.weight.size(4), up.options.stride, norm);
}

UNet3d::UNet3d(const UNet3dOptions& o)
    : options(checked(o)),
      bottom(o.base_width << (o.depth - 1), o.base_width << o.depth, o.norm),
      dropout(o.dropout),
      head(o.base_width, o.out_channels, 1) {
  for (std::int64_t i = 0; i < o.depth; ++i) {
    const std::int64_t width = o.base_width << i;
    down.add(i == 0 ? o.in_channels : width / 2, width, o.norm);
  }
  for (std::int64_t i = o.depth; i-- > 0;) up.add(o.base_width << (i + 1), pool_of(i), o.norm);
  register_module("down", down);
  register_module("bottom", bottom);
  register_module("dropout", dropout);
  register_module("up", up);
  register_module("head", head);
}

Triple UNet3d::pool_of(std::int64_t level) const { return level < options.flat_levels ? Triple(1, 2, 2) : 2; }

Tensor UNet3d::forward(Tensor x) {
  check(x.dim() == 5 && x.size(4) == options.in_channels && x.numel() > 0, "UNet3d: expects [N, D, H, W, ",
        options.in_channels, "], got ", x.shape());
  const std::int64_t d = x.size(1), h = x.size(2), w = x.size(3);
  const std::int64_t side = std::int64_t{1} << options.depth, slices = side >> options.flat_levels;
  if (d % slices != 0 || h % side != 0 || w % side != 0)
    x = pad_nd(x, {{}, at_end(d, slices), at_end(h, side), at_end(w, side), {}}, PadMode::replicate);
  std::vector<Tensor> skips;
  for (std::int64_t level = 0; level < options.depth; ++level) {
    skips.push_back(down[static_cast<std::size_t>(level)](std::move(x)));
    x = max_pool3d(skips.back(), {.kernel_size = pool_of(level)});
  }
  x = bottom(std::move(x));
  if (options.dropout > 0) x = dropout(std::move(x));
  for (UpBlock3d& block : up) {
    Tensor skip = std::move(skips.back());
    skips.pop_back();
    x = block.forward(std::move(x), std::move(skip));
  }
  x = head(std::move(x));
  for (const auto& [dim, size] : {std::pair{1, d}, std::pair{2, h}, std::pair{3, w}})
    if (x.size(dim) != size) x = narrow(x, dim, 0, size);
  return x;
}

std::unique_ptr<Module> UNet3d::rebuilt() const { return std::make_unique<UNet3d>(options); }

}  // namespace karyon
