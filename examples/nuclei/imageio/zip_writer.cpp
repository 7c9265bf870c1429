// The format is described in PKWARE's APPNOTE.TXT.
#include "imageio/zip_writer.h"

#include <zlib.h>

#include <algorithm>

#include "common/error.h"

namespace nuclei {
namespace {

// ZIP64 holds numbers from here on.
constexpr std::uint64_t full = 0xffffffff, most_entries = 0xffff;

void little(std::string& to, std::uint64_t value, int bytes) {
  for (int i = 0; i < bytes; ++i) to += static_cast<char>(value >> 8 * i & 0xff);
}

std::string deflated(std::string_view bytes) {
  z_stream stream{};
  if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) != Z_OK)
    throw Failure("compressing: out of memory");
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const int result = deflate(&stream, Z_FINISH);
  out.resize(stream.total_out);
  deflateEnd(&stream);
  if (result != Z_STREAM_END) throw Failure("compressing: zlib gives error " + std::to_string(result));
  return out;
}

}  // namespace

ZipWriter::ZipWriter(const std::filesystem::path& path) : file_(path) {}

void ZipWriter::write(const std::string& bytes) {
  file_.write(bytes.data(), bytes.size());
  offset_ += bytes.size();
}

void ZipWriter::add(std::string_view name, std::string_view bytes) {
  const std::string packed = deflated(bytes);
  const uLong crc = crc32(0, reinterpret_cast<const Bytef*>(bytes.data()), static_cast<uInt>(bytes.size()));
  const bool far = offset_ >= full;
  std::string common;
  little(common, far ? 45 : 20, 2);  // version needed
  little(common, 0x0800, 2);         // names are UTF-8
  little(common, 8, 2);              // deflated
  little(common, 0x0021'0000, 4);    // no time, 1 January 1980: the same bytes every time
  little(common, crc, 4);
  little(common, packed.size(), 4);
  little(common, bytes.size(), 4);
  little(common, name.size(), 2);

  little(directory_, 0x02014b50, 4);
  little(directory_, 45, 2);
  directory_ += common;
  little(directory_, far ? 12 : 0, 2);
  directory_.append(2 + 2 + 2 + 4, '\0');  // comment, disk, attributes
  little(directory_, far ? full : offset_, 4);
  directory_ += name;
  if (far) {
    little(directory_, 1, 2);
    little(directory_, 8, 2);
    little(directory_, offset_, 8);
  }

  std::string local;
  little(local, 0x04034b50, 4);
  local += common;
  little(local, 0, 2);
  local += name;
  write(local + packed);
  ++entries_;
}

void ZipWriter::finish() {
  const std::uint64_t start = offset_, size = directory_.size();
  std::string end = directory_;
  if (entries_ >= most_entries || start + size >= full) {
    little(end, 0x06064b50, 4);
    little(end, 44, 8);
    little(end, 45, 2);
    little(end, 45, 2);
    little(end, 0, 4 + 4);
    little(end, entries_, 8);
    little(end, entries_, 8);
    little(end, size, 8);
    little(end, start, 8);
    little(end, 0x07064b50, 4);
    little(end, 0, 4);
    little(end, start + size, 8);
    little(end, 1, 4);
  }
  little(end, 0x06054b50, 4);
  little(end, 0, 2 + 2);
  little(end, std::min(entries_, most_entries), 2);
  little(end, std::min(entries_, most_entries), 2);
  little(end, std::min(size, full), 4);
  little(end, std::min(start, full), 4);
  little(end, 0, 2);
  write(end);
  file_.commit();
}

}  // namespace nuclei
