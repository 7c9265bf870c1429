#include "imageio/image.h"

#include <png.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <memory>
#include <string>

#include "common/error.h"
#include "imageio/atomic_file.h"
#include "imageio/image_source.h"
#include "imageio/limits.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

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

Image read_image(const fs::path& path, const ReadOptions& options, std::string* note) {
  const std::unique_ptr<ImageSource> source = open_image(path, options);
  check_whole(path, source->header().width, source->header().height);
  if (note) *note = source->note_and_remark();
  return read_all(*source);
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
