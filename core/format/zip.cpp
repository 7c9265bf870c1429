#include <algorithm>
#include <cstring>
#include <limits>
#include <string_view>

#include <karyon/core/check.h>
#include <karyon/core/format/inflate.h>
#include <karyon/core/format/zip.h>

namespace karyon {
namespace {

constexpr std::uint32_t local_signature = 0x04034b50, entry_signature = 0x02014b50,
                        end_signature = 0x06054b50, end64_signature = 0x06064b50,
                        locator_signature = 0x07064b50;
constexpr std::size_t local_bytes = 30, entry_bytes = 46, end_bytes = 22, end64_bytes = 56,
                      locator_bytes = 20;
constexpr std::uint64_t most_entries = 250'000, most_directory_bytes = std::uint64_t{100} << 20;

template <class T>
T number(std::string_view bytes, std::size_t at) {
  T value;
  std::memcpy(&value, bytes.data() + at, sizeof value);
  return value;
}

std::string read_text(InputFile& file, std::uint64_t offset, std::uint64_t count) {
  std::string text(count, '\0');
  file.read(offset, text.data(), count);
  return text;
}

// Sizes of 4 GB and more stand in a field of their own (zip64), in this order and only where needed.
void widen_sizes(std::string_view extra, ZipReader::Entry& entry, const std::string& where) {
  constexpr std::uint64_t wide = std::numeric_limits<std::uint32_t>::max();
  while (extra.size() >= 4) {
    const std::size_t length = number<std::uint16_t>(extra, 2);
    check(length <= extra.size() - 4, where, "damaged");
    if (number<std::uint16_t>(extra, 0) == 1) {
      std::string_view field = extra.substr(4, length);
      for (std::uint64_t* size : {&entry.bytes, &entry.stored, &entry.header})
        if (*size == wide) {
          check(field.size() >= 8, where, "damaged");
          *size = number<std::uint64_t>(field, 0);
          field.remove_prefix(8);
        }
      return;
    }
    extra.remove_prefix(4 + length);
  }
}

}  // namespace

ZipReader::ZipReader(InputFile& file) : file_(file) { read_directory(find_directory()); }

ZipReader::Directory ZipReader::find_directory() {
  const std::string& where = file_.where();
  check(file_.bytes() >= end_bytes, where, "not a zip file, or truncated");
  const std::uint64_t tail = std::min<std::uint64_t>(file_.bytes(), end_bytes + 65535);
  const std::uint64_t begin = file_.bytes() - tail;
  const std::string text = read_text(file_, begin, tail);
  std::size_t at = tail - end_bytes;
  // The end record is the last that its own comment fits behind.
  while (number<std::uint32_t>(text, at) != end_signature ||
         number<std::uint16_t>(text, at + 20) != tail - at - end_bytes) {
    check(at > 0, where, "has no list of its entries: truncated, or not a zip file");
    --at;
  }
  Directory found{.begin = number<std::uint32_t>(text, at + 16),
                  .bytes = number<std::uint32_t>(text, at + 12),
                  .entries = number<std::uint16_t>(text, at + 10)};
  const std::uint64_t end = begin + at;
  if (end < locator_bytes) return found;
  const std::string locator = read_text(file_, end - locator_bytes, locator_bytes);
  if (number<std::uint32_t>(locator, 0) != locator_signature) return found;
  const auto wide_end = number<std::uint64_t>(locator, 8);
  check(file_.bytes() >= end64_bytes && wide_end <= file_.bytes() - end64_bytes, where, "damaged");
  const std::string wide = read_text(file_, wide_end, end64_bytes);
  check(number<std::uint32_t>(wide, 0) == end64_signature, where, "damaged");
  return {.begin = number<std::uint64_t>(wide, 48),
          .bytes = number<std::uint64_t>(wide, 40),
          .entries = number<std::uint64_t>(wide, 32)};
}

void ZipReader::read_directory(const Directory& directory) {
  const std::string& where = file_.where();
  check(directory.entries <= most_entries && directory.bytes <= most_directory_bytes, where, "lists ",
        directory.entries, " entries in ", directory.bytes, " bytes, expected at most ", most_entries, " in ",
        most_directory_bytes);
  check(directory.begin <= file_.bytes() && directory.bytes <= file_.bytes() - directory.begin, where,
        "its list of entries lies behind its end: truncated, or damaged");
  const std::string text = read_text(file_, directory.begin, directory.bytes);
  std::string_view rest = text;
  for (std::uint64_t i = 0; i < directory.entries; ++i) {
    check(rest.size() >= entry_bytes && number<std::uint32_t>(rest, 0) == entry_signature, where,
          "its list of entries is damaged");
    const std::size_t name_bytes = number<std::uint16_t>(rest, 28),
                      extra_bytes = number<std::uint16_t>(rest, 30),
                      comment_bytes = number<std::uint16_t>(rest, 32);
    check(name_bytes + extra_bytes + comment_bytes <= rest.size() - entry_bytes, where,
          "its list of entries is damaged");
    const std::string name(rest.substr(entry_bytes, name_bytes));
    const auto method = number<std::uint16_t>(rest, 10);
    check((number<std::uint16_t>(rest, 8) & 1) == 0, where, "entry '", name, "' is encrypted");
    check(method == 0 || method == 8, where, "entry '", name, "' is compressed by method ", method,
          ", expected 0 (stored) or 8 (deflated)");
    Entry entry{.header = number<std::uint32_t>(rest, 42),
                .stored = number<std::uint32_t>(rest, 20),
                .bytes = number<std::uint32_t>(rest, 24),
                .crc = number<std::uint32_t>(rest, 16),
                .deflated = method == 8};
    widen_sizes(rest.substr(entry_bytes + name_bytes, extra_bytes), entry, where);
    add(name, entry);
    rest.remove_prefix(entry_bytes + name_bytes + extra_bytes + comment_bytes);
  }
}

void ZipReader::add(const std::string& name, const Entry& entry) {
  const std::string where = file_.where() + "entry '" + name + "' ";
  check(entry.stored <= file_.bytes() && entry.header <= file_.bytes() - entry.stored, where,
        "lies behind the file's end: truncated, or damaged");
  check(entry.deflated ? entry.bytes / most_inflation <= entry.stored : entry.bytes == entry.stored, where,
        "has ", entry.bytes, " bytes of ", entry.stored, ": damaged");
  claimed_ += entry.stored;
  check(claimed_ <= file_.bytes(), where, "overlaps another: damaged");
  check(entries_.emplace(name, entry).second, where, "is there twice: damaged");
}

std::vector<char> ZipReader::read(const std::string& name) {
  const auto found = entries_.find(name);
  check(found != entries_.end(), file_.where(), "has no entry '", name, "'");
  const Entry& entry = found->second;
  const std::string where = file_.where() + "entry '" + name + "': ";
  check(file_.bytes() >= local_bytes && entry.header <= file_.bytes() - local_bytes, where, "damaged");
  const std::string local = read_text(file_, entry.header, local_bytes);
  check(number<std::uint32_t>(local, 0) == local_signature, where, "damaged");
  const std::uint64_t begin =
      entry.header + local_bytes + number<std::uint16_t>(local, 26) + number<std::uint16_t>(local, 28);
  check(begin <= file_.bytes() && entry.stored <= file_.bytes() - begin, where, "truncated, or damaged");
  std::vector<char> stored(entry.stored);
  file_.read(begin, stored.data(), stored.size());
  std::vector<char> bytes;
  if (entry.deflated) {
    bytes.resize(entry.bytes);
    inflate(stored, bytes, where);
  } else {
    bytes = std::move(stored);
  }
  check(crc32(bytes) == entry.crc, where, "its checksum is wrong: damaged, or written without checksums");
  return bytes;
}

// ---- writing

namespace {

template <class T>
void append(std::string& text, T value) {
  text.append(reinterpret_cast<const char*>(&value), sizeof value);
}

// The part that an entry's own header and its line in the list share. The date is 1980-01-01: files with the
// same tensors have the same bytes.
std::string common_header(const std::string& name, std::span<const char> bytes) {
  std::string text;
  append<std::uint16_t>(text, 20);       // what a reader must know: version 2.0
  append<std::uint16_t>(text, 1 << 11);  // names are UTF-8
  append<std::uint16_t>(text, 0);        // stored
  append<std::uint16_t>(text, 0);
  append<std::uint16_t>(text, 1 << 5 | 1);
  append(text, crc32(bytes));
  append(text, static_cast<std::uint32_t>(bytes.size()));
  append(text, static_cast<std::uint32_t>(bytes.size()));
  append(text, static_cast<std::uint16_t>(name.size()));
  append<std::uint16_t>(text, 0);  // no extra field
  return text;
}

}  // namespace

void ZipWriter::add(const std::string& name, std::span<const char> bytes, const std::string& where) {
  constexpr std::uint64_t most = std::numeric_limits<std::uint32_t>::max();
  check(bytes.size() < most && at_ + bytes.size() < most, where, "'", name, "' makes it 4 GB or more");
  check(name.size() < 65536 && count_ < 65535, where,
        "more entries or longer names than a zip file can hold");
  const std::string common = common_header(name, bytes);
  std::string local;
  append(local, local_signature);
  local += common + name;
  file_.write(local.data(), local.size());
  file_.write(bytes.data(), bytes.size());
  append(directory_, entry_signature);
  append<std::uint16_t>(directory_, 20);  // what its writer knows
  directory_ += common;
  append<std::uint16_t>(directory_, 0);  // no comment
  append<std::uint16_t>(directory_, 0);  // the first disk
  append<std::uint16_t>(directory_, 0);
  append<std::uint32_t>(directory_, 0);
  append(directory_, static_cast<std::uint32_t>(at_));
  directory_ += name;
  at_ += local.size() + bytes.size();
  ++count_;
}

void ZipWriter::finish() {
  std::string end;
  append(end, end_signature);
  append<std::uint32_t>(end, 0);  // one disk
  append(end, static_cast<std::uint16_t>(count_));
  append(end, static_cast<std::uint16_t>(count_));
  append(end, static_cast<std::uint32_t>(directory_.size()));
  append(end, static_cast<std::uint32_t>(at_));
  append<std::uint16_t>(end, 0);  // no comment
  file_.write(directory_.data(), directory_.size());
  file_.write(end.data(), end.size());
}

}  // namespace karyon
