#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "output/text_file.h"

namespace nuclei {

/// The tables that all pictures share.
inline constexpr std::array shared_files{"nuclei.csv", "images.csv", "bowl.csv"};
/// The length of each, bytes; 0 where it is not written.
using SharedBytes = std::array<std::uint64_t, shared_files.size()>;

/// The file finished.jsonl of a folder of results. It has a line for each complete picture, which also tells
/// how long the shared files were then.
class Finished {
 public:
  struct Entry {
    std::string key, name;
    std::int64_t nuclei;
    SharedBytes bytes;  // behind this picture's rows
  };

  /// Starts a new file, or with `resume` continues the one that is there. Pictures whose files are missing
  /// (`is_there` of their name is false) count as not finished, and their rows leave the shared files. Throws
  /// Failure if the settings differ or a shared file was cut.
  Finished(const std::filesystem::path& out, const std::string& settings, bool resume,
           const std::function<bool(const std::string&)>& is_there);

  /// Whether a folder holds a complete picture.
  static bool any(const std::filesystem::path& out);

  /// What stands in the file of an earlier run, up to a line that is damaged. Nothing if there is no such
  /// file, or it does not begin with settings.
  struct Earlier {
    std::string settings;
    std::vector<Entry> entries;
    std::string begun;  // a picture that is not complete, or empty
  };
  static std::optional<Earlier> earlier(const std::filesystem::path& out);

  bool contains(const std::string& key) const { return done_.contains(key); }
  const std::vector<Entry>& entries() const { return entries_; }
  /// The lengths of the shared files behind the last complete picture.
  SharedBytes bytes() const { return entries_.empty() ? SharedBytes{} : entries_.back().bytes; }
  /// How many pictures were finished and are not there any more.
  std::size_t gone() const { return gone_; }

  /// Notes which picture is worked on. If the program is killed, the next run knows whose files are not
  /// complete.
  void begin(const std::string& name) const;
  /// No picture is worked on any more.
  void end() const;
  void add(const Entry& entry);
  /// Throws Failure if the file is not there any more.
  void check() const;

 private:
  void load(const std::string& settings);
  void add_loaded(const Entry& entry);
  [[noreturn]] void damaged() const;
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
