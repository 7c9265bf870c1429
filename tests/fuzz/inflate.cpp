// Deflate streams. What zlib decompresses is decompressed here, too, to the same bytes; what zlib refuses may
// only be refused.
#include <zlib.h>

#include <karyon/core/check.h>
#include <karyon/core/format/inflate.h>

#include "fuzz.h"

namespace {

using fuzz::Bytes;

/// What zlib makes of a stream; false if it is damaged or too long.
bool by_zlib(Bytes input, std::string& out) {
  z_stream stream{};
  if (::inflateInit2(&stream, -15) != Z_OK) throw std::runtime_error("inflateInit2");
  out.resize(1 << 18);
  stream.next_in = const_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool whole = ::inflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(stream.total_out);
  ::inflateEnd(&stream);
  return whole;
}

void run(Bytes input) {
  std::string expected;
  const bool right = by_zlib(input, expected);
  std::string out(expected.size(), '\0');
  const std::span<const char> bytes(reinterpret_cast<const char*>(input.data()), input.size());
  const bool accepted = fuzz::succeeds<karyon::Error>([&] { karyon::inflate(bytes, out, "fuzz: "); });
  fuzz::expect(accepted || !right, "a stream is refused");
  fuzz::expect(!right || out == expected, "other bytes than zlib's");
  fuzz::expect(karyon::crc32(out) ==
                   ::crc32(0, reinterpret_cast<const Bytef*>(out.data()), static_cast<uInt>(out.size())),
               "another checksum than zlib's");
}

std::vector<std::uint8_t> deflated(const std::string& text, int level, int strategy) {
  z_stream stream{};
  if (::deflateInit2(&stream, level, Z_DEFLATED, -15, 9, strategy) != Z_OK)
    throw std::runtime_error("deflateInit2");
  std::vector<std::uint8_t> out(::deflateBound(&stream, static_cast<uLong>(text.size())));
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = out.data();
  stream.avail_out = static_cast<uInt>(out.size());
  ::deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  ::deflateEnd(&stream);
  return out;
}

fuzz::Inputs seeds() {
  std::string few, skewed, all;
  fuzz::Noise noise(1);
  for (int i = 0; i < 3000; ++i) few += static_cast<char>('a' + noise.next() % 5);
  for (int i = 0; i < 60000; ++i) {  // rare bytes get long codes
    const std::uint32_t r = noise.next();
    skewed += static_cast<char>(r % 16 != 0          ? r / 16 % 4
                                : r / 16 % 1024 != 0 ? r / 16 % 32
                                                     : r / 16384 % 256);
  }
  for (int i = 0; i < 1000; ++i) all += static_cast<char>(noise.next());
  fuzz::Inputs seeds;
  for (const std::string& text : {std::string(), std::string("a"), std::string(70000, 'x'), few, skewed, all})
    for (const int strategy : {Z_DEFAULT_STRATEGY, Z_FIXED, Z_HUFFMAN_ONLY, Z_RLE})
      for (const int level : {0, 1, 9}) seeds.push_back(deflated(text, level, strategy));
  return seeds;
}

const fuzz::Register target{{"inflate", run, seeds}};

}  // namespace
