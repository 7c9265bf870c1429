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

void append(std::vector<std::uint8_t>& bytes, std::int64_t value, int count) {
  for (int i = 0; i < count; ++i) bytes.push_back(static_cast<std::uint8_t>(value >> 8 * i));
}

/// stb_image trusts the header, so it is checked against the file's size first.
class BmpDecoder : public RowDecoder {
 public:
  explicit BmpDecoder(const fs::path& path) : path_(path), file_bytes_(fs::file_size(path)) {
    constexpr std::size_t header_bytes = 34;
    std::uint8_t header[header_bytes] = {};
    std::ifstream file(path, std::ios::binary);
    if (!file.read(reinterpret_cast<char*>(header), header_bytes)) cut();
    const std::int64_t offset = little_endian(header + 10, 4), info = little_endian(header + 14, 4);
    const bool old = info == old_header;
    const std::int64_t width = old ? little_endian(header + 18, 2) : little_endian(header + 18, 4),
                       height = std::abs(old ? little_endian(header + 20, 2) : little_endian(header + 22, 4)),
                       bits = old ? little_endian(header + 24, 2) : little_endian(header + 28, 2),
                       compression = old ? 0 : little_endian(header + 30, 4);
    check_whole(path, width, height);
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
    constexpr std::array headers{std::int64_t{old_header}, std::int64_t{40}, std::int64_t{56},
                                 std::int64_t{108}, std::int64_t{124}};  // that stb_image knows
    if (bits <= 8 && compression == 0 && std::ranges::find(headers, info) != headers.end())
      indexed_ = {info, offset, bits, old ? height : little_endian(header + 22, 4)};
  }

  const SampleFormat& format() const override { return format_; }
  bool whole() const override { return true; }
  std::uint64_t decoding_bytes() const override {
    return (indexed_.bits > 0 ? 2 : 1) * file_bytes_ + 4 * pixel_count(format_.width, format_.height);
  }
  void start() override {
    const std::vector<std::uint8_t> bytes = indexed_.bits > 0 ? with_all_colours() : part(0, file_bytes_);
    int width = 0, height = 0, stored = 0;
    pixels_.reset(
        stbi_load_from_memory(bytes.data(), static_cast<int>(bytes.size()), &width, &height, &stored, 3));
    if (!pixels_ || width != format_.width || height != format_.height)
      fail_reading(path_, "the file is damaged or of an unsupported kind (" +
                              std::string(pixels_ ? "its size changed" : stbi_failure_reason()) + ")");
    next_ = pixels_.get();
  }
  void next_row(std::uint8_t* row) override {
    const std::size_t count = 3 * static_cast<std::size_t>(format_.width);
    std::copy_n(next_, count, row);
    next_ += count;
  }

 private:
  static constexpr int old_header = 12;  // bytes, of OS/2
  struct Indexed {
    std::int64_t info = 0, offset = 0, bits = 0, height = 0;  // bytes of the header, begin of the pixels
  };

  std::vector<std::uint8_t> part(std::uint64_t begin, std::uint64_t count) const {
    std::vector<std::uint8_t> bytes(count);
    std::ifstream file(path_, std::ios::binary);
    file.seekg(static_cast<std::streamoff>(begin));
    if (!file.read(reinterpret_cast<char*>(bytes.data()), static_cast<std::streamsize>(count))) cut();
    return bytes;
  }

  /// The file with every colour that a pixel can name: those that are missing are black. stb_image would take
  /// them from memory that nobody has written, and overlooks the last four behind an old header.
  std::vector<std::uint8_t> with_all_colours() const {
    const std::int64_t begin = 14 + indexed_.info, entry = indexed_.info == old_header ? 3 : 4,
                       all = std::int64_t{1} << indexed_.bits,
                       there = std::clamp<std::int64_t>((indexed_.offset - begin) / entry, 0, all);
    if (there == 0) fail_reading(path_, "the colours of its palette are missing; save it as PNG");
    const auto colours = part(static_cast<std::uint64_t>(begin), static_cast<std::uint64_t>(there * entry)),
               pixels = part(static_cast<std::uint64_t>(indexed_.offset),
                             file_bytes_ - static_cast<std::uint64_t>(indexed_.offset));
    constexpr std::int64_t header = 54;
    std::vector<std::uint8_t> bytes{'B', 'M'};
    for (const std::int64_t value : {std::int64_t{0}, std::int64_t{0}, header + 4 * all, std::int64_t{40},
                                     std::int64_t{format_.width}, indexed_.height})
      append(bytes, value, 4);
    append(bytes, 1, 2);
    append(bytes, indexed_.bits, 2);
    bytes.resize(static_cast<std::size_t>(header + 4 * all));
    for (std::int64_t i = 0; i < there; ++i)
      std::copy_n(colours.begin() + i * entry, 3, bytes.begin() + header + 4 * i);
    bytes.insert(bytes.end(), pixels.begin(), pixels.end());
    return bytes;
  }

  struct Free {
    void operator()(void* memory) const { stbi_image_free(memory); }
  };
  [[noreturn]] void cut() const { fail_reading(path_, "the BMP file is cut short; copy it again"); }

  fs::path path_;
  std::uint64_t file_bytes_;
  SampleFormat format_;
  Indexed indexed_;  // no bits: the pixels are colours
  std::unique_ptr<stbi_uc, Free> pixels_;
  const stbi_uc* next_ = nullptr;
};

}  // namespace

std::unique_ptr<RowDecoder> bmp_decoder(const fs::path& path) { return std::make_unique<BmpDecoder>(path); }

}  // namespace nuclei
