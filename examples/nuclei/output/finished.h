#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "output/text_file.h"

namespace nuclei {

/// The file finished.jsonl of a folder of results. It has a line for each complete picture, which also tells
/// how long the shared files were then.
class Finished {
 public:
  struct Entry {
    std::string key, name;
    std::int64_t nuclei;
    std::uint64_t table_bytes, bowl_bytes;  // of nuclei.csv and bowl.csv behind this picture's rows
  };

  /// Starts a new file, or with `resume` continues the one that is there. Pictures whose files are missing
  /// (`is_there` of their name is false) count as not finished, and their rows leave the shared files. Throws
  /// Failure if the settings differ or a shared file was cut.
  Finished(const std::filesystem::path& out, const std::string& settings, bool resume,
           const std::function<bool(const std::string&)>& is_there);

  /// Whether a folder holds a complete picture.
  static bool any(const std::filesystem::path& out);

  bool contains(const std::string& key) const { return done_.contains(key); }
  const std::vector<Entry>& entries() const { return entries_; }
  /// The lengths of the shared files behind the last complete picture.
  std::uint64_t table_bytes() const { return entries_.empty() ? 0 : entries_.back().table_bytes; }
  std::uint64_t bowl_bytes() const { return entries_.empty() ? 0 : entries_.back().bowl_bytes; }
  /// How many pictures were finished and are not there any more.
  std::size_t gone() const { return gone_; }

  void add(const Entry& entry);

 private:
  void load(const std::string& settings);
  void take_back(const std::function<bool(const std::string&)>& is_there);
  std::string text() const;

  std::filesystem::path out_;
  std::string header_;
  std::optional<GrowingFile> file_;
  std::vector<Entry> entries_;
  std::set<std::string> done_;
  std::size_t gone_ = 0;
};

}  // namespace nuclei
