#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include <karyon/core/format/inflate.h>

// Zip files as strings of bytes, right ones and others.
namespace karyon::test {

/// The lowest `bytes` bytes of a number, the lowest first.
inline std::string number_bytes(std::uint64_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i, value >>= 8) text += static_cast<char>(value);
  return text;
}

struct ZipEntry {
  std::string name, contents;
  std::string deflated = {};  // if not empty: how the contents are stored
  bool wide = false;          // sizes in a field of zip64
};

inline std::string zip_of(const std::vector<ZipEntry>& entries, const std::string& comment = "") {
  std::string file, directory;
  for (const ZipEntry& entry : entries) {
    const std::string& stored = entry.deflated.empty() ? entry.contents : entry.deflated;
    const std::string sizes = number_bytes(entry.wide ? 0xffffffff : stored.size(), 4) +
                              number_bytes(entry.wide ? 0xffffffff : entry.contents.size(), 4);
    const std::string field = entry.wide ? number_bytes(1, 2) + number_bytes(16, 2) +
                                               number_bytes(entry.contents.size(), 8) +
                                               number_bytes(stored.size(), 8)
                                         : "";
    const std::string common = number_bytes(20, 2) + number_bytes(0, 2) +
                               number_bytes(entry.deflated.empty() ? 0 : 8, 2) + number_bytes(0, 4) +
                               number_bytes(crc32(entry.contents), 4) + sizes +
                               number_bytes(entry.name.size(), 2) + number_bytes(field.size(), 2);
    directory += "PK\x01\x02" + number_bytes(20, 2) + common + number_bytes(0, 10) +
                 number_bytes(file.size(), 4) + entry.name + field;
    file += "PK\x03\x04" + common + entry.name + field + stored;
  }
  const std::string end = number_bytes(0, 4) + number_bytes(entries.size(), 2) +
                          number_bytes(entries.size(), 2) + number_bytes(directory.size(), 4) +
                          number_bytes(file.size(), 4) + number_bytes(comment.size(), 2);
  return file + directory + "PK\x05\x06" + end + comment;
}

}  // namespace karyon::test
