#pragma once
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <vector>

#include <karyon/core/atomic_file.h>
#include <karyon/core/format/input_file.h>

// Private: the container of .npz files and of PyTorch's.
namespace karyon {

/// The entries of a zip file, stored or deflated, also of those of 4 GB and more (zip64).
class ZipReader {
 public:
  struct Entry {
    std::uint64_t header = 0;  // where it begins in the file
    std::uint64_t stored = 0, bytes = 0;
    std::uint32_t crc = 0;
    bool deflated = false;
  };

  /// Reads the list of entries. Throws Error if it is damaged or lists more bytes than the file can hold. So
  /// an entry's `bytes` are at most 1032 times those of the file.
  explicit ZipReader(InputFile& file);

  const std::map<std::string, Entry>& entries() const { return entries_; }
  /// The contents of an entry. Throws Error if they do not have the entry's checksum.
  std::vector<char> read(const std::string& name);

 private:
  struct Directory {
    std::uint64_t begin = 0, bytes = 0, entries = 0;
  };
  Directory find_directory();
  void read_directory(const Directory& directory);
  void add(const std::string& name, const Entry& entry);

  InputFile& file_;
  std::map<std::string, Entry> entries_;
  std::uint64_t claimed_ = 0;  // bytes of the entries so far
};

/// Writes a zip file of stored entries.
class ZipWriter {
 public:
  explicit ZipWriter(AtomicFile& file) : file_(file) {}
  /// Throws Error, which begins with `where`, if the entry or the file reaches 4 GB.
  void add(const std::string& name, std::span<const char> bytes, const std::string& where);
  /// Writes the list of the entries, which ends the file.
  void finish();

 private:
  AtomicFile& file_;
  std::string directory_;
  std::uint64_t at_ = 0, count_ = 0;
};

}  // namespace karyon
