#include <charconv>
#include <numeric>

#include <karyon/core/ops/layout.h>
#include <karyon/core/ops/pool.h>
#include <karyon/core/ops/resize.h>
#include <karyon/layers/conv_norm_activation.h>
#include <karyon/layers/weights.h>
#include <karyon/models/unet.h>

namespace karyon {
namespace {

// Norms come with the ReLU that follows them.
std::unique_ptr<Module> make_norm(Norm norm, std::int64_t channels) {
  switch (norm) {
    case Norm::batch: return std::make_unique<BatchNorm2d>(channels, BatchNorm2d::Options{.relu = true});
    case Norm::group:
      return std::make_unique<GroupNorm>(std::gcd<std::int64_t>(8, channels), channels,
                                         GroupNorm::Options{.relu = true});
    case Norm::none: break;
  }
  return nullptr;
}

// As they are kept: without the generator.
UNetOptions checked(UNetOptions o) {
  check(o.in_channels >= 1 && o.out_channels >= 1 && o.base_width >= 1,
        "UNet: expects at least 1 channel, got in_channels ", o.in_channels, ", out_channels ",
        o.out_channels, ", base_width ", o.base_width);
  check(o.depth >= 1 && o.depth <= 10, "UNet: expects a depth of 1 to 10, got ", o.depth);
  check(o.base_width <= (std::int64_t{1} << 20) >> o.depth, "UNet: base_width ", o.base_width, " at depth ",
        o.depth, " gives more than 2^20 channels");
  check(o.dropout >= 0 && o.dropout < 1, "UNet: expects dropout in [0, 1), got ", o.dropout);
  o.generator = nullptr;
  return o;
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

Tensor pad_to_multiple(const Tensor& x, std::int64_t multiple) {
  const std::int64_t h = x.size(1), w = x.size(2);
  const Pad2d border{.bottom = round_up(h, multiple) - h, .right = round_up(w, multiple) - w};
  if (border.bottom == 0 && border.right == 0) return x;
  return pad(x, border, border.bottom < h && border.right < w ? PadMode::reflect : PadMode::zeros);
}

}  // namespace

DoubleConv::DoubleConv(std::int64_t in_channels, std::int64_t out_channels, Norm kind, Generator* generator)
    : norm(kind),
      conv1(in_channels, out_channels, 3, {.padding = 1, .bias = kind == Norm::none, .generator = generator}),
      conv2(out_channels, out_channels, 3,
            {.padding = 1, .bias = kind == Norm::none, .generator = generator}),
      norm1(make_norm(kind, out_channels)),
      norm2(make_norm(kind, out_channels)) {
  register_module("conv1", conv1);
  if (norm1) register_module("norm1", *norm1);
  register_module("conv2", conv2);
  if (norm2) register_module("norm2", *norm2);
}

Tensor DoubleConv::forward(Tensor x) {
  std::vector<Tensor> inputs(1);
  inputs[0] = std::move(x);
  return forward(std::move(inputs));
}

Tensor DoubleConv::forward(std::vector<Tensor> inputs) {
  std::vector<Tensor> between(1);
  const ActivationKind last =
      norm == Norm::none ? ActivationKind::relu : ActivationKind::none;  // else the norm's
  between[0] = conv_norm_activation(conv1, norm1.get(), last, std::move(inputs));
  return conv_norm_activation(conv2, norm2.get(), last, std::move(between));
}

std::unique_ptr<Module> DoubleConv::rebuilt() const {
  return std::make_unique<DoubleConv>(conv1.weight.size(3), conv1.weight.size(0), norm);
}

UpBlock::UpBlock(std::int64_t in_channels, Norm kind, UpMode up_mode, Generator* generator)
    : DoubleConv(in_channels, in_channels / 2, kind, generator), mode(up_mode) {
  if (mode == UpMode::transposed) {
    up = std::make_unique<ConvTranspose2d>(in_channels, in_channels / 2, 2,
                                           ConvTranspose2d::Options{.stride = 2, .generator = generator});
  } else {
    up = std::make_unique<Conv2d>(in_channels, in_channels / 2, 1, Conv2d::Options{.generator = generator});
  }
  register_module("up", *up);
}

Tensor UpBlock::forward(Tensor x, Tensor skip) {
  x = (*up)(std::move(x));
  // A 1x1 convolution and bilinear resampling commute (each output's weights sum to 1); convolving the
  // small image costs a quarter.
  if (mode == UpMode::bilinear)
    x = interpolate(x, {2 * x.size(1), 2 * x.size(2)}, {.mode = InterpolateMode::bilinear});
  std::vector<Tensor> parts(2);
  parts[0] = std::move(skip);
  parts[1] = std::move(x);
  return DoubleConv::forward(std::move(parts));
}

std::unique_ptr<Module> UpBlock::rebuilt() const {
  return std::make_unique<UpBlock>(conv1.weight.size(3), norm, mode);
}

UNet::UNet(const UNetOptions& o)
    : options(checked(o)),
      bottom(o.base_width << (o.depth - 1), o.base_width << o.depth, o.norm, o.generator),
      dropout(o.dropout),
      head(o.base_width, o.out_channels, 1, {.generator = o.generator}) {
  for (std::int64_t i = 0; i < o.depth; ++i) {
    const std::int64_t width = o.base_width << i;
    down.add(i == 0 ? o.in_channels : width / 2, width, o.norm, o.generator);
  }
  for (std::int64_t i = 0; i < o.depth; ++i) up.add(o.base_width << (o.depth - i), o.norm, o.up, o.generator);
  register_module("down", down);
  register_module("bottom", bottom);
  register_module("dropout", dropout);
  register_module("up", up);
  register_module("head", head);
}

Tensor UNet::forward(Tensor x) {
  check(x.dim() == 4 && x.size(3) == options.in_channels && x.size(1) >= 1 && x.size(2) >= 1,
        "UNet: expects [N, H, W, ", options.in_channels, "], got ", x.shape());
  const Pair size{x.size(1), x.size(2)};
  x = pad_to_multiple(x, std::int64_t{1} << options.depth);
  std::vector<Tensor> skips;
  for (DoubleConv& block : down) {
    skips.push_back(block(std::move(x)));
    x = max_pool2d(skips.back());
  }
  x = bottom(std::move(x));
  if (options.dropout > 0) x = dropout(std::move(x));
  for (UpBlock& block : up) {
    Tensor skip = std::move(skips.back());
    skips.pop_back();
    x = block.forward(std::move(x), std::move(skip));
  }
  x = head(std::move(x));
  return x.size(1) == size.h && x.size(2) == size.w ? x : crop(x, 0, 0, size);
}

std::unique_ptr<Module> UNet::rebuilt() const { return std::make_unique<UNet>(options); }

// ---- files

namespace {

const std::pair<Norm, const char*> norm_names[] = {
    {Norm::none, "none"}, {Norm::batch, "batch"}, {Norm::group, "group"}};
const std::pair<UpMode, const char*> up_names[] = {{UpMode::transposed, "transposed"},
                                                   {UpMode::bilinear, "bilinear"}};

template <class E, std::size_t n>
std::string name_of(E value, const std::pair<E, const char*> (&names)[n]) {
  for (const auto& [known, text] : names)
    if (known == value) return text;
  return "?";
}

std::string text_of(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

struct Metadata {
  const std::map<std::string, std::string>& entries;
  std::string where;

  const std::string& text(const std::string& key) const {
    const auto it = entries.find(key);
    check(it != entries.end(), where, "expects an entry '", key, "' in the metadata, got none");
    return it->second;
  }
  template <class T>
  T number(const std::string& key) const {
    const std::string& s = text(key);
    T value{};
    const auto [end, error] = std::from_chars(s.data(), s.data() + s.size(), value);
    check(error == std::errc() && end == s.data() + s.size(), where, key, " expects a number, got '", s, "'");
    return value;
  }
  template <class E, std::size_t n>
  E choice(const std::string& key, const std::pair<E, const char*> (&names)[n]) const {
    const std::string& s = text(key);
    for (const auto& [value, known] : names)
      if (s == known) return value;
    throw Error(where + key + " is unknown: '" + s + "'");
  }
};

}  // namespace

void save_unet(const UNet& model, const std::filesystem::path& path,
               const std::map<std::string, std::string>& metadata) {
  const UNetOptions& o = model.options;
  std::map<std::string, std::string> all{{"karyon.model", "unet"},
                                         {"karyon.unet.in_channels", std::to_string(o.in_channels)},
                                         {"karyon.unet.out_channels", std::to_string(o.out_channels)},
                                         {"karyon.unet.base_width", std::to_string(o.base_width)},
                                         {"karyon.unet.depth", std::to_string(o.depth)},
                                         {"karyon.unet.norm", name_of(o.norm, norm_names)},
                                         {"karyon.unet.up", name_of(o.up, up_names)},
                                         {"karyon.unet.dropout", text_of(o.dropout)}};
  for (const auto& [key, value] : metadata)
    check(all.emplace(key, value).second, "save_unet: ", path.string(), ": metadata '", key,
          "' is one of the model's own entries");
  save_weights(model, path, all);
}

std::unique_ptr<UNet> load_unet(const std::filesystem::path& path,
                                std::map<std::string, std::string>* metadata) {
  const std::string where = "load_unet: " + path.string() + ": ";
  TensorFile file = load_safetensors(path);
  const Metadata entries{file.metadata, where};
  check(file.metadata.contains("karyon.model"), where,
        "expects a model written by save_unet, got a file without "
        "a karyon.model entry; weights alone go into a network of their kind with load_weights");
  check(entries.text("karyon.model") == "unet", where, "expects a model of kind unet, got ",
        entries.text("karyon.model"));
  const UNetOptions o{.in_channels = entries.number<std::int64_t>("karyon.unet.in_channels"),
                      .out_channels = entries.number<std::int64_t>("karyon.unet.out_channels"),
                      .base_width = entries.number<std::int64_t>("karyon.unet.base_width"),
                      .depth = entries.number<std::int64_t>("karyon.unet.depth"),
                      .norm = entries.choice("karyon.unet.norm", norm_names),
                      .up = entries.choice("karyon.unet.up", up_names),
                      .dropout = entries.number<double>("karyon.unet.dropout")};
  // The largest weights must be in the file before a network of that size is built: damaged options
  // then cost an error, not all memory.
  auto expect = [&](const std::string& name, const Shape& shape) {
    const auto it = file.tensors.find(name);
    check(it != file.tensors.end(), where, "expects a tensor '", name, "', got none");
    check(it->second.shape() == shape, where, "the options ask for ", name, " of shape ", shape, ", got ",
          it->second.shape());
  };
  try {
    checked(o);
  } catch (const Error& e) {
    throw Error(where + e.what());
  }
  expect("down.0.conv1.weight", {o.base_width, o.in_channels, 3, 3});
  expect("bottom.conv2.weight", {o.base_width << o.depth, o.base_width << o.depth, 3, 3});
  expect("head.weight", {o.out_channels, o.base_width, 1, 1});
  auto model = std::make_unique<UNet>(o);
  if (metadata) *metadata = file.metadata;
  load_weights(*model, std::move(file), path);
  return model;
}

}  // namespace karyon
