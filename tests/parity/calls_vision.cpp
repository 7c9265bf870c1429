#include "tables.h"

namespace parity {
namespace {

Triple triple(const Call& c, const char* key) {
  const auto numbers = c.integers(key);
  return {numbers.at(0), numbers.at(1), numbers.at(2)};
}
// The sizes of an option as the operation takes them.
template <class Sizes>
Sizes sizes(const Call& c, const char* key) {
  if constexpr (std::is_same_v<Sizes, std::int64_t>) return c.integer(key);
  if constexpr (std::is_same_v<Sizes, Pair>) return c.pair(key);
  if constexpr (std::is_same_v<Sizes, Triple>) return triple(c, key);
}
template <class Sizes>
std::optional<Sizes> stride_of(const Call& c) {
  return c.has("stride") ? std::optional(sizes<Sizes>(c, "stride")) : std::nullopt;
}

// Convolutions, their transposes and pools, by the type of their options.
template <class Sizes, class Options>
Operation conv(Tensor (*f)(const Tensor&, const Tensor&, const Tensor&, const Options&)) {
  return [f](const Call& c) {
    return f(c[0], c[1], c[2],
             {.stride = sizes<Sizes>(c, "stride"),
              .padding = sizes<Sizes>(c, "padding"),
              .dilation = sizes<Sizes>(c, "dilation"),
              .groups = c.integer("groups")});
  };
}
template <class Sizes, class Options>
Operation conv_transpose(Tensor (*f)(const Tensor&, const Tensor&, const Tensor&, const Options&)) {
  return [f](const Call& c) {
    return f(c[0], c[1], c[2],
             {.stride = sizes<Sizes>(c, "stride"),
              .padding = sizes<Sizes>(c, "padding"),
              .output_padding = sizes<Sizes>(c, "output_padding"),
              .dilation = sizes<Sizes>(c, "dilation"),
              .groups = c.integer("groups")});
  };
}
template <class Sizes, class Options>
Operation max_pool(Tensor (*f)(const Tensor&, const Options&)) {
  return [f](const Call& c) {
    return f(c[0], {.kernel_size = sizes<Sizes>(c, "kernel_size"),
                    .stride = stride_of<Sizes>(c),
                    .padding = sizes<Sizes>(c, "padding"),
                    .dilation = sizes<Sizes>(c, "dilation"),
                    .ceil_mode = c.flag("ceil_mode")});
  };
}
template <class Sizes, class Options>
Operation avg_pool(Tensor (*f)(const Tensor&, const Options&)) {
  return [f](const Call& c) {
    return f(c[0], {.kernel_size = sizes<Sizes>(c, "kernel_size"),
                    .stride = stride_of<Sizes>(c),
                    .padding = sizes<Sizes>(c, "padding"),
                    .count_include_pad = c.flag("count_include_pad"),
                    .ceil_mode = c.flag("ceil_mode")});
  };
}

UnfoldOptions windows(const Call& c) {
  return {.kernel_size = c.pair("kernel_size"),
          .stride = c.pair("stride"),
          .padding = c.pair("padding"),
          .dilation = c.pair("dilation")};
}

std::vector<Border> borders(const Call& c) {
  const auto numbers = c.integers("borders");
  std::vector<Border> all;
  for (std::size_t i = 0; i + 1 < numbers.size(); i += 2) all.push_back({numbers[i], numbers[i + 1]});
  return all;
}

}  // namespace

const Table vision{
    {"conv1d", conv<std::int64_t>(conv1d)},
    {"conv3d", conv<Triple>(conv3d)},
    {"conv_transpose1d", conv_transpose<std::int64_t>(conv_transpose1d)},
    {"conv_transpose3d", conv_transpose<Triple>(conv_transpose3d)},
    {"max_pool1d", max_pool<std::int64_t>(max_pool1d)},
    {"max_pool2d", max_pool<Pair>(max_pool2d)},
    {"max_pool3d", max_pool<Triple>(max_pool3d)},
    {"avg_pool1d", avg_pool<std::int64_t>(avg_pool1d)},
    {"avg_pool2d", avg_pool<Pair>(avg_pool2d)},
    {"avg_pool3d", avg_pool<Triple>(avg_pool3d)},
    {"adaptive_avg_pool1d", [](const Call& c) { return adaptive_avg_pool1d(c[0], c.integer("size")); }},
    {"adaptive_avg_pool2d", [](const Call& c) { return adaptive_avg_pool2d(c[0], c.pair("size")); }},
    {"adaptive_avg_pool3d", [](const Call& c) { return adaptive_avg_pool3d(c[0], triple(c, "size")); }},
    {"instance_norm",
     [](const Call& c) { return instance_norm(c[0], c[1], c[2], {.eps = c.number("eps")}); }},
    {"pad",
     [](const Call& c) {
       return pad_nd(c[0], borders(c), static_cast<PadMode>(c.integer("mode")), c.number("value"));
     }},
    {"interpolate",
     [](const Call& c) {
       return interpolate(c[0], c.shape("size"),
                          {.mode = static_cast<InterpolateMode>(c.integer("mode")),
                           .align_corners = c.flag("align_corners"),
                           .antialias = c.flag("antialias")});
     }},
    {"pixel_shuffle", [](const Call& c) { return pixel_shuffle(c[0], c.integer("factor")); }},
    {"pixel_unshuffle", [](const Call& c) { return pixel_unshuffle(c[0], c.integer("factor")); }},
    {"channel_shuffle", [](const Call& c) { return channel_shuffle(c[0], c.integer("groups")); }},
    {"unfold", [](const Call& c) { return unfold(c[0], windows(c)); }},
    {"fold", [](const Call& c) { return fold(c[0], c.pair("size"), windows(c)); }},
    {"grid_sample",
     [](const Call& c) {
       return grid_sample(c[0], c[1],
                          {.mode = static_cast<GridSampleMode>(c.integer("mode")),
                           .padding = static_cast<GridPadding>(c.integer("padding")),
                           .align_corners = c.flag("align_corners")});
     }},
    {"affine_grid",
     [](const Call& c) {
       return affine_grid(c[0], c.shape("size"), {.align_corners = c.flag("align_corners")});
     }},
};

}  // namespace parity
