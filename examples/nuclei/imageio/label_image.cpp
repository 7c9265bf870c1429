#include "imageio/label_image.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <unordered_map>
#include <vector>

#include "imageio/limits.h"
#include "imageio/sample_source.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr double exact_below = 9007199254740992;  // 2^53

std::uint64_t label_of(double value) {
  if (!std::isfinite(value)) return 0;
  if (std::abs(value) >= exact_below || value != std::trunc(value))
    return std::bit_cast<std::uint64_t>(value);
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
}

void read_values(const fs::path& path, SampleSource& source, LabelImage& labels) {
  const SampleFormat& format = source.format();
  const bool whole = format.kind != SampleFormat::Kind::real;
  std::vector<double> samples(static_cast<std::size_t>(labels.width));
  for (int y = 0; y < labels.height; ++y) {
    std::uint64_t* row = labels.row(y);
    for (int c = 0; c < format.channels; ++c) {
      source.stored(y, c, samples.data());
      for (std::size_t x = 0; x < samples.size(); ++x) {
        if (whole && std::abs(samples[x]) >= exact_below)
          fail_reading(path, "expected labels below 2^53, there are higher ones; number them anew");
        const std::uint64_t value = label_of(samples[x]);
        row[x] = row[x] << 16 | value;
        labels.highest = std::max(labels.highest, value);
      }
    }
  }
}

bool alpha_varies(SampleSource& source, int width, int height) {
  std::vector<double> samples(static_cast<std::size_t>(width));
  double first = 0;
  for (int y = 0; y < height; ++y) {
    source.stored(y, source.format().channels, samples.data());
    if (y == 0) first = samples[0];
    if (std::ranges::any_of(samples, [&](double value) { return value != first; })) return true;
  }
  return false;
}

/// The value that is shown black, where 0 is not.
std::uint64_t black_of(const SampleFormat& format) {
  if (format.white_is_zero) return format.bits > 32 ? 0 : (std::uint64_t{1} << format.bits) - 1;
  const auto is_black = [](const auto& colour) { return colour[0] + colour[1] + colour[2] == 0; };
  const auto black = std::ranges::find_if(format.palette, is_black);
  return black == format.palette.end() ? 0 : static_cast<std::uint64_t>(black - format.palette.begin());
}

}  // namespace

LabelImage read_label_image(const fs::path& path) {
  const std::unique_ptr<SampleSource> source = open_samples(path);
  const SampleFormat& format = source->format();
  check_whole(path, format.width, format.height);
  LabelImage labels(format.width, format.height);
  labels.bit_depth = source->header().bit_depth;
  labels.colours = format.channels == 3;
  labels.alpha = format.alpha;
  labels.several = source->note();
  if (labels.colours && (format.bits > 16 || format.kind != SampleFormat::Kind::natural))
    fail_reading(path,
                 "expected labels of one channel, or colours of 8 or 16 bits; save it with one channel");
  read_values(path, *source, labels);
  labels.alpha_varies = labels.alpha && alpha_varies(*source, labels.width, labels.height);

  const std::uint64_t black = black_of(format);
  if (black == 0) return labels;
  if (const Rival rival = rival_of_background(labels); rival.value == black && rival.sure()) {
    for (std::uint64_t& value : labels) value = value == 0 ? black : value == black ? 0 : value;
    labels.note = "value " + std::to_string(black) +
                  ", which is shown black and covers the frame, is taken as background in place of 0";
  }
  return labels;
}

Rival rival_of_background(const LabelImage& labels) {
  std::unordered_map<std::uint64_t, std::int64_t> frame;
  std::int64_t total = 0;
  for (int y = 0; y < labels.height; ++y) {
    const bool inner = y > 0 && y + 1 < labels.height;
    for (int x = 0; x < labels.width; x += inner && x == 0 && labels.width > 1 ? labels.width - 1 : 1) {
      ++frame[labels.at(x, y)];
      ++total;
    }
  }
  for (const auto& [value, pixels] : frame) {
    if (value == 0 || 2 * pixels <= total) continue;
    const std::int64_t area = std::ranges::count(labels, value);
    if (2 * area <= static_cast<std::int64_t>(labels.size())) continue;
    return {value, static_cast<double>(area) / static_cast<double>(labels.size()),
            static_cast<double>(pixels) / static_cast<double>(total)};
  }
  return {};
}

Mask read_mask(const fs::path& path, int width, int height) {
  const LabelImage labels = read_label_image(path);
  if (labels.width != width || labels.height != height)
    fail_reading(path, "expected a mask of " + size_text(width, height) + " pixels like its image, it is " +
                           size_text(labels));
  Mask mask(width, height);
  std::ranges::transform(labels, mask.begin(), [](std::uint64_t value) { return value != 0; });
  return mask;
}

}  // namespace nuclei
