#include <png.h>
#include <zlib.h>

#include <array>
#include <bit>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <utility>
#include <vector>

#include "imageio/decoded_source.h"
#include "imageio/limits.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

/// What the functions below share. libpng leaves them by longjmp, so nothing in them has a destructor.
struct PngState {
  PngState() = default;
  PngState(const PngState&) = delete;
  PngState& operator=(const PngState&) = delete;
  ~PngState() {
    if (png) png_destroy_read_struct(&png, &info, nullptr);
    if (file) std::fclose(file);
  }

  std::FILE* file = nullptr;
  png_structp png = nullptr;
  png_infop info = nullptr;
  char message[160] = "out of memory";
};

void keep_message(png_structp png, png_const_charp message) {
  auto* state = static_cast<PngState*>(png_get_error_ptr(png));
  std::snprintf(state->message, sizeof state->message, "%s", message);
  png_longjmp(png, 1);
}

void ignore_message(png_structp, png_const_charp) {}

void read_file(png_structp png, png_bytep to, std::size_t size) {
  if (std::fread(to, 1, size, static_cast<std::FILE*>(png_get_io_ptr(png))) != size)
    png_error(png, "the file is cut short");
}

bool read_header(PngState& s) {
  s.png = png_create_read_struct(PNG_LIBPNG_VER_STRING, &s, keep_message, ignore_message);
  s.info = s.png ? png_create_info_struct(s.png) : nullptr;
  if (!s.info || setjmp(png_jmpbuf(s.png))) return false;
  png_set_read_fn(s.png, s.file, read_file);
  png_set_user_limits(s.png, longest_side, longest_side);
  png_set_crc_action(s.png, PNG_CRC_ERROR_QUIT, PNG_CRC_ERROR_QUIT);
  // Texts, colour profiles and the like are passed over: they may be of any size once decompressed.
  png_set_keep_unknown_chunks(s.png, PNG_HANDLE_CHUNK_NEVER, nullptr, -1);
  png_read_info(s.png, s.info);
  const int type = png_get_color_type(s.png, s.info), bits = png_get_bit_depth(s.png, s.info);
  if (bits < 8 && type == PNG_COLOR_TYPE_GRAY) png_set_expand_gray_1_2_4_to_8(s.png);
  if (bits < 8 && type == PNG_COLOR_TYPE_PALETTE) png_set_packing(s.png);
  if (bits == 16 && std::endian::native == std::endian::little) png_set_swap(s.png);
  return true;
}

bool begin_rows(PngState& s) {
  if (setjmp(png_jmpbuf(s.png))) return false;
  png_set_interlace_handling(s.png);
  png_read_update_info(s.png, s.info);
  return true;
}

bool read_row(PngState& s, png_bytep row) {
  if (setjmp(png_jmpbuf(s.png))) return false;
  png_read_row(s.png, row, nullptr);
  return true;
}

bool read_all_rows(PngState& s, png_bytepp rows) {
  if (setjmp(png_jmpbuf(s.png))) return false;
  png_read_image(s.png, rows);
  return true;
}

class PngDecoder : public RowDecoder {
 public:
  explicit PngDecoder(const fs::path& path) : path_(path) {
    state_.file = std::fopen(path.c_str(), "rb");
    if (!state_.file || !read_header(state_)) damaged();
    const auto width = png_get_image_width(state_.png, state_.info),
               height = png_get_image_height(state_.png, state_.info);
    check_sides(path, width, height);
    format_.width = static_cast<int>(width);
    format_.height = static_cast<int>(height);
    const int type = png_get_color_type(state_.png, state_.info);
    format_.bits = png_get_bit_depth(state_.png, state_.info) == 16 ? 16 : 8;
    format_.channels = type == PNG_COLOR_TYPE_RGB || type == PNG_COLOR_TYPE_RGB_ALPHA ? 3 : 1;
    format_.alpha = (type & PNG_COLOR_MASK_ALPHA) != 0;
    if (type == PNG_COLOR_TYPE_PALETTE) read_palette();
  }

  const SampleFormat& format() const override { return format_; }
  bool whole() const override {
    return png_get_interlace_type(state_.png, state_.info) != PNG_INTERLACE_NONE;
  }
  std::uint64_t decoding_bytes() const override {
    constexpr std::uint64_t zlib = 1 << 17;
    // libpng keeps a row and the one above, and makes room for what it may be changed to.
    return zlib + 3 * std::uint64_t{8} * static_cast<std::uint64_t>(format_.width) +
           (whole() ? sizeof(png_bytep) * static_cast<std::uint64_t>(format_.height) : 0);
  }
  void start() override {
    if (!begin_rows(state_)) damaged();
  }
  void next_row(std::uint8_t* row) override {
    if (!read_row(state_, row)) damaged();
  }
  void all_rows(std::uint8_t* rows, std::size_t row_bytes) override {
    if (!whole()) return RowDecoder::all_rows(rows, row_bytes);
    std::vector<png_bytep> starts(static_cast<std::size_t>(format_.height));
    for (png_bytep& start : starts) {
      start = rows;
      rows += row_bytes;
    }
    if (!read_all_rows(state_, starts.data())) damaged();
  }

 private:
  [[noreturn]] void damaged() {
    const std::string reason = state_.file ? state_.message : "it cannot be opened";
    fail_reading(path_, "the PNG file is damaged (" + reason + "); copy it again");
  }

  void read_palette() {
    png_colorp colours = nullptr;
    int count = 0;
    png_get_PLTE(state_.png, state_.info, &colours, &count);
    Palette palette;
    for (int i = 0; i < count; ++i)
      palette.push_back({static_cast<float>(colours[i].red) / 255.0f,
                         static_cast<float>(colours[i].green) / 255.0f,
                         static_cast<float>(colours[i].blue) / 255.0f});
    set_palette(format_, std::move(palette));
  }

  fs::path path_;
  PngState state_;
  SampleFormat format_;
};

std::uint32_t big_endian32(const std::array<char, 4>& bytes) {
  std::uint32_t value = 0;
  for (const char byte : bytes) value = value << 8 | static_cast<std::uint8_t>(byte);
  return value;
}

}  // namespace

// libpng meets most of this, too, but only when it comes to the place.
void check_png(const fs::path& path) {
  constexpr std::uint64_t signature = 8, overhead = 12;
  const auto cut = [&] { fail_reading(path, "the PNG file is cut short; copy it again"); };
  const std::uint64_t size = fs::file_size(path);
  std::ifstream file(path, std::ios::binary);
  file.seekg(signature);
  std::vector<char> block(1 << 16);
  for (std::uint64_t at = signature;;) {
    std::array<char, 4> length{}, type{}, sum{};
    if (size < at + overhead || !file.read(length.data(), 4) || !file.read(type.data(), 4)) cut();
    const std::uint64_t bytes = big_endian32(length);
    if (bytes > size - at - overhead) cut();
    uLong crc = crc32(0, reinterpret_cast<const Bytef*>(type.data()), 4);
    for (std::uint64_t left = bytes; left > 0;) {
      const auto count = static_cast<std::streamsize>(std::min<std::uint64_t>(left, block.size()));
      if (!file.read(block.data(), count)) cut();
      crc = crc32(crc, reinterpret_cast<const Bytef*>(block.data()), static_cast<uInt>(count));
      left -= static_cast<std::uint64_t>(count);
    }
    if (!file.read(sum.data(), 4)) cut();
    if (crc != big_endian32(sum))
      fail_reading(path, "the PNG file is damaged (a checksum is wrong); copy it again");
    if (std::memcmp(type.data(), "IEND", 4) == 0) return;
    at += bytes + overhead;
  }
}

std::unique_ptr<RowDecoder> png_decoder(const fs::path& path) { return std::make_unique<PngDecoder>(path); }

}  // namespace nuclei
