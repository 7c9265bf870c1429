#include <cstring>

#include <karyon/core/cpu/conv/input.h>
#include <karyon/core/cpu/lazy_pixels.h>
#include <karyon/core/cpu/norm_rows.h>

namespace karyon::cpu {
namespace {

void add_part(const Tensor& x, ConvInput& input) {
  const std::int64_t first = input.parts.empty() ? 0 : input.parts.back().first + input.parts.back().channels;
  const LazyPixels<float> pixels(x);
  input.parts.push_back({pixels.data, first, pixels.channels, pixels.scale, pixels.shift});
  input.held.insert(input.held.end(), pixels.held.begin(), pixels.held.end());
}

}  // namespace

ConvInput conv_input(const Tensor& x, bool apart) {
  ConvInput input;
  const auto joined = apart ? lazy_as<LazyCat>(x) : nullptr;
  if (!joined) {
    add_part(x, input);
    return input;
  }
  for (const SavedTensor& part : joined->parts) add_part(part.get(), input);
  return input;
}

ConvInput grouped_input(const Tensor& x, std::int64_t channels) {
  if (channels % 16 != 0) x.data<float>();
  return conv_input(x, false);
}

void read_pixels(const ImagePart& part, const float* from, std::int64_t count, float* to) {
  if (part.scale) {
    norm_affine(f32, from, count, part.channels, part.scale, part.shift, 0, false, to);
  } else {
    std::memcpy(to, from, static_cast<std::size_t>(count * part.channels) * sizeof(float));
  }
}

}  // namespace karyon::cpu
