#include "imageio/image.h"

#include <png.h>
#include <zlib.h>

#include <algorithm>
#include <bit>
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fstream>
#include <memory>
#include <span>
#include <string>
#include <system_error>

#include "common/error.h"
#include "imageio/atomic_file.h"
#include "imageio/image_source.h"
#include "imageio/tiff_source.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_PNG  // no TGA above all: it has no signature, so any text file may pass for one
#define STBI_ONLY_JPEG
#define STBI_ONLY_BMP
#include <stb/stb_image.h>

namespace nuclei {
namespace {

namespace fs = std::filesystem;
using Bytes = std::span<const std::uint8_t>;

[[noreturn]] void fail(const fs::path& path, const std::string& reason) {
  throw Failure("reading " + path.string() + ": " + reason);
}

std::vector<std::uint8_t> read_bytes(const fs::path& path) {
  std::error_code error;
  const fs::file_status status = fs::status(path, error);
  if (!fs::exists(status)) fail(path, "no such file; check the path");
  if (fs::is_directory(status)) fail(path, "expected an image file, this is a folder");
  std::ifstream file(path, std::ios::binary);
  if (!file) fail(path, std::generic_category().message(errno));
  std::vector<std::uint8_t> bytes;
  char block[1 << 16];
  while (file.read(block, sizeof block) || file.gcount() > 0) {
    bytes.insert(bytes.end(), block, block + file.gcount());
  }
  if (file.bad()) fail(path, "the disk reported a read error");
  if (bytes.empty()) fail(path, "the file is empty; copy it again");
  return bytes;
}

bool starts_with(Bytes bytes, Bytes prefix) {
  return bytes.size() >= prefix.size() && std::ranges::equal(bytes.first(prefix.size()), prefix);
}

std::uint32_t big_endian32(Bytes bytes) {
  return std::uint32_t{bytes[0]} << 24 | std::uint32_t{bytes[1]} << 16 | std::uint32_t{bytes[2]} << 8 |
         std::uint32_t{bytes[3]};
}

void check_size(const fs::path& path, std::int64_t width, std::int64_t height) {
  if (width <= max_pixels / std::max<std::int64_t>(height, 1)) return;
  fail(path, "the header claims " + size_text(width, height) + " pixels, the limit is " +
                 std::to_string(max_pixels >> 20) + " Mi; cut the image into tiles");
}

/// stb_image ignores checksums and may accept a PNG that ends early, so walk its chunks first:
/// length, type, data, CRC of type and data, up to the IEND chunk.
void check_png(const fs::path& path, Bytes bytes) {
  constexpr std::size_t signature = 8, overhead = 12;
  for (Bytes rest = bytes.subspan(signature);;) {
    if (rest.size() < overhead) fail(path, "the PNG file is cut short; copy it again");
    const std::size_t length = big_endian32(rest);
    if (length > rest.size() - overhead) fail(path, "the PNG file is cut short; copy it again");
    const Bytes type_and_data = rest.subspan(4, length + 4);
    const uLong crc = crc32(0, type_and_data.data(), static_cast<uInt>(type_and_data.size()));
    if (crc != big_endian32(rest.subspan(length + 8))) {
      fail(path, "the PNG file is damaged (a checksum is wrong); copy it again");
    }
    if (std::memcmp(type_and_data.data(), "IEND", 4) == 0) return;
    if (std::memcmp(type_and_data.data(), "IHDR", 4) == 0 && length >= 8) {
      check_size(path, big_endian32(type_and_data.subspan(4)), big_endian32(type_and_data.subspan(8)));
    }
    rest = rest.subspan(length + overhead);
  }
}

/// Feeds stb_image and notices when it asks for bytes behind the end: it would silently decode
/// those as zeros.
struct Source {
  Bytes rest;
  bool overrun = false;

  static int read(void* user, char* data, int size) {
    auto& self = *static_cast<Source*>(user);
    const std::size_t count = std::min(self.rest.size(), static_cast<std::size_t>(size));
    if (count == 0) self.overrun = true;
    std::copy_n(self.rest.data(), count, data);
    self.rest = self.rest.subspan(count);
    return static_cast<int>(count);
  }
  static void skip(void* user, int size) {
    auto& self = *static_cast<Source*>(user);
    if (size <= 0) return;  // stepping back happens inside stb_image's own buffer only
    const std::size_t count = std::min(self.rest.size(), static_cast<std::size_t>(size));
    if (count < static_cast<std::size_t>(size)) self.overrun = true;
    self.rest = self.rest.subspan(count);
  }
  static int at_end(void* user) { return static_cast<Source*>(user)->rest.empty(); }
};

struct Free {
  void operator()(void* memory) const { stbi_image_free(memory); }
};

/// A decoded file before conversion: samples are uint8 or uint16 according to bit_depth, `stored`
/// of them per pixel, of which the first `channels` are colour and the rest is alpha.
struct Decoded {
  int width = 0, height = 0, stored = 0, channels = 0, bit_depth = 8;
  std::unique_ptr<void, Free> samples;

  /// Calls visit(sample pointer of one pixel, its index) for every pixel.
  template <class Visit>
  void for_each_pixel(const Visit& visit) const {
    const auto walk = [&](auto* sample) {
      for (std::size_t i = 0; i < pixel_count(width, height); ++i, sample += stored) visit(sample, i);
    };
    if (bit_depth == 16) {
      walk(static_cast<const std::uint16_t*>(samples.get()));
    } else {
      walk(static_cast<const std::uint8_t*>(samples.get()));
    }
  }
};

Decoded decode(const fs::path& path) {
  constexpr std::uint8_t png_signature[] = {0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};
  constexpr std::uint8_t jpeg_signature[] = {0xff, 0xd8, 0xff};
  constexpr std::uint8_t bmp_signature[] = {'B', 'M'};

  const std::vector<std::uint8_t> bytes = read_bytes(path);
  if (starts_with(bytes, png_signature)) {
    check_png(path, bytes);
  } else if (!starts_with(bytes, jpeg_signature) && !starts_with(bytes, bmp_signature)) {
    const bool cut = starts_with(png_signature, bytes) || starts_with(jpeg_signature, bytes);
    fail(path, cut ? "the file is cut short; copy it again"
                   : "expected a PNG, JPEG or BMP image or a TIFF, the content is something else; "
                     "save it as TIFF or PNG");
  }

  Decoded image;
  const stbi_io_callbacks callbacks{Source::read, Source::skip, Source::at_end};
  const auto damaged = [&](const Source& source) {
    const char* reason = stbi_failure_reason();
    fail(path, source.overrun ? "the file is cut short; copy it again"
                              : "the file is damaged or of an unsupported kind (" +
                                    std::string(reason ? reason : "unknown") + ")");
  };
  Source info{bytes};
  if (!stbi_info_from_callbacks(&callbacks, &info, &image.width, &image.height, &image.stored)) {
    damaged(info);
  }
  check_size(path, image.width, image.height);
  Source depth{bytes}, data{bytes};
  image.bit_depth = stbi_is_16_bit_from_callbacks(&callbacks, &depth) ? 16 : 8;
  if (image.bit_depth == 16) {
    image.samples.reset(
        stbi_load_16_from_callbacks(&callbacks, &data, &image.width, &image.height, &image.stored, 0));
  } else {
    image.samples.reset(
        stbi_load_from_callbacks(&callbacks, &data, &image.width, &image.height, &image.stored, 0));
  }
  if (!image.samples || data.overrun) damaged(data);
  image.channels = image.stored <= 2 ? 1 : 3;
  return image;
}

struct PngJob {
  int width, height, color_type, bit_depth;
  std::vector<const png_byte*> rows;
  std::vector<std::uint8_t> encoded;
};

void append_bytes(png_structp png, png_bytep data, std::size_t size) {
  bool stored = true;
  try {
    auto& encoded = static_cast<PngJob*>(png_get_io_ptr(png))->encoded;
    encoded.insert(encoded.end(), data, data + size);
  } catch (...) {
    stored = false;  // an exception must not travel through C code, nor a longjmp leave a catch
  }
  if (!stored) png_error(png, "out of memory");
}

/// libpng reports errors by longjmp, so nothing with a destructor may live in this function.
bool encode(PngJob& job) {
  png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, nullptr, nullptr, nullptr);
  png_infop info = png ? png_create_info_struct(png) : nullptr;
  if (!info || setjmp(png_jmpbuf(png))) {
    png_destroy_write_struct(&png, &info);
    return false;
  }
  png_set_write_fn(png, &job, append_bytes, nullptr);
  png_set_IHDR(png, info, static_cast<png_uint_32>(job.width), static_cast<png_uint_32>(job.height),
               job.bit_depth, job.color_type, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
               PNG_FILTER_TYPE_DEFAULT);
  png_write_info(png, info);
  if (job.bit_depth == 16 && std::endian::native == std::endian::little) png_set_swap(png);
  for (const png_byte* row : job.rows) png_write_row(png, row);
  png_write_end(png, info);
  png_destroy_write_struct(&png, &info);
  return true;
}

std::vector<std::uint8_t> encoded(const std::string& task, PngJob job) {
  if (job.width < 1 || job.height < 1 || !encode(job)) {
    throw Failure(task + ": cannot encode a picture of " + size_text(job.width, job.height) +
                  " pixels as PNG");
  }
  return std::move(job.encoded);
}

void write_png(const fs::path& path, PngJob job) {
  write_file_atomically(path, encoded("writing " + path.string(), std::move(job)));
}

template <class T>
PngJob png_job(const Raster<T>& picture) {
  constexpr int color_types[] = {PNG_COLOR_TYPE_GRAY, PNG_COLOR_TYPE_GRAY_ALPHA, PNG_COLOR_TYPE_RGB,
                                 PNG_COLOR_TYPE_RGB_ALPHA};
  if (picture.channels < 1 || picture.channels > 4)
    throw Failure("writing a PNG: expected 1 to 4 channels, got " + std::to_string(picture.channels));
  PngJob job{picture.width, picture.height, color_types[picture.channels - 1], 8 * sizeof(T), {}, {}};
  for (int y = 0; y < picture.height; ++y)
    job.rows.push_back(reinterpret_cast<const png_byte*>(picture.row(y)));
  return job;
}

}  // namespace

Image read_image(const fs::path& path) { return read_image(path, {}); }

Image read_image(const fs::path& path, const ReadOptions& options, std::string* note, std::string* remark) {
  if (is_tiff(path)) {
    const std::unique_ptr<ImageSource> source = open_tiff(path, options);
    if (note) *note = source->note();
    if (remark) *remark = source->remark();
    check_size(path, source->header().width, source->header().height);
    return read_all(*source);
  }
  if (const int page = options.page.value_or(1); page != 1)
    fail(path, "there is no page " + std::to_string(page) + ": only TIFF files have pages");
  const Decoded file = decode(path);
  int first = 0, channels = file.channels;
  if (!options.channel.empty()) {
    const auto at = std::string("123").find(options.channel);
    if (options.channel.size() != 1 || at >= static_cast<std::size_t>(file.channels)) {
      fail(path, "there is no channel '" + options.channel + "': the image has " +
                     (file.channels == 1 ? "1 channel" : "3 channels, by the numbers 1 (red) to 3 (blue)"));
    }
    first = static_cast<int>(at);
    channels = 1;
  }
  const float full = file.bit_depth == 16 ? 65535.0f : 255.0f;
  Image image(file.width, file.height, channels);
  image.bit_depth = file.bit_depth;
  image.scale = full;
  auto out = image.begin();
  file.for_each_pixel([&](const auto* sample, std::size_t) {
    for (int c = first; c < first + channels; ++c) *out++ = static_cast<float>(sample[c]) / full;
  });
  return image;
}

RawImage read_raw(const fs::path& path) {
  const Decoded file = decode(path);
  RawImage raw(file.width, file.height, file.stored);
  raw.bit_depth = file.bit_depth;
  file.for_each_pixel(
      [&](const auto* sample, std::size_t i) { std::copy_n(sample, file.stored, raw.pixel(i)); });
  return raw;
}

Mask read_mask(const fs::path& path, int width, int height) {
  const auto check_like_image = [&](int mask_width, int mask_height) {
    if (mask_width == width && mask_height == height) return;
    fail(path, "expected a mask of " + size_text(width, height) + " pixels like its image, it is " +
                   size_text(mask_width, mask_height));
  };
  Mask mask(width, height);
  if (is_tiff(path)) {
    const Image image = read_image(path);
    check_like_image(image.width, image.height);
    for (std::size_t i = 0; i < image.size(); ++i) {
      if (image.offset + image.scale * image[i] > 0) mask[i / image.depth()] = 1;
    }
    return mask;
  }
  const Decoded file = decode(path);
  check_like_image(file.width, file.height);
  file.for_each_pixel([&](const auto* sample, std::size_t i) {
    mask[i] = std::any_of(sample, sample + file.channels, [](auto value) { return value != 0; });
  });
  return mask;
}

Picture to_8_bits(const Image& image) {
  Picture picture(image.width, image.height, image.channels);
  std::ranges::transform(image, picture.begin(), [](float value) {
    return static_cast<std::uint8_t>(std::isnan(value) ? 0
                                                       : std::lround(std::clamp(value, 0.0f, 1.0f) * 255));
  });
  return picture;
}

void write_png8(const fs::path& path, const Picture& picture) { write_png(path, png_job(picture)); }

std::vector<std::uint8_t> encode_png8(const Picture& picture) {
  return encoded("showing an image", png_job(picture));
}

void write_png16(const fs::path& path, const Raster<std::uint16_t>& picture) {
  write_png(path, png_job(picture));
}

}  // namespace nuclei
