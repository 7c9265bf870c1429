#include <algorithm>
#include <array>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "imageio/decoded_source.h"
#include "imageio/limits.h"

#define STB_IMAGE_IMPLEMENTATION
#define STB_IMAGE_STATIC
#define STBI_NO_STDIO
#define STBI_ONLY_BMP
#include <stb/stb_image.h>

namespace nuclei {
namespace {

namespace fs = std::filesystem;

std::int64_t little_endian(const std::uint8_t* bytes, int count) {
  std::uint32_t value = 0;
  for (int i = count - 1; i >= 0; --i) value = value << 8 | bytes[i];
  return count == 4 ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
}

/// Indices of a palette are read row by row, other pixels by stb_image. That trusts the header, so it is checked
/// against the file's size first.
class BmpDecoder : public RowDecoder {
 public:
  explicit BmpDecoder(const fs::path& path)
      : path_(path), file_(path, std::ios::binary), file_bytes_(fs::file_size(path)) {
    constexpr std::size_t header_bytes = 34;
    std::uint8_t header[header_bytes] = {};
    if (!file_.read(reinterpret_cast<char*>(header), header_bytes)) cut();
    const std::int64_t offset = little_endian(header + 10, 4), info = little_endian(header + 14, 4);
    const bool old = info == old_header;
    const std::int64_t width = old ? little_endian(header + 18, 2) : little_endian(header + 18, 4),
                       height = std::abs(old ? little_endian(header + 20, 2) : little_endian(header + 22, 4)),
                       bits = old ? little_endian(header + 24, 2) : little_endian(header + 28, 2),
                       compression = old ? 0 : little_endian(header + 30, 4);
    check_sides(path, width, height);
    constexpr std::array known{1, 4, 8, 16, 24, 32};
    if (std::ranges::find(known, bits) == known.end())
      fail_reading(path, "expected a BMP of 1 to 32 bits a pixel, got " + std::to_string(bits));
    if (compression != 0 && compression != 3)
      fail_reading(path, "expected a BMP without compression; save it as PNG");
    const std::int64_t row = (width * bits + 31) / 32 * 4, last = (width * bits + 7) / 8;
    if (offset < 0 || offset + row * (height - 1) + last > static_cast<std::int64_t>(file_bytes_)) cut();
    format_.width = static_cast<int>(width);
    format_.height = static_cast<int>(height);
    format_.channels = 3;
    if (bits <= 8 && compression == 0 && (old || info >= 40)) {
      const bool upside_down = old || little_endian(header + 22, 4) > 0;
      indexed_ = {bits, row, offset + (upside_down ? row * (height - 1) : 0), upside_down ? -row : row};
      format_.channels = 1;
      set_palette(format_, read_colours(14 + info, old ? 3 : 4, offset));
    }
  }

  const SampleFormat& format() const override { return format_; }
  bool whole() const override { return indexed_.bits == 0; }
  std::uint64_t decoding_bytes() const override {
    return whole() ? file_bytes_ + 4 * pixel_count(format_.width, format_.height)
                   : static_cast<std::uint64_t>(indexed_.row_bytes);
  }
  void start() override {
    if (!whole()) return;
    const std::vector<std::uint8_t> bytes = part(0, file_bytes_);
    int width = 0, height = 0, stored = 0;
    pixels_.reset(
        stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &stored, 3));
    if (!pixels_ || width != format_.width || height != format_.height)
      fail_reading(path_, "the file is damaged or of an unsupported kind (" +
                              std::string(pixels_ ? "its size changed" : stbi_failure_reason()) + ")");
    next_ = pixels_.get();
  }
  void next_row(std::uint8_t* row) override {
    if (!whole()) return next_indices(row);
    const std::size_t count = 3 * static_cast<std::size_t>(format_.width);
    std::copy_n(next_, count, row);
    next_ += count;
  }

 private:
  static constexpr int old_header = 12;  // bytes, of OS/2
  struct Indexed {
    std::int64_t bits = 0, row_bytes = 0;
    std::int64_t next = 0, step = 0;  // where the next row begins, and how far behind it the one after it
  };

  std::vector<std::uint8_t> part(std::uint64_t begin, std::uint64_t count) {
    std::vector<std::uint8_t> bytes(count);
    file_.seekg(static_cast<std::streamoff>(begin));
    if (!file_.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(count))) cut();
    return bytes;
  }

  /// The colours between the header and the pixels.
  Palette read_colours(std::int64_t begin, std::int64_t entry, std::int64_t end) {
    const std::int64_t count =
        std::min<std::int64_t>((end - begin) / entry, std::int64_t{1} << indexed_.bits);
    if (count < 1) fail_reading(path_, "the colours of its palette are missing; save it as PNG");
    const auto bytes = part(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(count * entry));
    Palette palette;
    for (auto c = bytes.begin(); c != bytes.end(); c += entry)  // blue is the first
      palette.push_back(
          {static_cast<float>(c[2]) / 255, static_cast<float>(c[1]) / 255, static_cast<float>(c[0]) / 255});
    return palette;
  }

  /// Pixels of less than a byte begin in its high bits.
  void next_indices(std::uint8_t* row) {
    const std::int64_t bits = indexed_.bits, width = format_.width;
    const auto bytes =
        part(static_cast<std::uint64_t>(indexed_.next), static_cast<std::uint64_t>((width * bits + 7) / 8));
    indexed_.next += indexed_.step;
    for (std::int64_t x = 0; x < width; ++x) {
      const std::uint8_t byte = bytes[static_cast<std::size_t>(x * bits / 8)];
      row[x] = static_cast<std::uint8_t>(byte >> (8 - bits - x * bits % 8) & ((1 << bits) - 1));
    }
  }

  struct Free {
    void operator()(void* memory) const { stbi_image_free(memory); }
  };
  [[noreturn]] void cut() const { fail_reading(path_, "the BMP file is cut short; copy it again"); }

  fs::path path_;
  std::ifstream file_;
  std::uint64_t file_bytes_;
  SampleFormat format_;
  Indexed indexed_;  // no bits: the pixels are colours
  std::unique_ptr<stbi_uc, Free> pixels_;
  const stbi_uc* next_ = nullptr;
};

}  // namespace

std::unique_ptr<RowDecoder> bmp_decoder(const fs::path& path) { return std::make_unique<BmpDecoder>(path); }

}  // namespace nuclei
