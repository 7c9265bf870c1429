// PNG files: given ones, whose checksums are put right for every other length, and files made from numbers.
#include <zlib.h>

#include "fuzz.h"
#include "imageio/image.h"
#include "images.h"

namespace {

using fuzz::ByteReader;
using fuzz::Bytes;
using File = std::vector<std::uint8_t>;

constexpr std::array<std::uint8_t, 8> signature{0x89, 'P', 'N', 'G', '\r', '\n', 0x1a, '\n'};

void add32(File& file, std::size_t value) {
  for (int shift = 24; shift >= 0; shift -= 8) file.push_back(static_cast<std::uint8_t>(value >> shift));
}

std::size_t get32(Bytes bytes) {
  return std::size_t{bytes[0]} << 24 | std::size_t{bytes[1]} << 16 | std::size_t{bytes[2]} << 8 | bytes[3];
}

void add_chunk(File& file, const char* type, Bytes data) {
  add32(file, data.size());
  const std::size_t begin = file.size();
  file.insert(file.end(), type, type + 4);
  file.insert(file.end(), data.begin(), data.end());
  add32(file, crc32(0, file.data() + begin, static_cast<uInt>(file.size() - begin)));
}

/// A file whose header, order of chunks and filtered rows come from the input; only zlib's layer is right.
File made(ByteReader in) {
  File file(signature.begin(), signature.end());
  File header;
  add32(header, static_cast<std::size_t>(in.between(0, 40)));
  add32(header, static_cast<std::size_t>(in.between(0, 40)));
  header.push_back(in.one_of(std::array<std::uint8_t, 8>{1, 2, 4, 8, 16, 8, 16, 3}));  // bits
  header.push_back(in.one_of(std::array<std::uint8_t, 8>{0, 2, 3, 4, 6, 0, 3, 1}));    // colour
  for (int i = 0; i < 2; ++i) header.push_back(static_cast<std::uint8_t>(in.byte() == 77));
  header.push_back(static_cast<std::uint8_t>(in.between(0, 3) / 2));  // interlace
  add_chunk(file, "IHDR", header);
  for (auto chunks = in.between(0, 3); chunks > 0; --chunks) {
    const char* type =
        in.one_of(std::array{"PLTE", "tRNS", "gAMA", "sBIT", "bKGD", "pHYs", "tEXt", "iCCP", "eXIf", "IDAT"});
    add_chunk(file, type, in.bytes(static_cast<std::size_t>(in.between(0, 800))));
  }
  const std::size_t part = static_cast<std::size_t>(in.between(1, 300)), repeats = in.byte() % 8u + 1;
  File rows;
  const Bytes pattern = in.rest();
  for (std::size_t i = 0; i < repeats; ++i) rows.insert(rows.end(), pattern.begin(), pattern.end());
  uLongf length = compressBound(rows.size());
  File packed(length);
  compress2(packed.data(), &length, rows.data(), rows.size(), 1);
  for (std::size_t at = 0; at < length; at += part)
    add_chunk(file, "IDAT", Bytes(packed).subspan(at, std::min(part, length - at)));
  add_chunk(file, "IEND", {});
  return file;
}

void run(Bytes input) {
  const bool given = input.size() >= 8 && std::equal(signature.begin(), signature.end(), input.begin());
  if (!given) return fuzz::read_picture(made(ByteReader(input)));
  File file(input.begin(), input.end());
  for (std::size_t at = 8; file.size() % 2 == 0 && at + 12 <= file.size();) {
    const std::size_t length = get32(Bytes(file).subspan(at));
    if (length > file.size() - at - 12) break;
    File sum;
    add32(sum, crc32(0, file.data() + at + 4, static_cast<uInt>(length + 4)));
    std::copy(sum.begin(), sum.end(), file.begin() + static_cast<std::ptrdiff_t>(at + 8 + length));
    at += length + 12;
  }
  fuzz::read_picture(file);
}

fuzz::Inputs seeds() {
  fuzz::Inputs seeds = fuzz::noise_seeds(16, 400);
  for (const int channels : {1, 2, 3, 4}) {
    nuclei::Picture picture(7, 5, channels);
    for (std::size_t i = 0; i < picture.size(); ++i) picture[i] = static_cast<std::uint8_t>(i * 7);
    seeds.push_back(nuclei::encode_png8(picture));
    seeds.push_back(seeds.back());
    seeds.back().push_back(0);
  }
  return seeds;
}

const fuzz::Register target{{"png", run, seeds}};

}  // namespace
