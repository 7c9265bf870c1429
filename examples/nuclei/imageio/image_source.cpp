#include "imageio/image_source.h"

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <fstream>
#include <map>
#include <numeric>
#include <system_error>

#include "common/error.h"
#include "common/text.h"
#include "imageio/decoded_source.h"
#include "imageio/limits.h"
#include "imageio/one_colour.h"
#include "imageio/tiff_source.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

bool starts_with(const std::vector<unsigned char>& bytes, const std::vector<unsigned char>& prefix) {
  return bytes.size() >= prefix.size() && std::equal(prefix.begin(), prefix.end(), bytes.begin());
}

/// The first bytes of a file.
std::vector<unsigned char> first_bytes(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail_reading(path, "no such file; check the path");
  if (fs::is_directory(status)) fail_reading(path, "expected an image file, this is a folder");
  if (!fs::is_regular_file(status)) fail_reading(path, "expected an image file, this is a device or a pipe");
  std::ifstream file(path, std::ios::binary);
  if (!file) fail_reading(path, std::generic_category().message(errno));
  std::vector<unsigned char> bytes(8);
  file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
  bytes.resize(static_cast<std::size_t>(file.gcount()));
  if (file.bad()) fail_reading(path, "the disk reported a read error");
  if (bytes.empty()) fail_reading(path, "the file is empty; copy it again");
  return bytes;
}

std::unique_ptr<SampleSource> open_by_content(const fs::path& path, const ReadOptions& options) {
  const std::vector<unsigned char> png{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'}, jpeg{0xff, 0xd8, 0xff},
      bmp{'B', 'M'};
  const std::vector<unsigned char> bytes = first_bytes(path);
  if (is_tiff(path)) return open_tiff(path, options);
  const auto decoded = [&](auto open) {
    return std::make_unique<DecodedSource>(path, options, [path, open] { return open(path); });
  };
  if (starts_with(bytes, png)) {
    check_png(path);
    return decoded(png_decoder);
  }
  if (starts_with(bytes, jpeg)) return decoded(jpeg_decoder);
  if (starts_with(bytes, bmp)) return decoded(bmp_decoder);
  if (starts_with(png, bytes) || starts_with(jpeg, bytes))
    fail_reading(path, "the file is cut short; copy it again");
  fail_reading(
      path,
      "expected a PNG, JPEG or BMP image or a TIFF, the content is something else; save it as TIFF or PNG");
}

// Maps floats to unsigned numbers of the same order.
std::uint32_t ordered(float value) {
  const auto bits = std::bit_cast<std::uint32_t>(value);
  return bits >> 31 ? ~bits : bits | 0x80000000u;
}
float from_ordered(std::uint32_t key) { return std::bit_cast<float>(key >> 31 ? key & 0x7fffffffu : ~key); }

template <class Visit>
void for_each_brightness(ImageSource& source, const Visit& visit) {
  const Image& h = source.header();
  const int step = rows_at_once(h);
  Raster<float> rows(h.width, step, h.channels);
  for (int y = 0; y < h.height; y += step) {
    const int count = std::min(step, h.height - y);
    source.read(y, count, rows.values.data());
    for (const float* p = rows.row(0); p != rows.row(count); p += h.channels)
      if (const float v = std::accumulate(p, p + h.channels, 0.0f) / static_cast<float>(h.channels);
          std::isfinite(v))
        visit(ordered(v));
  }
}

Image without_values(const Image& image) {
  Image header;
  header.width = image.width;
  header.height = image.height;
  header.channels = image.channels;
  header.bit_depth = image.bit_depth;
  header.scale = image.scale;
  header.offset = image.offset;
  header.integers = image.integers;
  header.pixel_width = image.pixel_width;
  header.pixel_height = image.pixel_height;
  return header;
}

}  // namespace

std::unique_ptr<SampleSource> open_samples(const fs::path& path, const ReadOptions& options) {
  try {
    return open_by_content(path, options);
  } catch (const Failure&) {
    throw;
  } catch (const std::bad_alloc&) {
    fail_reading(path, "memory does not suffice");
  } catch (const std::exception& e) {
    fail_reading(path, e.what());
  }
}

std::unique_ptr<ImageSource> open_image(const fs::path& path, const ReadOptions& options) {
  return in_one_channel(open_samples(path, options));
}

std::string ImageSource::note_and_remark() const {
  std::string both = note_;
  append_part(both, "; ", remark_);
  return both;
}

int rows_at_once(const Image& header) {
  constexpr std::size_t values = std::size_t{1} << 20, most = 64;
  return static_cast<int>(
      std::clamp<std::size_t>(values / std::max<std::size_t>(header.row_size(), 1), 1, most));
}

Image read_all(ImageSource& source) {
  Image image = source.header();
  image.values.resize(image.pixels() * image.depth());
  source.read(0, image.height, image.values.data());
  return image;
}

ImageRows::ImageRows(const Image& image) : image_(image) { header_ = without_values(image); }

void ImageRows::read(int y, int count, float* pixels) {
  std::copy(image_.row(y), image_.row(y + count), pixels);
}

// The first pass counts the upper 16 bits of all pixels that are no holes. The second counts the lower 16
// bits of those pixels whose upper bits are those of a quantile.
std::vector<float> brightness_quantiles(ImageSource& source, const std::vector<double>& shares,
                                        std::int64_t* holes) {
  constexpr std::size_t half = std::size_t{1} << 16;
  std::vector<std::uint64_t> upper(half);
  for_each_brightness(source, [&](std::uint32_t key) { ++upper[key >> 16]; });
  const std::uint64_t pixels = std::accumulate(upper.begin(), upper.end(), std::uint64_t{0});
  if (holes) *holes = static_cast<std::int64_t>(source.header().pixels() - pixels);
  if (pixels == 0) return std::vector<float>(shares.size());

  struct Place {
    std::uint32_t upper;
    std::uint64_t rank;  // among the values with these upper bits
  };
  std::vector<Place> places;
  std::map<std::uint32_t, std::vector<std::uint64_t>> lower;
  for (const double share : shares) {
    auto rank = static_cast<std::uint64_t>(share * static_cast<double>(pixels - 1));
    std::uint32_t bits = 0;
    while (rank >= upper[bits]) rank -= upper[bits++];
    places.push_back({bits, rank});
    lower[bits].resize(half);
  }
  std::vector<std::vector<std::uint64_t>*> wanted(half);
  for (auto& [bits, counts] : lower) wanted[bits] = &counts;
  for_each_brightness(source, [&](std::uint32_t key) {
    if (auto* counts = wanted[key >> 16]) ++(*counts)[key & 0xffff];
  });

  std::vector<float> values;
  for (Place place : places) {
    const std::vector<std::uint64_t>& counts = lower[place.upper];
    std::uint32_t bits = 0;
    while (bits < half && place.rank >= counts[bits]) place.rank -= counts[bits++];
    if (bits == half) throw Failure("the image changed while it was read; wait until nothing writes to it");
    values.push_back(from_ordered(place.upper << 16 | bits));
  }
  return values;
}

}  // namespace nuclei
