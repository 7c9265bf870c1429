#include "output/parts.h"

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <system_error>
#include <utility>

#include <nlohmann/json.hpp>

#include "common/error.h"
#include "imageio/atomic_file.h"
#include "output/finished.h"
#include "output/results.h"
#include "output/text_file.h"

namespace nuclei {
namespace {

namespace fs = std::filesystem;

constexpr const char* prefix = ".nuclei-part-";

std::vector<fs::path> parts_of(const fs::path& out) {
  std::vector<fs::path> parts;
  std::error_code error;
  for (const fs::directory_entry& entry : fs::directory_iterator(out, error))
    if (entry.path().filename().string().starts_with(prefix) && entry.is_directory(error))
      parts.push_back(entry.path());
  std::ranges::sort(parts);
  return parts;
}

/// A part, and its tables as they were written.
struct Share {
  fs::path folder;
  Finished::Earlier list;
  std::array<std::string, shared_files.size()> tables;
};

/// A finished picture of a part.
struct Picture {
  const Share* part;
  std::size_t at;  // in its list
  std::size_t place;
  const Finished::Entry& entry() const { return part->list.entries[at]; }

  /// Its rows of a table; empty where that is not written.
  std::string rows(std::size_t file) const {
    const std::string& table = part->tables[file];
    const std::uint64_t end = entry().bytes[file];
    if (end == 0) return {};
    const std::uint64_t begin = at > 0 ? part->list.entries[at - 1].bytes[file] : table.find('\n') + 1;
    if (begin > end || end > table.size())
      throw Failure((part->folder / shared_files[file]).string() + ": expected at least " +
                    std::to_string(end) + " bytes, it has " + std::to_string(table.size()) +
                    "; start over with --overwrite");
    return table.substr(begin, end - begin);
  }
};

std::vector<Share> read_parts(const std::vector<fs::path>& folders) {
  std::vector<Share> parts;
  for (const fs::path& folder : folders) {
    std::optional<Finished::Earlier> list = Finished::earlier(folder);
    if (!list) continue;  // it had no picture yet
    Share part{folder, std::move(*list), {}};
    for (std::size_t i = 0; i < shared_files.size(); ++i)
      part.tables[i] = read_if_there(folder / shared_files[i]);
    parts.push_back(std::move(part));
  }
  return parts;
}

std::vector<Picture> in_order(const std::vector<Share>& parts, const std::vector<std::string>& order) {
  std::map<std::string, std::size_t> places;
  for (std::size_t i = 0; i < order.size(); ++i) places.emplace(order[i], i);
  std::vector<Picture> pictures;
  for (const Share& part : parts)
    for (std::size_t at = 0; at < part.list.entries.size(); ++at) {
      const auto found = places.find(part.list.entries[at].key);
      pictures.push_back({&part, at, found == places.end() ? order.size() : found->second});
    }
  std::ranges::stable_sort(pictures, {}, &Picture::place);
  return pictures;
}

void append(const fs::path& out, const std::vector<Share>& parts, const std::vector<Picture>& pictures) {
  Finished all(out, parts.front().list.settings, true, [](const std::string&) { return true; });
  std::array<std::optional<GrowingFile>, shared_files.size()> tables;
  for (std::size_t i = 0; i < tables.size(); ++i) {
    const std::string& first = parts.front().tables[i];
    if (!first.empty())
      tables[i].emplace(out / shared_files[i], first.substr(0, first.find('\n') + 1), all.bytes()[i]);
  }
  for (const Picture& picture : pictures) {
    Finished::Entry entry = picture.entry();
    if (all.contains(entry.key)) continue;  // a call before this one was cut off
    for (std::size_t i = 0; i < tables.size(); ++i) {
      if (!tables[i]) continue;
      tables[i]->add(picture.rows(i));
      entry.bytes[i] = tables[i]->size();
    }
    all.add(entry);
  }
}

void remove_begun(const fs::path& out, const Share& part) {
  if (part.list.begun.empty()) return;
  try {
    ResultOptions options;
    from_json(nlohmann::ordered_json::parse(part.list.settings), options);
    remove_results(out, part.list.begun, options);
  } catch (const nlohmann::json::exception&) {
    throw Failure((part.folder / "finished.jsonl").string() + ": damaged; start over with --overwrite");
  }
}

}  // namespace

fs::path part_folder(const fs::path& out, int rank) { return out / (prefix + std::to_string(rank)); }

bool has_parts(const fs::path& out) { return !parts_of(out).empty(); }

void join_parts(const fs::path& out, const std::vector<std::string>& order) {
  const std::vector<fs::path> folders = parts_of(out);
  const std::vector<Share> parts = read_parts(folders);
  for (const Share& part : parts) {
    if (part.list.settings != parts.front().list.settings)
      throw Failure(part.folder.string() + ": is of another run than " + parts.front().folder.string() +
                    "; start over with --overwrite");
    remove_begun(out, part);
  }
  if (!parts.empty()) append(out, parts, in_order(parts, order));
  for (const fs::path& folder : folders) {
    std::error_code error;
    fs::remove_all(folder, error);
    if (error) throw Failure("removing " + folder.string() + ": " + error.message());
  }
}

}  // namespace nuclei
